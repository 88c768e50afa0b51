"""The bilateral grid: what it can do that a global map cannot, and its slicing by hand."""

import numpy as np
import pytest
import torch
from network_checks import build_small, darken, draw_clean_frames, linear_weights, rmse, train

from vqe.models import BilateralGrid

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def rmse_of_best_global_affine(inputs, targets):
    colours = inputs.permute(0, 2, 3, 1).reshape(-1, 3)
    wanted = targets.permute(0, 2, 3, 1).reshape(-1, 3)
    augmented = torch.cat([colours, torch.ones(len(colours), 1)], 1)
    return rmse(augmented @ torch.linalg.lstsq(augmented, wanted).solution, wanted)


def test_bilateral_grid_keeps_its_guide_out_of_half_precision():
    network = build_small(BilateralGrid).eval()
    torch.nn.init.normal_(network.to_grid.weight, std=0.02)
    with torch.no_grad():
        network.guide[-1].weight.mul_(5)
    frames = torch.rand(1, 3, 90, 160)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(frames)
    assert (half - network(frames)).abs().max() < 0.005


def test_bilateral_grid_beats_every_global_affine_map():
    clean_frames = draw_clean_frames()
    inputs = darken(clean_frames)
    network = train(build_small(BilateralGrid), inputs, clean_frames, steps=60).eval()
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

    for row in range(height):
        for column in range(width):
            colour = frames[0, :, row, column].numpy()
            axes = (
                linear_weights(LUMA @ colour, bins),
                linear_weights((row + 0.5) / height, cells),
                linear_weights((column + 0.5) / width, cells),
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
