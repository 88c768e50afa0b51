"""The faults of webcams against references of their own, and how they are drawn together."""

import dataclasses
import hashlib

import cv2
import numpy as np
import pytest
import torch
from conftest import draw_frame

from vqe.data import RandomFaults
from vqe.synthesis import Parameters, Span, degrade_clip, severity
from vqe.synthesis.presets import build_faults, find_preset, load_preset
from vqe.synthesis.scene import hunt

WEBCAM = find_preset("webcam")
V1_DRAWS = "699da5ee476b228e"  # of the first release
V1_PARAMETERS = (
    *("exposure_stops", "gamma", "side_light_stops", "side_light_degrees", "warmth_stops"),
    *("tint_stops", "saturation", "blur_sigma", "blur_aspect", "blur_degrees", "blur_shape"),
    *("resize", "shot_noise", "read_noise", "jpeg_quality", "h264_bits_per_pixel"),
)


def both(value):
    return Span(value, value)


def one(frame, seed=0, **parameters):
    """Degrade a single frame."""
    return degrade_clip(frame[None], Parameters(**parameters), seed=seed)[0]


def grey(code=100, height=72, width=96):
    return np.full((height, width, 3), code, np.uint8)


def stops(frame, reference):
    """Return by how many stops of linear light a frame differs, from the sRGB standard's curve."""

    def light(code):
        code = code / 255
        return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)

    return np.log2(light(frame.astype(float)) / light(reference.astype(float)))


def test_v1_draws_what_it_always_drew():
    digest = hashlib.sha256()
    for seed in range(50):
        drawn = find_preset("v1").draw(seed)
        digest.update(repr([getattr(drawn, name) for name in V1_PARAMETERS]).encode())
        assert (
            dataclasses.replace(
                Parameters(), **{name: getattr(drawn, name) for name in V1_PARAMETERS}
            )
            == drawn
        )  # and nothing else is wrong
    assert digest.hexdigest()[:16] == V1_DRAWS


def test_a_window_behind_is_brighter_and_the_rest_stays():
    change = stops(one(grey(), backlight_stops=1.0, backlight_place=(0.75, 0.4, 0.25)), grey())
    assert change[29, 72].mean() == pytest.approx(1.0, abs=0.05)
    assert abs(change[60, 5]).max() < 0.03
    assert np.abs(np.diff(change[29, :, 0])).max() < 0.25  # a soft edge


def test_mixed_light_is_warm_on_one_side_and_cold_on_the_other():
    change = stops(one(grey(), mixed_stops=0.8, side_light_degrees=0.0), grey())
    red_over_blue = change[:, :, 2] - change[:, :, 0]
    assert red_over_blue[:, -1].mean() == pytest.approx(0.8, abs=0.06)
    assert red_over_blue[:, 0].mean() == pytest.approx(-0.8, abs=0.06)
    assert abs(change[:, :, 1]).max() < 0.02


def test_a_screen_adds_light_of_its_hue_in_the_middle():
    out = one(grey(), screen_light=both(0.5), screen_degrees=240.0).astype(int)
    middle, corner = out[40, 48], out[0, 0]
    assert middle[0] > middle[1] + 10 and middle[0] > 110  # blue
    assert abs(corner - 100).max() < 5
    assert (out >= 100).all()  # light only adds


def test_exposure_hunts_at_its_rate_and_white_balance_half_as_fast():
    p = Parameters(pumping_stops=0.4, pumping_hertz=2.0, wander_stops=0.3)
    clip = degrade_clip(np.repeat(grey(100, 8, 8)[None], 30, 0), p, seed=0)
    change = stops(clip[:, 4, 4], np.full(3, 100))
    seconds = np.arange(30) / 30
    want = 0.4 * np.sin(2 * np.pi * 2 * seconds)
    assert np.abs(change[:, 1] - want).max() < 0.06
    warmth = change[:, 2] - change[:, 0]
    assert np.abs(warmth - 0.3 * np.sin(2 * np.pi * seconds)).max() < 0.08
    assert hunt(p, 0.125)[0] == pytest.approx(0.4)


def test_flare_and_contrast_flatten():
    frame = draw_frame(1, 1)
    for change in ({"flare": 0.2}, {"contrast": 0.7}):
        out = one(frame, **change)
        assert out.min() > frame.min() and out.std() < 0.95 * frame.std(), change
    strong = one(frame, contrast=1.4)
    assert np.array_equal(strong, np.rint(np.clip(0.5 + 1.4 * (frame / 255 - 0.5), 0, 1) * 255))


def noise_of(frame, **parameters):
    return one(frame, seed=3, **parameters).astype(float) - frame


def neighbours(noise, channel):
    plane = noise[:, :, channel]
    return np.corrcoef(plane[:, 1:].ravel(), plane[:, :-1].ravel())[0, 1]


def test_demosaiced_noise_is_correlated_most_in_red_and_blue():
    frame = grey(120, 150, 200)
    fine, coarse = (noise_of(frame, shot_noise=0.08, grain=g) for g in (0.0, 0.7))
    assert abs(neighbours(fine, 1)) < 0.03
    assert neighbours(coarse, 1) > 0.4
    assert min(neighbours(coarse, 0), neighbours(coarse, 2)) > neighbours(coarse, 1) + 0.1


def test_denoising_smooths_shadows_alone_and_keeps_edges():
    frame = np.where(np.arange(96)[None, :, None] < 48, np.uint8(40), np.uint8(200))
    frame = np.repeat(frame, 72, 0).repeat(3, 2)
    noise = {"shot_noise": 0.04, "read_noise": (0.002,) * 3}
    plain, smooth = (noise_of(frame, **noise, denoise=d) for d in (0.0, 1.0))
    assert smooth[:, 5:40].std() < 0.7 * plain[:, 5:40].std()
    assert np.array_equal(smooth[:, 60:], plain[:, 60:])
    assert abs(one(frame, denoise=1.0).astype(int) - frame).max() <= 6  # of a step of 160


def test_blotches_are_slow_coloured_and_in_shadows():
    dark = noise_of(grey(40, 144, 192), blotches=0.03)
    assert dark.std() == pytest.approx(0.03 * 255, rel=0.35)
    assert neighbours(dark, 0) > 0.95
    assert abs(np.corrcoef(dark[..., 0].ravel(), dark[..., 2].ravel())[0, 1]) < 0.3
    assert not noise_of(grey(220), blotches=0.03).any()


def test_sharpening_overshoots_at_edges_alone():
    frame = np.where(np.arange(96)[None, :, None] < 48, np.uint8(80), np.uint8(160))
    frame = np.repeat(frame, 72, 0).repeat(3, 2)
    out = one(frame, sharpen=1.0)
    assert out.max() > 180 and out.min() < 60
    assert np.array_equal(out[:, :38], frame[:, :38])
    want = frame / 255 + (frame / 255 - cv2.GaussianBlur(frame / 255, (0, 0), 1.5))
    assert np.abs(out - np.clip(want, 0, 1) * 255).max() < 0.6


def test_bands_leave_so_many_levels():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    out = one(ramp, band_levels=17)
    assert len(np.unique(out)) == 17
    assert np.abs(out.astype(int) - ramp).max() <= 8


def test_small_colour_planes_smear_colour_and_keep_luma():
    frame = grey(100)
    frame[:, 47:] = (40, 60, 180)
    out = one(frame, chroma_scale=0.25)
    luma = [cv2.cvtColor(f, cv2.COLOR_BGR2YCrCb).astype(int) for f in (frame, out)]
    assert np.abs(luma[0][..., 0] - luma[1][..., 0]).max() <= 3
    red = luma[1][36, :, 1]
    assert len(np.unique(red[40:56])) > 4  # a slope where there was a step
    assert np.array_equal(out[:, :30], frame[:, :30])


def test_skipped_frames_show_the_one_before():
    clip = np.stack([grey(code, 8, 8) for code in range(0, 200, 2)])
    out = degrade_clip(clip, Parameters(skipped=0.3), seed=2)[:, 0, 0, 0]
    shown = out == clip[:, 0, 0, 0]
    assert shown[0] and 0.15 < 1 - shown.mean() < 0.45
    assert all(out[i] == out[i - 1] for i in np.flatnonzero(~shown))


def test_webcams_draw_faults_together():
    drawn = [WEBCAM.draw(seed) for seed in range(400)]
    assert drawn[:20] == [WEBCAM.draw(seed) for seed in range(20)]
    clean = np.array([p == Parameters() for p in drawn])
    assert clean.mean() == pytest.approx(0.1, abs=0.05)
    bad = [p for p, c in zip(drawn, clean, strict=True) if not c]
    stop = np.array([p.exposure_stops.start for p in bad])
    assert (stop > 0.5).mean() > 0.1 and (stop < -1).mean() > 0.1  # both ways
    noisy = [p for p in bad if p.shot_noise and p.read_noise[1]]
    columns = np.array([[p.shot_noise, p.read_noise[1], p.denoise, p.blotches] for p in noisy])
    ranks = np.argsort(np.argsort(columns, axis=0), axis=0)
    together = np.corrcoef(ranks.T)
    assert together[0, 1] > 0.4 and together[2, 3] > 0.4 and together[0, 2] > 0.4
    poor = np.array([[p.blur_sigma, p.shot_noise] for p in noisy if p.blur_sigma])
    assert np.corrcoef(np.argsort(np.argsort(poor, axis=0), axis=0).T)[0, 1] > 0.3
    for field in dataclasses.fields(Parameters):  # every fault occurs
        values = {getattr(p, field.name) for p in bad}
        assert len(values) > 2, field.name


def test_a_webcam_s_row_gives_its_parameters_back():
    for seed in range(30):
        p = WEBCAM.draw(seed)
        assert Parameters.from_row(p.to_row()) == p


def test_severity_knows_the_new_faults():
    new = {
        "pumping_stops": 0.3,
        "wander_stops": 0.3,
        "backlight_stops": 2.0,
        "mixed_stops": 1.0,
        "screen_light": both(0.6),
        "flare": 0.1,
        "denoise": 0.8,
        "blotches": 0.02,
        "contrast": 0.7,
        "sharpen": 1.0,
        "band_levels": 32,
        "chroma_scale": 0.25,
        "skipped": 0.2,
    }
    for name, value in new.items():
        assert 0 < severity(Parameters(**{name: value})) < 0.7, name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flare": [0, 2]}, "degradation.flare"),
        ({"glow": [0, 1]}, "glow beyond them"),
        ({"probability": {"clean": 1}}, "degradation.probability of exposure"),
    ],
)
def test_bad_webcams_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        build_faults(load_preset("webcam") | change)
    with pytest.raises(ValueError, match="expected faults of mixed, v1, webcam, got 'v2'"):
        find_preset("v2")


def test_random_faults_follow_the_seed_and_leave_a_share_clean():
    clean = torch.from_numpy(draw_frame(1, 1, 48, 64)[..., ::-1].copy()).permute(2, 0, 1)
    faults = RandomFaults("mixed")

    def draw(seed, frames):
        torch.manual_seed(seed)
        return faults(frames)

    drawn = [draw(seed, clean) for seed in range(40)]
    assert all(torch.equal(draw(seed, clean), drawn[seed]) for seed in range(5))
    same = sum(torch.equal(frame, clean) for frame in drawn)
    assert 2 <= same <= 20
    clip = clean[None].repeat(3, 1, 1, 1)
    bad = draw(next(s for s in range(40) if not torch.equal(drawn[s], clean)), clip)
    assert bad.shape == clip.shape and bad.dtype == torch.uint8


def test_a_mixture_draws_from_its_presets_by_their_shares():
    mixture = build_faults({"presets": {"v1": 3, "webcam": 1}, "clean": 0.2})
    drawn = [mixture.draw(seed) for seed in range(400)]
    v1, webcam = (
        np.mean([p == find_preset(name).draw(seed) for seed, p in enumerate(drawn)])
        for name in ("v1", "webcam")
    )
    assert v1 == pytest.approx(0.6, abs=0.08) and webcam == pytest.approx(0.2, abs=0.08)
    assert np.mean([p == Parameters() for p in drawn]) == pytest.approx(0.22, abs=0.08)
    with pytest.raises(ValueError, match=r"degradation\.presets\.v1"):
        build_faults({"presets": {"v1": 0}})
