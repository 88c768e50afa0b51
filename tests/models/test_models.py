"""What every network promises."""

import inspect
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import get_class, instantiate
from network_checks import (
    NETWORKS,
    TRAINABLE,
    WITH_MEMORY,
    build_small,
    darken,
    draw_clean_frames,
    loss,
    make_clips,
    perturb,
    rmse,
    train,
)
from omegaconf import OmegaConf

from vqe import models
from vqe.models import Identity, Nano
from vqe.models.crop import Crop
from vqe.models.enhancement import enhance
from vqe.models.streaming import StreamingNetwork

CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "model_vqe").glob("*.yaml"))
SEES_WHOLE = [network for network in NETWORKS if getattr(network, "sees_whole", False)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def clean_frames():
    return draw_clean_frames()


@pytest.mark.parametrize("size", [(64, 96), (37, 53), (300, 301), (2, 5), (1, 1)])
@pytest.mark.parametrize("network_class", NETWORKS)
def test_a_fresh_network_is_exactly_the_identity(network_class, size):
    frames = torch.rand(2, 3, *size)
    network = network_class()
    assert torch.equal(network.train()(frames), frames)
    assert torch.equal(network.eval()(frames), frames)


@pytest.mark.parametrize("network_class", NETWORKS)
def test_clamps_in_eval_mode_only(network_class):
    frames = (torch.rand(1, 3, 24, 40) * 3 - 1).requires_grad_()
    network = network_class()
    assert torch.equal(network.eval()(frames), frames.clamp(0, 1))
    enhanced = network.train()(frames)
    assert torch.equal(enhanced, frames)
    (gradient,) = torch.autograd.grad(enhanced.sum(), frames)
    assert (gradient != 0).all()  # pixels out of range included


@pytest.mark.parametrize("network_class", TRAINABLE)
def test_every_parameter_has_a_gradient_after_one_step(network_class, clean_frames):
    inputs = make_clips(darken(clean_frames))
    targets = clean_frames[:, None]
    network = train(network_class(), inputs, targets, steps=1)
    network.zero_grad()
    loss(network, inputs, targets).backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("network_class", NETWORKS)
def test_runs_in_half_precision(network_class, dtype, clean_frames):
    inputs = make_clips(darken(clean_frames))
    network = build_small(network_class)
    if network_class is not Identity:
        train(network, inputs, clean_frames[:, None], steps=10)
    wide = F.interpolate(inputs.flatten(0, 1), (24, 1030)).unflatten(0, inputs.shape[:2])
    full = enhance(network, wide)  # wider than bf16 can count
    with torch.autocast("cpu", dtype):
        half = enhance(network, wide)
        error = F.mse_loss(half.float(), wide * 0.9)
    torch.testing.assert_close(half.float(), full, atol=0.01, rtol=0)
    if network_class is not Identity:
        error.backward()
        assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("network_class", TRAINABLE)
def test_a_short_training_reduces_the_loss(network_class, clean_frames):
    inputs = darken(clean_frames)
    network = train(build_small(network_class), inputs, clean_frames, steps=20).eval()
    assert rmse(network(inputs), clean_frames) < 0.9 * rmse(inputs, clean_frames)


@pytest.mark.parametrize("network_class", WITH_MEMORY)
def test_strength_blends_input_and_output(network_class, clean_frames):
    inputs = darken(clean_frames)
    full = perturb(build_small(network_class), 0.1)
    none, half = build_small(network_class, strength=0), build_small(network_class, strength=0.5)
    for network in (none, half):
        network.load_state_dict(full.state_dict())
    for training in (True, False):
        for network in (full, none, half):
            network.train(training)
        assert (full(inputs) - inputs).abs().max() > 0.05
        assert torch.equal(none(inputs), inputs)
        expected = (full(inputs) + inputs) / 2
        torch.testing.assert_close(half(inputs), expected, atol=1e-5, rtol=0)
    half.strength = 1  # a plain attribute
    assert torch.equal(half(inputs), full(inputs))


@pytest.mark.parametrize("network_class", SEES_WHOLE)
def test_a_crop_of_the_result_is_the_result_of_the_crop(network_class):
    clips, whole = torch.rand(2, 2, 3, 120, 168), torch.rand(2, 2, 3, 120, 168)
    whole[0] = clips[0]
    clips[1] = whole[1]
    network = perturb(build_small(network_class)).eval()
    size, margin = (96, 104), 32  # what the residuals' convolutions see beyond the border
    boxes, parts, expected = [], [], []
    full = enhance(network, whole)
    for index, (top, left) in enumerate([(8, 24), (24, 60)]):
        part = (index, ..., slice(top, top + size[0]), slice(left, left + size[1]))
        boxes.append([top / 120, left / 168, size[0] / 120, size[1] / 168])
        parts.append(whole[part])
        expected.append(full[part])
    crop, frames = Crop(whole, torch.tensor(boxes)), torch.stack(parts)
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    if not any(isinstance(m, torch.nn.Conv2d) and m.padding != (0, 0) for m in _full_size(network)):
        inner = ...
    done = enhance(network, frames, crop)
    torch.testing.assert_close(done[inner], torch.stack(expected)[inner], atol=1e-5, rtol=0)
    alone = enhance(network, frames)
    assert (alone - done).abs().max() > 1e-3  # the whole made a difference
    still = enhance(network, frames[:, 0], crop.at(0))
    torch.testing.assert_close(still, done[:, 0])


def _full_size(network):
    """List the layers that see frames at their own size."""
    parts = [getattr(network, name, None) for name in ("residual", "denoise", "gate", "refine")]
    return [module for part in parts if part is not None for module in part.modules()]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_mirrors_one_constructor(path):
    config = OmegaConf.load(path)
    parameters = inspect.signature(get_class(config._target_).__init__).parameters
    assert set(config) - {"_target_"} == set(parameters) - {"self", "args", "kwargs"}
    network = instantiate(config).eval()
    frames = torch.rand(1, 3, 33, 47)
    assert torch.equal(network(frames), frames)
    assert all(macs > 0 for macs in network.functional_macs(720, 1280).values())


@pytest.mark.parametrize("network_class", WITH_MEMORY)
def test_what_networks_share_has_one_set_of_names_and_defaults(network_class):
    shared = list(inspect.signature(StreamingNetwork.__init__).parameters)[1:]
    own = inspect.signature(network_class.__init__).parameters
    assert list(own)[-len(shared) :] == shared
    of_nano = inspect.signature(Nano.__init__).parameters
    assert [own[name] for name in shared] == [of_nano[name] for name in shared]


@pytest.mark.parametrize("network_class", WITH_MEMORY)
@pytest.mark.parametrize(
    ("name", "value"), [("smoothing", 1), ("scene_cut", 0), ("strength", 1.1), ("low_res", 48)]
)
def test_shared_arguments_out_of_range_are_refused(network_class, name, value):
    with pytest.raises(ValueError, match=f"expected {name} "):
        network_class(**{name: value})


def test_there_is_a_config_for_every_network():
    found = {OmegaConf.load(path)._target_ for path in CONFIGS}
    assert found == {f"vqe.models.{name}" for name in models.__all__}
    assert {network.__name__ for network in NETWORKS} == set(models.__all__)
