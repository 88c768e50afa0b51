"""What networks remember: streaming, scene cuts, smoothing."""

import pytest
import torch
from network_checks import WITH_MEMORY, build_small, darken, draw_clean_frames, make_clips, perturb

from vqe.models.enhancement import VideoEnhancer, enhance
from vqe.models.streaming import find_light_change, find_same_scene, smooth


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def clips():
    """Two dark, noisy clips of five frames, [2,5,3,72,96]."""
    return make_clips(darken(draw_clean_frames()), length=5, noise=0.04)


def build(network_class, **options):
    network = perturb(build_small(network_class, **options), 0.03).eval()
    return network.requires_grad_(False)


def run(network, clip_tchw):
    """Enhance a clip frame by frame; return its frames and the states after each."""
    state = network.initial_state(1, *clip_tchw.shape[-2:])
    frames, states = [], []
    for frame in clip_tchw.split(1):
        enhanced, state = network(frame, state)
        frames.append(enhanced)
        states.append(state)
    return torch.cat(frames), states


def flicker(frames):
    return (frames[1:] - frames[:-1]).abs().mean()


@pytest.mark.parametrize("network_class", WITH_MEMORY)
def test_a_stream_equals_its_clip(network_class, clips):
    network = build(network_class)
    streams = [run(network, clip)[0] for clip in clips]
    whole = enhance(network, clips)
    torch.testing.assert_close(whole, torch.stack(streams), atol=1e-5, rtol=0)
    enhancer = VideoEnhancer()
    for number, clip in enumerate(clips):
        parts = [enhancer.enhance(network, part, number) for part in clip.split(2)]
        torch.testing.assert_close(torch.cat(parts), streams[number], atol=1e-5, rtol=0)
    apart = enhance(network, clips[0])
    torch.testing.assert_close(apart[0], streams[0][0], atol=1e-5, rtol=0)
    assert (apart[4] - streams[0][4]).abs().max() > 1e-4  # the past made a difference


@pytest.mark.parametrize("network_class", WITH_MEMORY)
def test_a_state_is_zeros_of_one_shape_and_is_never_changed(network_class, clips):
    network = build(network_class)
    first = network.initial_state(2, 72, 96)
    assert all(len(value) == 2 and not value.any() for value in first.values())
    enhanced, after = network(clips[:, 0], first)
    assert torch.equal(enhanced, network(clips[:, 0]))
    assert list(after) == list(first)
    assert [v.shape for v in after.values()] == [v.shape for v in first.values()]
    assert all(not value.any() for value in first.values())
    kept = {name: value.clone() for name, value in after.items()}
    network(clips[:, 1], after)
    assert all(torch.equal(after[name], kept[name]) for name in kept)


@pytest.mark.parametrize("network_class", WITH_MEMORY)
def test_a_scene_cut_forgets_the_past_of_its_own_video_alone(network_class, clips):
    network = build(network_class)
    _, state = network(clips[:, 0], network.initial_state(2, 72, 96))
    frames = torch.stack([clips[0, 1], 1 - clips[1, 1]])  # the second cuts to something else
    done, after = network(frames, state)
    alone, fresh = network(frames, network.initial_state(2, 72, 96))
    torch.testing.assert_close(done[1], alone[1], atol=1e-6, rtol=0)
    assert (done[0] - alone[0]).abs().max() > 1e-4
    for name, value in after.items():
        torch.testing.assert_close(value[1], fresh[name][1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("network_class", WITH_MEMORY)
def test_smoothing_reduces_the_change_of_what_is_predicted(network_class, clips):
    gains = torch.tensor([1.0, 0.9, 1.05, 0.95, 1.0]).view(5, 1, 1, 1)
    clip, names = clips[0] * gains, {"maps", "grid", "mix"}
    changes = []
    for smoothing in (0.0, 0.8):
        states = run(build(network_class, smoothing=smoothing), clip)[1]
        predicted = [torch.cat([s[n].flatten() for n in sorted(names & set(s))]) for s in states]
        changes.append(flicker(torch.stack(predicted)).item())
    assert changes[1] < 0.4 * changes[0]


def test_smoothing_is_an_exponential_mean():
    values = torch.tensor([3.0, 5.0, -1.0]).view(3, 1, 1, 1, 1)
    last = values[0]
    for value in values[1:]:
        last = smooth(value, last, torch.full((1, 1, 1, 1), 0.75))
    assert last.item() == pytest.approx(0.75 * (0.75 * 3 + 0.25 * 5) + 0.25 * -1)


@pytest.mark.parametrize("shade", [0.0, 0.5, 1.0])
def test_nothing_seen_is_a_cut_and_a_still_picture_is_none(shade):
    thumbnail = torch.full((1, 3, 4, 4), 1 + shade)
    nothing = torch.zeros_like(thumbnail)
    assert find_same_scene(thumbnail, nothing, scene_cut=0.99).item() == 0
    assert find_same_scene(thumbnail, thumbnail, scene_cut=0.01).item() == 1
    assert find_same_scene(thumbnail, thumbnail + 0.05, scene_cut=0.1).item() == 1
    assert find_same_scene(thumbnail, thumbnail + 0.15, scene_cut=0.1).item() == 0


def predicted(states):
    """Return what was predicted after each frame, as one vector."""
    names = sorted({"maps", "grid", "mix"} & set(states[0]))
    return torch.stack([torch.cat([s[n].flatten() for n in names]) for s in states])


@pytest.mark.parametrize("network_class", WITH_MEMORY)
@pytest.mark.parametrize("gain", [0.9, 0.6, 1.3])
def test_light_that_changes_is_followed_within_half_a_second(network_class, gain):
    network = build(network_class, smoothing=0.95, light_change=0.1, scene_cut=0.9)
    frame = 0.7 * draw_clean_frames()[:1]
    clip = torch.cat([frame.repeat(5, 1, 1, 1), (gain * frame).repeat(15, 1, 1, 1)])
    maps = predicted(run(network, clip)[1])
    there = predicted(run(network, gain * frame)[1])[0]
    assert (maps[-1] - there).norm() < 0.15 * (maps[4] - there).norm()


@pytest.mark.parametrize("network_class", WITH_MEMORY)
def test_noise_and_a_person_who_walks_through_change_little(network_class):
    network = build(network_class, smoothing=0.95, light_change=0.1)
    free = build(network_class, smoothing=0.0)
    frame = draw_clean_frames()[:1]
    clip = make_clips(frame, length=12, noise=0.04)[0]
    for time in range(12):
        clip[time, :, 20:, 4 * time : 4 * time + 16] = 0.2  # an eighth of the frame
    steady, loose = (flicker(predicted(run(n, clip)[1])) for n in (network, free))
    assert steady < 0.25 * loose


def test_light_change_counts_what_all_cells_share():
    random = torch.Generator().manual_seed(0)
    followed = 1.2 + 0.5 * torch.rand(1, 3, 16, 16, generator=random)
    change = lambda now: find_light_change(now, followed, 0.1).item()  # noqa: E731
    assert change(followed) == 0
    assert change(1 + 1.2 * (followed - 1)) == pytest.approx(1)
    assert change(1 + 0.95 * (followed - 1)) == pytest.approx(0.5, abs=0.01)
    assert change(followed + 0.01 * torch.randn(followed.shape, generator=random)) < 0.05
    walking = followed.clone()
    walking[:, :, 4:, 3:6] = 1.05
    assert change(walking) < 0.2


@pytest.mark.parametrize("network_class", WITH_MEMORY)
def test_a_loss_on_the_last_frame_reaches_the_first(network_class, clips):
    network = perturb(build_small(network_class), 0.03)
    clips = clips.requires_grad_()
    enhance(network, clips)[:, -1].square().mean().backward()
    assert all(clips.grad[:, time].any() for time in range(5))


@pytest.mark.parametrize("network_class", WITH_MEMORY)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.1}, r"strength in \[0,1\], got 1.1"),
        ({"smoothing": 1}, r"smoothing in \[0,1\), got 1"),
        ({"light_change": 0}, "light_change above 0 or null, got 0"),
        ({"scene_cut": 0}, r"scene_cut in \(0,1\), got 0"),
        ({"scene_cut": 1}, r"scene_cut in \(0,1\), got 1"),
        ({"width": 0}, "width >= 1, got 0"),
        ({"global_halvings": 5}, "global_halvings from 0 to those .* of 16 cells, got 5"),
        ({"low_res": 100}, "expected low_res = 16 times a power of two >= 2, got 100"),
    ],
)
def test_impossible_options_are_refused(network_class, options, message):
    with pytest.raises(ValueError, match=message):
        network_class(**options)
