import pytest
import torch
from golden_weights import golden_numbers, golden_state, image, manifest
from plain_dover import PlainDOVER

from vqe.critics import DOVER, load_weights
from vqe.critics.dover.fusion import fuse
from vqe.critics.dover.views import cut_fragments, draw_offsets, normalise, shrink
from vqe.critics.precision import cast_backbones
from vqe.device import is_bf16_native

STATES = {"dover": "dover", "mobile": "dover_mobile"}
BRANCHES = ("technical", "aesthetic")
VARIANTS = pytest.mark.parametrize("variant", STATES)
WHOLE_CLIPS = pytest.mark.parametrize(
    "variant", [pytest.param("dover", marks=pytest.mark.slow), "mobile"]
)


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, torch.Tensor]]:
    return {variant: golden_state(name) for variant, name in STATES.items()}


@pytest.fixture(scope="module")
def critics(states) -> dict[str, DOVER]:
    return {variant: load_weights(DOVER(variant), state) for variant, state in states.items()}


@pytest.fixture(scope="module")
def frame() -> torch.Tensor:
    return torch.from_numpy(image(360, 640, 3, 1))


@pytest.fixture(scope="module")
def offsets() -> tuple[torch.Tensor, torch.Tensor]:
    golden = golden_numbers()
    rows, columns = (torch.from_numpy(golden[f"frag_off_{axis}"]).permute(2, 0, 1) for axis in "hw")
    return rows, columns


@pytest.fixture(scope="module")
def golden_branches(critics, frame, offsets) -> tuple[torch.Tensor, torch.Tensor]:
    return critics["dover"].branch_scores(frame, offsets)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def largest_error(value: torch.Tensor, expected) -> float:
    """Return the largest difference as a share of the largest expected value."""
    expected = torch.as_tensor(expected)
    assert value.shape == expected.shape
    return ((value - expected).abs().max() / expected.abs().max()).item()


@WHOLE_CLIPS
def test_score_maps_of_a_moving_clip_equal_the_golden_ones(critics, variant):
    frames = torch.from_numpy(image(224, 224, 4, 32))
    clip = normalise(frames).transpose(0, 1)[None]
    golden = golden_numbers()
    technical = critics[variant].technical_map(clip)
    aesthetic = critics[variant].aesthetic_map(clip)
    assert largest_error(technical, golden[f"{variant}_clip_tech_map"]) < 1e-4
    assert largest_error(aesthetic, golden[f"{variant}_clip_aes_map"]) < 1e-4


def still_map(critic: DOVER, branch: str, views: torch.Tensor) -> torch.Tensor:
    backbone, head = getattr(critic, f"{branch}_backbone"), getattr(critic, f"{branch}_head")
    return head(backbone(normalise(views)[:, :, None], still_length=32))


def test_aesthetic_map_of_a_still_equals_the_golden_one(critics, frame):
    value = still_map(critics["dover"], "aesthetic", shrink(frame))
    assert largest_error(value, golden_numbers()["dover_aes_score_map"]) < 1e-4


def test_technical_map_of_a_still_equals_the_golden_one(critics, frame, offsets):
    first = tuple(o[:1] for o in offsets)
    value = still_map(critics["dover"], "technical", cut_fragments(frame, first)[0])
    assert largest_error(value, golden_numbers()["dover_tech_score_map"][:1]) < 1e-4


def test_branch_scores_of_a_still_equal_the_golden_ones(golden_branches):
    value = torch.cat(golden_branches)
    assert largest_error(value, golden_numbers()["dover_results_tech_aes"]) < 1e-4


def test_fused_scores_equal_the_golden_ones(golden_branches):
    golden = golden_numbers()
    assert fuse(*golden_branches, "challenge").item() == pytest.approx(
        golden["dover_fused_reference"].item(), abs=1e-5
    )
    assert fuse(*golden_branches, "paper").item() == pytest.approx(
        golden["dover_fused_official"].item(), abs=1e-5
    )


@VARIANTS
def test_a_still_scores_like_its_32_copies(critics, variant):
    views = torch.from_numpy(image(112, 112, 6, 1))
    copies = normalise(views)[:, :, None].expand(-1, -1, 32, -1, -1)
    critic = critics[variant]
    assert largest_error(still_map(critic, "technical", views), critic.technical_map(copies)) < 1e-5
    assert largest_error(still_map(critic, "aesthetic", views), critic.aesthetic_map(copies)) < 1e-5


# Tokens that fill no window, windows that shrink, several windows in time, odd merging.
@pytest.mark.parametrize("size", [(1, 8, 64, 96), (2, 12, 100, 72), (1, 40, 64, 64)])
@VARIANTS
def test_other_sizes_agree_with_the_plain_implementation(critics, states, variant, size):
    count, *rest = size
    clips = torch.randn(count, 3, *rest, generator=torch.Generator().manual_seed(0))
    plain, critic = PlainDOVER(states[variant]), critics[variant]
    assert largest_error(critic.technical_map(clips), plain.technical_map(clips)) < 1e-4
    assert largest_error(critic.aesthetic_map(clips), plain.aesthetic_map(clips)) < 1e-4
    means = critic.technical_map(clips).mean((1, 2, 3, 4))
    torch.testing.assert_close(critic.technical(clips), means)
    assert critic.aesthetic(clips).shape == (count,)


def test_clips_in_one_pass_do_not_mix(critics):
    clips = torch.randn(3, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    for variant in STATES:
        for backbone in (critics[variant].technical_backbone, critics[variant].aesthetic_backbone):
            one_by_one = torch.cat([backbone(clip[None]) for clip in clips])
            torch.testing.assert_close(backbone(clips), one_by_one, rtol=1e-4, atol=1e-4)


def test_frames_are_scored_at_their_own_offsets(critics):
    frames = torch.from_numpy(image(260, 300, 1, 2))
    drawn = [draw_offsets(260, 300, 2, torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    together = critics["mobile"].score_stills(
        frames, tuple(torch.stack(axis) for axis in zip(*drawn, strict=True))
    )
    alone = [
        critics["mobile"].score_stills(frame[None], own)
        for frame, own in zip(frames, drawn, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-6)
    swapped = critics["mobile"].branch_scores(frames[:1], drawn[1])[0]
    assert (swapped - critics["mobile"].branch_scores(frames[:1], drawn[0])[0]).abs() > 1e-6


def test_offsets_are_drawn_from_the_generator(critics):
    frames = torch.from_numpy(image(260, 300, 1, 1))
    drawn = draw_offsets(260, 300, 2, torch.Generator().manual_seed(5))
    expected = critics["mobile"].score_stills(frames, drawn)
    generator = torch.Generator().manual_seed(5)
    value = critics["mobile"].score_stills(frames, generator=generator, num_clips=2)
    assert torch.equal(value, expected)


def test_rgb_order_flips_the_planes_first(critics):
    frames = torch.from_numpy(image(240, 240, 1, 1))
    drawn = draw_offsets(240, 240, 1, torch.Generator().manual_seed(0))
    mobile = critics["mobile"]
    rgb = mobile.branch_scores(frames, drawn, channel_order="rgb")
    assert torch.equal(rgb[0], mobile.branch_scores(frames.flip(1), drawn)[0])
    assert (rgb[1] - mobile.branch_scores(frames, drawn)[1]).abs() > 1e-4


def test_the_challenge_passes_the_branches_the_other_way_round():
    technical, aesthetic = torch.tensor([0.2]), torch.tensor([-0.1])
    z = (0.2 - 0.1107) / 0.07355 * 0.6104 + (-0.1 + 0.08285) / 0.03774 * 0.3896
    expected = 1 / (1 + torch.exp(torch.tensor([-z])))
    torch.testing.assert_close(fuse(technical, aesthetic, "paper"), expected)
    torch.testing.assert_close(fuse(aesthetic, technical, "challenge"), expected)


def test_attention_bias_follows_its_weights(states):
    clips = torch.randn(1, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    critic = load_weights(DOVER("dover"), states["dover"])
    before = critic.technical_map(clips)
    changed = {k: v * 2 if k.endswith("bias_table") else v for k, v in states["dover"].items()}
    load_weights(critic, changed)
    after = critic.technical_map(clips)
    assert largest_error(after, before) > 1e-2
    assert largest_error(after, PlainDOVER(changed).technical_map(clips)) < 1e-4
    value = cast_backbones(critic, torch.bfloat16).float().technical_map(clips)
    assert largest_error(value, after) > 1e-4  # the weights have been rounded
    assert largest_error(value, PlainDOVER(critic.state_dict()).technical_map(clips)) < 1e-4


def test_norms_and_heads_stay_in_float32(states):
    critic = load_weights(DOVER("mobile"), states["mobile"])
    cast_backbones(critic, torch.bfloat16)
    for key, value in critic.state_dict().items():
        kept = "norm." in key or "_head." in key or "downsample_layers.0.1." in key
        if kept:
            assert torch.equal(value, states["mobile"][key])
    assert critic.technical_backbone.stages[0][0].pwconv1.weight.dtype == torch.bfloat16


NEEDS_BF16 = pytest.mark.skipif(
    not is_bf16_native(torch.device("cpu")), reason="this CPU emulates bf16, which takes minutes"
)


def assert_close_in_float32(rounded, exact):
    for value, expected in zip(rounded, exact, strict=True):
        assert value.dtype == torch.float32
        assert (value - expected).abs() < 0.01


@NEEDS_BF16
def test_bfloat16_scores_are_close(states):
    views = torch.from_numpy(image(224, 224, 6, 1))
    critic = load_weights(DOVER("mobile"), states["mobile"])
    exact = critic.branch_scores(views, num_clips=1)
    rounded = cast_backbones(critic, torch.bfloat16).branch_scores(views, num_clips=1)
    assert_close_in_float32(rounded, exact)


@NEEDS_BF16
def test_bfloat16_means_of_the_large_variant_are_close(states):
    """Of a still a quarter as large, whose fewer errors cancel out less."""
    views = torch.from_numpy(image(112, 112, 6, 1))
    critic = load_weights(DOVER("dover"), states["dover"])
    exact = [still_map(critic, branch, views).mean() for branch in BRANCHES]
    cast_backbones(critic, torch.bfloat16)
    assert_close_in_float32([still_map(critic, b, views).mean() for b in BRANCHES], exact)


def test_gradient_reaches_a_clip(critics):
    with torch.enable_grad():
        clip = torch.randn(1, 3, 8, 64, 64, requires_grad=True)
        for branch in (critics["dover"].technical, critics["dover"].aesthetic):
            (gradient,) = torch.autograd.grad(branch(clip).sum(), clip)
            assert gradient.isfinite().all() and gradient.abs().sum() > 0


@VARIANTS
def test_keys_and_shapes_are_those_of_the_checkpoint(critics, variant):
    own = {key: list(value.shape) for key, value in critics[variant].state_dict().items()}
    unused = set(critics[variant].unused_keys)
    assert own == {k: shape for k, shape, _ in manifest()[STATES[variant]] if k not in unused}


def test_wrong_names_list_the_valid_ones(critics):
    frames = torch.zeros(1, 3, 240, 240, dtype=torch.uint8)
    with pytest.raises(ValueError, match="dover, mobile, got 'tiny'"):
        DOVER("tiny")
    with pytest.raises(ValueError, match="bgr, rgb, got 'gbr'"):
        critics["mobile"].score_stills(frames, channel_order="gbr")
    with pytest.raises(ValueError, match="challenge, paper, got 'mean'"):
        critics["mobile"].score_stills(frames, fusion="mean")
    with pytest.raises(ValueError, match="max_clips of at least 1, got 0"):
        DOVER("mobile", max_clips=0)


@pytest.mark.parametrize("shape", [(3, 240, 240), (1, 1, 240, 240), (1, 240, 240, 3)])
def test_frames_of_another_shape_are_an_error(critics, shape):
    with pytest.raises(ValueError, match=r"expected uint8 frames \[B,3,H,W\], got torch.uint8"):
        critics["mobile"].score_stills(torch.zeros(shape, dtype=torch.uint8))


def test_frames_of_another_type_are_an_error(critics):
    with pytest.raises(ValueError, match=r"got torch\.float32"):
        critics["mobile"].score_stills(torch.zeros(1, 3, 240, 240))
