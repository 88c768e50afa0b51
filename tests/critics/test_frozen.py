"""The critics in training: frozen, unsaved, blind to what a rendered frame does not show."""

import logging

import numpy as np
import pytest
import torch
from conftest import compose_config
from critic_pictures import draw_picture
from hydra.utils import instantiate
from standin import FAULTS

from vqe.critic_training import PostEdit, Variant, make_variant
from vqe.critics import DOVER, ConstantDOVER, FrozenDOVER, FrozenVQA, UNetLite
from vqe.critics.dover.views import draw_offsets
from vqe.critics.frozen_critics import FrozenCritics
from vqe.critics.frozen_vqa import STANDIN_FILE
from vqe.critics.weights import read_own, untrained_
from vqe.pixels import rgb_chw_u8
from vqe.schema import ATTRIBUTES, SCORES
from vqe.synthesis import Parameters, Span

SEEDS = torch.tensor([11, 22])


@pytest.fixture(scope="module")
def frames():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 2, 3, 9, 16, generator=generator)
    return [torch.nn.functional.interpolate(c, scale_factor=16, mode="bicubic") for c in coarse]


@pytest.fixture(scope="module")
def critics():
    return FrozenCritics(FrozenVQA("untrained"), ConstantDOVER(0.4))


@pytest.fixture(scope="module")
def mobile():
    return FrozenDOVER("mobile", "untrained", num_clips=1)


def test_frozen_for_good(critics):
    critics.train()
    assert not any(module.training for module in critics.modules())
    assert not any(parameter.requires_grad for parameter in critics.parameters())
    assert not critics.state_dict()
    assert not torch.nn.ModuleDict({"critics": critics}).state_dict()


def test_gradient_reaches_the_enhanced_frame_alone(critics, frames):
    x, enhanced = (f.clamp(0.05, 0.95).requires_grad_() for f in frames)
    critics(x, enhanced, SEEDS).before_clamps.sum().backward()
    assert enhanced.grad.abs().sum() > 0
    assert x.grad is None


def test_scores_are_those_of_the_vqa_in_challenge_range(critics, frames):
    vqa = untrained_(UNetLite()).eval()
    x, enhanced = (f.clamp(0, 1).mul(255).round() for f in frames)
    pair = [(f.flip(1) - 128) / 128 for f in (x, enhanced)]
    d = torch.full((2, 1), 0.4)
    with torch.no_grad():
        p, _, a2 = vqa(*pair, d, d)
        scores = critics(x / 255, enhanced / 255, SEEDS)
    torch.testing.assert_close(scores.clamped, torch.cat([p, a2], 1), rtol=1e-5, atol=1e-6)


def test_enhanced_first_swaps_the_pair(frames):
    x, enhanced = (f.clamp(0, 1) for f in frames)
    ordinary = FrozenCritics(FrozenVQA("untrained"), ConstantDOVER())
    swapped = FrozenCritics(FrozenVQA("untrained", enhanced_first=True), ConstantDOVER())
    with torch.no_grad():
        there = ordinary(x, enhanced, SEEDS).clamped
        back = swapped(enhanced, x, SEEDS).clamped  # the VQA sees the same pair
    torch.testing.assert_close(there[:, 0], back[:, 0])
    assert not torch.allclose(there[:, 1:], back[:, 1:])


def test_what_leaves_the_range_scores_like_the_range_s_end(critics, frames):
    bright = frames[1] + 0.6
    with torch.no_grad():
        outside = critics(frames[0], bright, SEEDS)
        inside = critics(frames[0], bright.clamp(0, 1), SEEDS)
    torch.testing.assert_close(outside.clamped, inside.clamped)


def test_bytes_score_as_the_floats_they_stand_for(critics, frames):
    bytes_u8 = [frame.clamp(0, 1).mul(255).round().to(torch.uint8) for frame in frames[:2]]
    with torch.no_grad():
        floats = critics(*(frame.float() / 255 for frame in bytes_u8), SEEDS)
        scores = critics(*bytes_u8, SEEDS)
    assert torch.equal(scores.clamped, floats.clamped)
    assert torch.equal(scores.before_clamps, floats.before_clamps)


def test_autocast_does_not_change_the_scores(critics, frames):
    with torch.no_grad():
        plain = critics(*frames, SEEDS).clamped
        with torch.autocast("cpu", torch.bfloat16):
            mixed = critics(frames[0], frames[1], SEEDS).clamped
    torch.testing.assert_close(plain, mixed, rtol=0, atol=0)


def test_dover_scores_depend_on_the_seed_alone(mobile, frames):
    frames_u8 = frames[0].clamp(0, 1).mul(255).to(torch.uint8)
    torch.manual_seed(1)
    first = mobile(frames_u8, SEEDS)
    torch.manual_seed(2)
    again = torch.cat([mobile(frames_u8[i : i + 1], SEEDS[i : i + 1]) for i in range(2)])
    other = mobile(frames_u8, SEEDS + 1)
    assert first.shape == (2, 1)
    torch.testing.assert_close(first, again, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(first, other)


def test_dover_gets_bgr_frames_and_the_seed_s_offsets(mobile, frames):
    frames_u8 = frames[0].clamp(0, 1).mul(255).to(torch.uint8)[:1]
    generator = torch.Generator().manual_seed(11)
    offsets = draw_offsets(*frames_u8.shape[-2:], 1, generator)
    dover = untrained_(DOVER("mobile")).eval()
    with torch.no_grad():
        expected = dover.score_stills(frames_u8.flip(1), offsets=offsets, num_clips=1)
    torch.testing.assert_close(mobile(frames_u8, SEEDS[:1])[:, 0], expected)


def test_dover_off_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        off = ConstantDOVER(0.5)
    assert "DOVER is off" in caplog.text
    assert off(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), SEEDS).tolist() == [[0.5]] * 3


def test_untrained_weights_say_so(caplog):
    with caplog.at_level(logging.WARNING):
        FrozenVQA("untrained")
    assert "mean nothing" in caplog.text


@pytest.fixture(scope="module")
def standin():
    return FrozenCritics(FrozenVQA("standin"), ConstantDOVER())


def score(critics, x, enhanced):
    """Score uint8 BGR pictures; return the twelve scores by name."""
    frames = [rgb_chw_u8(f)[None].float() / 255 for f in (x, enhanced)]
    with torch.no_grad():
        values = critics(*frames, torch.tensor([1])).before_clamps[0]
    return dict(zip(SCORES, values.tolist(), strict=True))


def test_the_stand_in_is_small_and_says_what_it_is(tmp_path, caplog):
    assert STANDIN_FILE.stat().st_size <= 2e6
    with caplog.at_level(logging.WARNING):
        critic = instantiate(compose_config(tmp_path, "model_vqa=standin").model_vqa)
    assert "not the challenge's" in caplog.text and "stand-in" in caplog.text
    assert caplog.text.count("WARNING") == 1
    assert isinstance(critic, FrozenVQA)


def test_the_stand_in_says_nothing_by_scores_that_are_withdrawn(standin):
    _, about = read_own(STANDIN_FILE)
    withdrawn = about.partition("always 0.5: ")[2].split(", ")
    assert set(withdrawn) < set(ATTRIBUTES)
    pictures = [draw_picture(seed, 90, 120) for seed in range(2)]
    scores = [score(standin, pictures[0], picture) for picture in pictures]
    for name in SCORES:
        values = [values[name] for values in scores]
        assert (values == [0.5, 0.5]) == (name in withdrawn), name


@pytest.mark.parametrize(
    "bad",
    [
        Variant(Parameters(exposure_stops=Span(-3.0, -3.0))),  # ellipses are no photograph
        Variant(Parameters(shot_noise=0.1, read_noise=(0.01, 0.01, 0.01))),
        Variant(Parameters(blur_sigma=2.5)),
        Variant(Parameters(jpeg_quality=8)),
        Variant(edit=PostEdit(sharpen=4)),
    ],
    ids=[
        "dark",
        "noise",
        "blur",
        "jpeg",
        "too sharp",
    ],
)
def test_the_stand_in_prefers_clean_to_degraded_pictures(standin, bad):
    p = []
    for seed in range(6):
        clean = draw_picture(seed, 180, 240)
        degraded = make_variant(clean, bad, seed=seed)
        p.append((score(standin, degraded, clean)["p"], score(standin, clean, degraded)["p"]))
    better, worse = np.mean(p, axis=0)
    assert better > 0.6 and worse < 0.4
    assert better + worse == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("fault", ["noise", "blur", "small", "jpeg", "h264", "sharpened"])
def test_the_stand_in_sees_each_mild_fault_of_detail_in_every_picture(standin, fault):
    for seed in range(6):
        clean = draw_picture(seed, 180, 240)
        degraded = make_variant(clean, FAULTS[fault], seed=seed)
        assert score(standin, degraded, clean)["p"] > 0.5 > score(standin, clean, degraded)["p"]


def test_the_stand_in_is_even_about_a_picture_and_itself(standin):
    for seed in range(3):
        picture = draw_picture(seed, 180, 240)
        assert score(standin, picture, picture)["p"] == pytest.approx(0.5, abs=0.1)


def test_the_stand_in_s_gradient_leads_out_of_the_dark(standin):
    clean = draw_picture(1, 180, 240)
    dark = make_variant(clean, Variant(Parameters(exposure_stops=Span(-2.0, -2.0))), seed=0)
    x = rgb_chw_u8(dark)[None].float() / 255
    gain = torch.tensor(1.0, requires_grad=True)
    standin(x, x * gain, torch.tensor([1])).before_clamps[0, 0].backward()
    assert gain.grad > 0


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (FrozenVQA, ("VQA.ckpt", "model_vqa.weights=untrained")),
        (FrozenDOVER, ("DOVER.pth", "model_dover.weights=untrained", "model_dover=off")),
        (lambda: FrozenDOVER("mobile"), ("DOVER-Mobile.pth",)),
    ],
)
def test_no_weights_says_which_file_and_what_runs_without(build, words):
    with pytest.raises(ValueError, match=r"expected .*weights to name .*got null") as error:
        build()
    for word in words:
        assert word in str(error.value)
