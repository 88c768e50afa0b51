import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from vqe.models import BilateralGrid, Identity, SampleConv

CONFIGS = sorted((Path(__file__).parents[1] / "conf" / "model_vqe").glob("*.yaml"))
NETWORKS = [Identity, SampleConv, BilateralGrid]
TRAINABLE = [SampleConv, BilateralGrid]
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def clean_frames():
    """Two pictures with edges, ramps and colours in [0.05, 0.95], [2,3,72,96]."""
    rows, columns = torch.meshgrid(
        torch.linspace(0, 1, 72), torch.linspace(0, 1, 96), indexing="ij"
    )
    disc = ((rows - 0.5) ** 2 + (columns - 0.4) ** 2 < 0.08).float()
    stripes = (torch.sin(columns * 40) > 0).float()
    first = torch.stack([0.2 + 0.6 * disc, 0.3 + 0.4 * rows, 0.25 + 0.5 * stripes * columns])
    second = torch.stack([0.1 + 0.8 * stripes * rows, 0.8 - 0.5 * disc, 0.2 + 0.6 * columns])
    return torch.stack([first, second]).clamp(0.05, 0.95)


def small_grid():
    return BilateralGrid(low_res=64, width=16)


def darken(frames):
    """Add what a webcam does: a gamma, a colour cast and light from one side."""
    side = torch.linspace(0.35, 1.0, frames.shape[-1])
    cast = torch.tensor([1.0, 0.85, 0.7]).view(3, 1, 1)
    return frames**1.3 * cast * side


def train(network, inputs, targets, steps, lr=3e-3):
    optimizer = torch.optim.AdamW(network.parameters(), lr)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(network(inputs), targets).backward()
        optimizer.step()
    return network


def rmse(a, b):
    return (a - b).square().mean().sqrt().item()


def rmse_of_best_global_affine(inputs, targets):
    colours = inputs.permute(0, 2, 3, 1).reshape(-1, 3)
    wanted = targets.permute(0, 2, 3, 1).reshape(-1, 3)
    augmented = torch.cat([colours, torch.ones(len(colours), 1)], 1)
    return rmse(augmented @ torch.linalg.lstsq(augmented, wanted).solution, wanted)


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
    inputs = darken(clean_frames)
    network = train(network_class(), inputs, clean_frames, steps=1)
    network.zero_grad()
    F.mse_loss(network(inputs), clean_frames).backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("build", [Identity, SampleConv, small_grid])
def test_runs_in_half_precision(build, dtype, clean_frames):
    frames = F.interpolate(darken(clean_frames), (24, 1030))  # wider than bf16 can count
    network = build()
    if build is not Identity:
        train(network, darken(clean_frames), clean_frames, steps=10)
    full = network(frames)
    with torch.autocast("cpu", dtype):
        half = network(frames)
        loss = F.mse_loss(half.float(), frames * 0.9)
    torch.testing.assert_close(half.float(), full, atol=0.01, rtol=0)
    if build is not Identity:
        loss.backward()
        assert all(p.grad.isfinite().all() for p in network.parameters())


def test_bilateral_grid_keeps_its_guide_out_of_half_precision():
    network = small_grid().eval()
    torch.nn.init.normal_(network.to_grid.weight, std=0.02)
    with torch.no_grad():
        network.guide[-1].weight.mul_(5)
    frames = torch.rand(1, 3, 90, 160)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(frames)
    assert (half - network(frames)).abs().max() < 0.005


@pytest.mark.parametrize("build", [SampleConv, small_grid])
def test_a_short_training_reduces_the_loss(build, clean_frames):
    inputs = darken(clean_frames)
    network = train(build(), inputs, clean_frames, steps=20).eval()
    assert rmse(network(inputs), clean_frames) < 0.9 * rmse(inputs, clean_frames)


def test_bilateral_grid_beats_every_global_affine_map(clean_frames):
    inputs = darken(clean_frames)
    network = train(small_grid(), inputs, clean_frames, steps=60).eval()
    best_global = rmse_of_best_global_affine(inputs, clean_frames)
    assert rmse(network(inputs), clean_frames) < 0.5 * best_global


def test_bilateral_grid_slices_like_a_loop_over_pixels():
    bins, cells, height, width = 4, 4, 9, 7
    network = BilateralGrid(grid_size=cells, luma_bins=bins, low_res=8)
    torch.nn.init.zeros_(network.guide[-1].weight)  # the guide is the luma alone
    grid = torch.randn(1, 12, bins, cells, cells)
    network.predict_grid = lambda frames: grid
    frames = torch.rand(1, 3, height, width)
    frames[..., 0, :2] = torch.tensor([0.0, 1.0])  # the ends of the guide
    enhanced = network.train()(frames)[0].detach().numpy()

    def tents(position, count):
        """Weigh cells by their distance from a position in [0,1], the ends extended."""
        place = np.clip(position * count - 0.5, 0, count - 1)
        return np.clip(1 - np.abs(np.arange(count) - place), 0, None)

    for row in range(height):
        for column in range(width):
            colour = frames[0, :, row, column].numpy()
            axes = (
                tents(LUMA @ colour, bins),
                tents((row + 0.5) / height, cells),
                tents((column + 0.5) / width, cells),
            )
            affine = np.einsum("cdhw,d,h,w->c", grid[0].numpy(), *axes).reshape(3, 4)
            expected = colour + affine @ np.append(colour, 1)
            np.testing.assert_allclose(enhanced[:, row, column], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"grid_size": 12, "low_res": 96},
            "expected grid_size = 4 times a power of two >= 1, got 12",
        ),
        ({"low_res": 200}, "expected low_res = 16 times a power of two >= 2, got 200"),
        ({"low_res": 16}, "expected low_res = 16"),
        ({"grid_size": 0}, "expected low_res = 0"),
        ({"luma_bins": 0}, "luma_bins and width >= 1, got 0 and 8"),
    ],
)
def test_impossible_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BilateralGrid(**arguments)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_mirrors_one_constructor(path):
    config = OmegaConf.load(path)
    parameters = inspect.signature(get_class(config._target_).__init__).parameters
    assert set(config) - {"_target_"} == set(parameters) - {"self", "args", "kwargs"}
    network = instantiate(config).eval()
    frames = torch.rand(1, 3, 33, 47)
    assert torch.equal(network(frames), frames)
    assert all(macs > 0 for macs in network.functional_macs(720, 1280).values())


def test_there_is_a_config_for_every_network():
    found = {OmegaConf.load(path)._target_ for path in CONFIGS}
    assert found >= {f"vqe.models.{network.__name__}" for network in NETWORKS}
