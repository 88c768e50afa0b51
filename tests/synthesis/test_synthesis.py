"""Each degradation against a reference of its own, and what holds for all of them."""

import dataclasses

import cv2
import numpy as np
import pytest
from conftest import draw_frame

from vqe.synthesis import Degrader, Parameters, Ranges, Span, degrade_clip, severity
from vqe.synthesis.codec import H264RoundTrip, call_options, quantiser_options
from vqe.synthesis.light import side_gradient
from vqe.synthesis.presets import load_preset
from vqe.synthesis.ranges import KINDS, LIMITS
from vqe.synthesis.sensor import add_noise, blur_kernel
from vqe.synthesis.sources import Camera, fit_frame, move_camera

CONFIG = load_preset("v1")
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)  # [1,256,3]


def both(value):
    return Span(value, value)


def one(frame, seed=0, **parameters):
    """Degrade a single frame."""
    return degrade_clip(frame[None], Parameters(**parameters), seed=seed)[0]


def linear(code):
    """The sRGB standard's curve (IEC 61966-2-1), one value at a time."""
    code = code / 255
    return code / 12.92 if code <= 0.04045 else ((code + 0.055) / 1.055) ** 2.4


def test_neutral_parameters_change_no_bit():
    clip = np.random.default_rng(0).integers(0, 256, (3, 33, 47, 3)).astype(np.uint8)
    assert np.array_equal(degrade_clip(clip, Parameters(), seed=1), clip)
    neutral = {name: [0, 0] for name in LIMITS} | {
        name: [1, 1] for name in ("gamma", "saturation", "blur_aspect", "blur_shape", "resize")
    }
    codecs = {"jpeg_quality": [90, 90], "h264_bits_per_pixel": [1, 1]}
    chances = dict.fromkeys(KINDS, 1) | {"jpeg": 0, "h264": 0}
    drawn = Ranges(**(neutral | codecs), probability=chances).draw(5)
    assert drawn == Parameters()
    assert severity(drawn) == 0


@pytest.mark.parametrize("stops", [-2, -1, 1])
def test_a_stop_doubles_linear_light(stops):
    out = one(RAMP, exposure_stops=both(stops))[0, :, 0]
    for code in range(20, 256, 5):
        want = min(1, linear(code) * 2.0**stops)
        assert linear(out[code] - 0.51) <= want <= linear(out[code] + 0.51)


def test_gamma_acts_on_the_code():
    out = one(RAMP, gamma=both(1.5))[0, :, 1]
    assert np.abs(out - 255 * (np.arange(256) / 255) ** 1.5).max() <= 0.51


def test_side_light_brightens_its_side_as_many_stops_as_the_other_loses():
    grey = np.full((40, 60, 3), 100, np.uint8)
    out = one(grey, side_light_stops=both(0.5), side_light_degrees=0.0)[:, :, 0]
    assert np.ptp(out, axis=0).max() == 0  # from the right: columns are even
    assert np.all(np.diff(out[0].astype(int)) >= 0)
    for column, stops in ((0, -0.5), (59, 0.5)):
        assert linear(out[0, column]) == pytest.approx(linear(100) * 2**stops, rel=0.03)
    below = one(grey, side_light_stops=both(0.5), side_light_degrees=90.0)
    assert below[-1].mean() > 1.2 * below[0].mean()
    slope = side_gradient(90, 160, 30.0)
    assert np.abs(np.diff(slope, axis=1)).max() < 0.03  # smooth


def test_white_balance_and_saturation():
    grey = np.full((4, 4, 3), 90, np.uint8)
    blue, green, red = one(grey, warmth_stops=both(1.0), tint_stops=both(-0.5))[0, 0]
    light = [linear(v) / linear(90) for v in (blue, green, red)]
    assert light == pytest.approx([2**-0.5, 2**-0.5, 2**0.5], rel=0.03)
    frame = draw_frame(1, 1)
    flat = one(frame, saturation=both(0.0))
    assert np.ptp(flat.astype(int), axis=2).max() == 0
    assert np.abs(flat[:, :, 0].astype(int) - cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)).max() <= 1


def test_gaussian_blur_is_opencv_s():
    p = Parameters(blur_sigma=1.7)
    kernel = blur_kernel(p)
    line = cv2.getGaussianKernel(len(kernel), 1.7)
    assert np.allclose(kernel, line @ line.T, atol=1e-6)
    frame = draw_frame(2, 3)
    light = np.vectorize(linear)(np.arange(256))[frame]
    light = cv2.GaussianBlur(light, kernel.shape, 1.7)
    want = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(one(frame, blur_sigma=1.7) - want * 255).max() <= 0.6


def test_blur_takes_aspect_direction_and_shape():
    def spread(kernel):
        y, x = np.indices(kernel.shape) - kernel.shape[0] // 2
        return np.sqrt([(kernel * x**2).sum(), (kernel * y**2).sum()])

    wide = blur_kernel(Parameters(blur_sigma=3.0, blur_aspect=0.5))
    assert spread(wide) == pytest.approx([3, 1.5], rel=0.05)
    tall = blur_kernel(Parameters(blur_sigma=3.0, blur_aspect=0.5, blur_degrees=90.0))
    assert np.allclose(tall, wide.T, atol=1e-7)
    peaks = [blur_kernel(Parameters(blur_sigma=3.0, blur_shape=s)).max() for s in (0.6, 1, 4)]
    assert peaks[1] == pytest.approx(1 / (2 * np.pi * 9), rel=0.02)
    disc = blur_kernel(Parameters(blur_sigma=3.0, blur_shape=4.0))
    assert disc[len(disc) // 2, len(disc) // 2] == pytest.approx(
        disc[len(disc) // 2 + 1].max(), rel=0.01
    )


@pytest.mark.parametrize("level", [0.004, 0.05, 0.2, 0.8])
def test_shot_noise_has_poisson_s_mean_and_variance(level):
    light = np.full((300, 300, 3), level, np.float32)
    noisy = add_noise(light, Parameters(shot_noise=0.04), np.random.default_rng(1))
    assert noisy.mean() == pytest.approx(level, rel=0.02)
    assert noisy.var() == pytest.approx(level * 0.04**2, rel=0.02)  # in proportion to the light
    if level < 0.01:  # 2.5 photons: whole numbers, skewed
        assert np.allclose(noisy * 625, np.rint(noisy * 625), atol=1e-3)


def test_read_noise_has_each_channel_s_spread():
    light = np.full((200, 200, 3), 0.5, np.float32)
    p = Parameters(read_noise=(0.01, 0.02, 0.03))
    noisy = add_noise(light, p, np.random.default_rng(1))
    assert noisy.std(axis=(0, 1))[::-1] == pytest.approx([0.01, 0.02, 0.03], rel=0.03)
    assert abs(np.corrcoef(noisy[..., 0].ravel(), noisy[..., 2].ravel())[0, 1]) < 0.02


def test_noise_is_new_in_each_frame_and_light_is_not():
    clip = np.repeat(np.full((1, 120, 160, 3), 110, np.uint8), 5, axis=0)
    p = Parameters(
        exposure_stops=both(-0.7), warmth_stops=both(0.3), shot_noise=0.03, read_noise=(0.002,) * 3
    )
    out = degrade_clip(clip, p, seed=4).astype(float)
    means = out.mean(axis=(1, 2))
    assert np.ptp(means, axis=0).max() < 0.2
    residual = (out - means[:, None, None]).reshape(5, -1)
    assert residual.std() > 1
    assert np.abs(np.corrcoef(residual) - np.eye(5)).max() < 0.03
    assert np.array_equal(degrade_clip(clip, p, seed=4), out)
    assert not np.array_equal(degrade_clip(clip, p, seed=5), out)


def test_drift_goes_smoothly_from_start_to_end():
    clip = np.full((60, 4, 4, 3), 180, np.uint8)
    out = degrade_clip(clip, Parameters(exposure_stops=Span(-2.0, 0.0)), seed=0)[:, 0, 0, 0]
    assert linear(out[0]) == pytest.approx(linear(180) / 4, rel=0.03)
    assert out[-1] == 180
    steps = np.diff(out.astype(int))
    assert steps.min() >= 0 and steps.max() <= 4  # of 88 levels in 59 steps
    assert steps[:3].sum() <= 2 and steps[-3:].sum() <= 2


def test_resize_loses_detail_and_keeps_the_size():
    stripes = np.zeros((40, 61, 3), np.uint8)
    stripes[:, ::2] = 255
    out = one(stripes, resize=0.5)
    assert out.shape == stripes.shape
    assert out[10:30, 10:50].std() < 25 < stripes.std()
    flat = np.full((40, 61, 3), 77, np.uint8)
    assert np.array_equal(one(flat, resize=0.4), flat)


def test_jpeg_is_opencv_s_and_worse_with_lower_quality():
    frame = draw_frame(3, 1)
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 40])
    assert np.array_equal(one(frame, jpeg_quality=40), cv2.imdecode(data, cv2.IMREAD_COLOR))
    error = [np.abs(one(frame, jpeg_quality=q) - frame.astype(float)).mean() for q in (20, 90)]
    assert error[0] > 2 * error[1]


def test_h264_keeps_to_a_low_rate_and_gives_each_frame_at_once():
    random = np.random.default_rng(0)
    clip = [
        np.clip(draw_frame(1, t, 120, 161) + random.normal(0, 6, (120, 161, 3)), 0, 255)
        for t in range(60)
    ]
    clip = [frame.astype(np.uint8) for frame in clip]
    rates, errors = [], []
    for bits in (0.05, 0.4):
        coder = H264RoundTrip(120, 161, call_options(120, 161, bits, 30))
        out = [coder(frame) for frame in clip]
        assert all(frame.shape == (120, 161, 3) for frame in out)
        rates.append(coder.coded_bytes * 8 / (60 * 120 * 161))
        errors.append([np.abs(a - b.astype(float)).mean() for a, b in zip(out, clip, strict=True)])
        later = [
            np.abs(a - b.astype(float)).mean() for a, b in zip(out[:-9], clip[9:], strict=True)
        ]
        assert np.mean(errors[-1]) < np.mean(later) / 2  # neither late nor early
    assert rates[0] == pytest.approx(0.05, rel=0.5) and rates[1] > 3 * rates[0]
    assert np.mean(errors[0]) > 1.3 * np.mean(errors[1])
    again = H264RoundTrip(120, 161, call_options(120, 161, 0.4, 30))
    assert all(np.array_equal(again(a), b) for a, b in zip(clip, out, strict=True))


def test_h264_at_a_constant_quantiser_errs_more_with_it_and_takes_single_frames():
    frame = draw_frame(1, 1, 48, 65)
    errors = []
    for qp in (0, 20, 35, 50):
        out = H264RoundTrip(48, 65, quantiser_options(qp))(frame)
        assert out.shape == frame.shape
        errors.append(np.abs(out - frame.astype(float)).mean())
    assert errors == sorted(errors) and errors[-1] > 4 * errors[0]


def test_degrader_records_the_bit_rate():
    frame = draw_frame(1, 1)
    degrade = Degrader(Parameters(h264_bits_per_pixel=0.1), seed=0, frames=3)
    assert degrade.h264_kbps is None
    degrade(frame)
    assert degrade.h264_kbps > 0


def test_draws_stay_in_their_ranges_and_all_kinds_occur():
    ranges = Ranges(**CONFIG)
    drawn = [ranges.draw(seed) for seed in range(300)]
    assert drawn == [ranges.draw(seed) for seed in range(300)]
    for p in drawn:
        for end in (p.exposure_stops.start, p.exposure_stops.end):
            assert end == 0 or CONFIG["exposure_stops"][0] <= end <= CONFIG["exposure_stops"][1]
        assert p.blur_sigma == 0 or CONFIG["blur_sigma"][0] <= p.blur_sigma
    drifting = np.mean([p.warmth_stops.start != p.warmth_stops.end for p in drawn])
    assert drifting == pytest.approx(0.8 * 0.4, abs=0.08)
    assert np.mean([p.jpeg_quality is None for p in drawn]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([p.blur_sigma == 0 for p in drawn]) == pytest.approx(0.2, abs=0.08)


def test_one_range_does_not_move_the_other_draws():
    more = Ranges(**(CONFIG | {"blur_sigma": [3, 4], "exposure_stops": [1, 2]}))
    for seed in range(20):
        a, b = Ranges(**CONFIG).draw(seed), more.draw(seed)
        same = {"blur_sigma": 0, "exposure_stops": both(0)}
        assert dataclasses.replace(a, **same) == dataclasses.replace(b, **same)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gamma": [1.2, 1.1]}, "degradation.gamma"),
        ({"resize": [0.5, 1.5]}, "degradation.resize"),
        ({"blur_sigma": [1]}, "degradation.blur_sigma"),
        ({"saturation": ["a", 1]}, "degradation.saturation"),
        ({"probability": {"blur": 1}}, "exposure"),
        ({"probability": dict.fromkeys(KINDS, 1) | {"blur": 2}}, "probability.blur"),
    ],
)
def test_bad_ranges_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        Ranges(**(CONFIG | change))


def test_a_row_gives_the_parameters_back():
    for seed in range(30):
        p = Ranges(**CONFIG).draw(seed)
        assert Parameters.from_row(p.to_row() | {"video_id": "video_0001"}) == p


def test_severity_grows_with_every_kind():
    base = Ranges(**(CONFIG | {"probability": dict.fromkeys(KINDS, 1)})).draw(3)
    worse = {
        "exposure_stops": both(-4.0),
        "gamma": both(2.5),
        "side_light_stops": both(3.0),
        "warmth_stops": both(2.0),
        "tint_stops": both(1.0),
        "saturation": both(0.0),
        "blur_sigma": 6.0,
        "resize": 0.1,
        "shot_noise": 0.3,
        "read_noise": (0.1, 0.1, 0.1),
        "jpeg_quality": 5,
        "h264_bits_per_pixel": 0.005,
    }
    for name, value in worse.items():
        assert severity(base) < severity(dataclasses.replace(base, **{name: value})) < 1, name
        assert severity(Parameters(**{name: value})) > 0
    assert severity(dataclasses.replace(base, **worse)) > 0.95
    spread = np.std([severity(Ranges(**CONFIG).draw(seed)) for seed in range(200)])
    assert spread > 0.08


def test_pan_and_zoom_moves_smoothly_within_the_picture():
    height, width = 300, 400
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x * 255 / width, y * 255 / height, x * 0], axis=-1)
    dither = np.random.default_rng(0).random(picture.shape)  # a place is finer than a level
    picture = (picture + dither).clip(0, 255).astype(np.uint8)
    camera = Camera(zoom=Span(1.1, 1.5), pan_x=Span(0.0, 1.0), pan_y=Span(1.0, 0.2))
    frames = list(move_camera(picture, camera, 60, (120, 160)))
    assert all(frame.shape == frames[0].shape for frame in frames)
    assert frames[0].shape[0] <= 120 and frames[0].shape[1] <= 160
    assert min(size % 2 for size in frames[0].shape[:2]) == 0
    # the picture's colour is its own place: each frame's centre says where the camera looks
    centre = np.array([f[50:70, 70:90, :2].mean(axis=(0, 1)) for f in frames])
    steps = np.diff(centre, axis=0)
    assert np.abs(steps).max() < 2.5  # slow
    assert np.abs(np.diff(steps, axis=0)).max() < 0.6  # and no jerk
    visible = centre[0] * [width / 255, height / 255]
    assert visible == pytest.approx([width / 2.2, height * (1 - 1 / 2.2)], abs=6)


def test_resting_camera_gives_one_frame_again_and_again():
    picture = draw_frame(1, 1, 100, 140)
    still = Camera(zoom=both(1.0), pan_x=both(0.5), pan_y=both(0.5))
    frames = list(move_camera(picture, still, 3, (720, 1280)))
    assert all(np.array_equal(frame, picture) for frame in frames)


def test_frames_are_shrunk_to_fit_and_even():
    assert fit_frame(np.zeros((1080, 1920, 3), np.uint8), (720, 1280)).shape == (720, 1280, 3)
    assert fit_frame(np.zeros((1001, 500, 3), np.uint8), (720, 1280)).shape == (720, 360, 3)
    odd = draw_frame(1, 1, 71, 95)
    assert np.array_equal(fit_frame(odd, (720, 1280)), odd[:70, :94])
