"""DOVER on real clips: 32 frames spread over them, fragments that stay where they are."""

import pytest
import torch
from golden_weights import golden_numbers, golden_state, image

from vqe.critics import DOVER, FrozenDOVER, FrozenVQA, load_weights, untrained_
from vqe.critics.dover.clips import cut_clip_fragments, shrink_clips, spread_frames, spread_indices
from vqe.critics.dover.fusion import fuse
from vqe.critics.dover.views import draw_offsets, shrink
from vqe.critics.frozen_critics import FrozenCritics

SEEDS = torch.tensor([11, 22])


@pytest.fixture(scope="module")
def mobile():
    return untrained_(DOVER("mobile")).eval()


@pytest.fixture(scope="module")
def clips():
    """Two clips of three frames, [2,3,3,240,260]."""
    return torch.from_numpy(image(240, 260, 1, 6)).view(2, 3, 3, 240, 260)


@pytest.mark.parametrize("length", [1, 2, 5, 31, 32, 33, 63, 300])
def test_frames_are_the_nearest_to_32_even_steps(length):
    indices = spread_indices(length).tolist()
    assert len(indices) == 32 and indices == sorted(indices)
    assert (indices[0], indices[-1]) == (0, length - 1)
    for step, index in enumerate(indices):
        assert abs(index - step * (length - 1) / 31) <= 0.5
    if length <= 32:
        assert set(indices) == set(range(length))  # repeated, none left out
    if length == 32:
        assert indices == list(range(32))


def test_spread_frames_takes_frames_of_every_clip():
    clips = torch.arange(2 * 63).view(2, 63, 1, 1, 1)
    assert spread_frames(clips).flatten(1).tolist() == [
        list(range(0, 63, 2)),
        list(range(63, 126, 2)),
    ]


def test_fragments_lie_at_the_same_place_in_all_frames():
    # Pixels that name their own place, and a first channel that names the frame.
    height, width = 300, 420
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    frames = torch.stack(
        [torch.stack([torch.full_like(y, t), y % 256, x % 256]) for t in range(4)]
    ).to(torch.uint8)
    offsets = draw_offsets(height, width, 2, torch.Generator().manual_seed(3))
    views = cut_clip_fragments(frames[None], offsets)
    assert views.shape == (1, 2, 4, 3, 224, 224)
    for t in range(4):
        assert (views[:, :, t, 0] == t).all()
        assert torch.equal(views[:, :, t, 1:], views[:, :, 0, 1:])
    rows, columns = offsets
    for clip in range(2):
        corners = views[0, clip, 0, 1:, ::32, ::32].long()  # of the 49 fragments
        tops = (torch.arange(7) * (height // 7))[:, None] + rows[clip]
        lefts = torch.arange(7) * (width // 7) + columns[clip]
        assert torch.equal(corners, torch.stack([tops, lefts]) % 256)


def test_every_frame_is_made_small(clips):
    small = shrink_clips(clips)
    assert small.shape == (2, 3, 3, 224, 224)
    assert torch.equal(small[1, 2], shrink(clips[1, 2][None])[0])


def test_a_moving_clip_scores_as_the_golden_maps():
    """Of both variants alike: test_dover.py holds the maps of each against the golden ones."""
    critic = load_weights(DOVER("mobile"), golden_state("dover_mobile"))
    clip = torch.from_numpy(image(224, 224, 4, 32))[None]  # fragments fill it: no offset is left
    technical, aesthetic = critic.clip_branch_scores(clip, num_clips=1)
    for value, name in ((technical, "tech"), (aesthetic, "aes")):
        expected = golden_numbers()[f"mobile_clip_{name}_map"]
        assert value.item() == pytest.approx(expected.mean(), abs=1e-4 * float(abs(expected).max()))


def test_equal_frames_score_like_the_still():
    still = FrozenDOVER("mobile", "untrained", num_clips=1)
    clip = FrozenDOVER("mobile", "untrained", num_clips=1, view="clip")
    frame = torch.from_numpy(image(240, 300, 2, 1))
    expected = still.branches(frame, SEEDS[:1])
    value = clip.branches(frame[:, None].expand(-1, 3, -1, -1, -1), SEEDS[:1])
    for got, wanted in zip(value, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_draws_of_fragments_are_averaged(mobile, clips, monkeypatch):
    monkeypatch.setattr(mobile, "aesthetic", lambda views: views[:, 0, 0, 0, 0])  # saves time
    offsets = draw_offsets(240, 260, 2, torch.Generator().manual_seed(0))
    both, _ = mobile.clip_branch_scores(clips[:1], offsets)
    alone = [
        mobile.clip_branch_scores(clips[:1], tuple(o[i : i + 1] for o in offsets))[0]
        for i in range(2)
    ]
    assert (alone[0] - alone[1]).abs() > 1e-7
    torch.testing.assert_close(both, (alone[0] + alone[1]) / 2)


def test_motion_counts(mobile, clips):
    offsets = draw_offsets(240, 260, 1, torch.Generator().manual_seed(0))
    moving = mobile.clip_branch_scores(clips[:1], offsets)
    frozen = mobile.clip_branch_scores(clips[:1, :1], offsets)
    for with_motion, without in zip(moving, frozen, strict=True):
        assert (with_motion - without).abs() > 1e-5


def test_options_reach_the_scores(mobile, clips):
    offsets = draw_offsets(240, 260, 1, torch.Generator().manual_seed(5))
    branches = mobile.clip_branch_scores(clips[:1], offsets)
    values = mobile.clip_branch_scores(
        clips[:1].flip(2),
        generator=torch.Generator().manual_seed(5),
        channel_order="rgb",
        num_clips=1,
    )
    assert all(torch.equal(*pair) for pair in zip(values, branches, strict=True))
    options = {"fusion": "paper", "channel_order": "rgb", "num_clips": 1, "view": "clip"}
    fused = FrozenDOVER("mobile", "untrained", **options)(clips[:1], torch.tensor([5]))
    torch.testing.assert_close(fused[:, 0], fuse(*branches, "paper"), rtol=1e-5, atol=1e-6)


def test_no_more_clips_in_a_pass_than_allowed(monkeypatch):
    critic, passes = DOVER("mobile", max_clips=2), []

    def score(views):
        passes.append(tuple(views.shape))
        return views.mean(dim=(1, 2, 3, 4))

    monkeypatch.setattr(critic, "technical", score)
    monkeypatch.setattr(critic, "aesthetic", score)
    technical, aesthetic = critic.clip_branch_scores(torch.zeros(1, 1, 3, 16, 24).byte())
    assert [shape[0] for shape in passes] == [2, 1, 1]  # three fragments, one whole
    assert {shape[1:] for shape in passes} == {(3, 32, 224, 224)}
    assert technical.shape == aesthetic.shape == (1,)


def test_one_score_a_clip_at_its_seed_s_offsets(mobile, clips):
    clips = clips.flip(2)  # the frozen critic takes RGB
    frozen = FrozenDOVER("mobile", "untrained", num_clips=1, view="clip")
    value = frozen(clips, SEEDS)
    assert value.shape == (2, 1)
    offsets = draw_offsets(240, 260, 1, torch.Generator().manual_seed(SEEDS[1].item()))
    expected = fuse(*mobile.clip_branch_scores(clips[1:].flip(2), offsets))
    torch.testing.assert_close(value[1], expected, rtol=1e-5, atol=1e-6)


def test_frames_in_the_clip_view_are_an_error():
    critics = FrozenCritics(FrozenVQA("untrained"), FrozenDOVER("mobile", "untrained", view="clip"))
    frames = torch.rand(2, 3, 32, 32)
    with pytest.raises(ValueError, match=r"got frames \[4, 3, 32, 32\].*score_videos\.py"):
        critics(frames, frames, SEEDS)


def test_clips_in_the_still_view_are_an_error(clips):
    still = FrozenDOVER("mobile", "untrained")
    with pytest.raises(ValueError, match=r"got clips \[2, 3, .*Set model_dover\.view=clip"):
        still(clips, SEEDS)


def test_another_view_is_an_error():
    with pytest.raises(ValueError, match=r"model_dover\.view to be one of still, clip, got 'gif'"):
        FrozenDOVER("mobile", "untrained", view="gif")


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        (torch.zeros(3, 3, 32, 32).byte(), r"uint8 clips \[B,T,3,H,W\], got torch.uint8 \[3, 3"),
        (torch.zeros(1, 3, 3, 32, 32), r"got torch\.float32"),
        (torch.zeros(1, 0, 3, 32, 32).byte(), "at least one frame"),
    ],
)
def test_other_clips_are_an_error(mobile, clips, words):
    with pytest.raises(ValueError, match=words):
        mobile.clip_branch_scores(clips)
