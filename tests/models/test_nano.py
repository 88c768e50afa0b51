"""Nano: its maps by hand, and what they can do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from network_checks import build_small, darken, draw_clean_frames, linear_weights, rmse, train

from vqe.models import Nano
from vqe.models.colour_maps import apply_colour_maps
from vqe.models.low_res import LowResBranch, measure_colours, shrink

CHANNELS = 15
OLD_BRANCH = {"low_res": 64, "grid_size": 8, "width": 4}


@pytest.mark.parametrize("box", [None, (0.25, 0.5, 0.5, 0.25)])
def test_maps_are_applied_like_a_loop_over_pixels(box):
    torch.manual_seed(0)
    maps, frames = torch.randn(2, CHANNELS, 4, 5), torch.rand(2, 3, 9, 7)
    boxes = None if box is None else torch.tensor([box, (0, 0, 1, 1)])
    done = apply_colour_maps(maps, frames, boxes).numpy()
    for index, (top, left, tall, wide) in enumerate([box or (0, 0, 1, 1), (0, 0, 1, 1)]):
        for row in range(9):
            for column in range(7):
                colour = frames[index, :, row, column].numpy()
                places = (
                    linear_weights(top + tall * (row + 0.5) / 9, 4),
                    linear_weights(left + wide * (column + 0.5) / 7, 5),
                )
                found = np.einsum("chw,h,w->c", maps[index].numpy(), *places).reshape(-1, 3)
                expected = colour + found[:3].T @ colour + found[3]
                expected += found[4] * colour * (1 - colour)
                np.testing.assert_allclose(done[index, :, row, column], expected, atol=1e-5)


def test_side_light_is_taken_away_as_no_global_map_could():
    torch.manual_seed(0)
    clean = draw_clean_frames()
    inputs = darken(clean)
    network = train(build_small(Nano), inputs, clean, steps=150).eval()
    assert rmse(network(inputs), clean) < 0.25 * rmse(inputs, clean)


@pytest.mark.parametrize("size", [(720, 1280), (37, 53), (3, 4), (1, 1)])
def test_a_small_copy_keeps_the_light(size):
    ramp = torch.linspace(0, 1, size[1]).expand(1, 3, *size)
    small = shrink(ramp, 64)
    assert small.shape == (1, 3, 64, 64)
    expected = np.interp((np.arange(64) + 0.5) / 64 * size[1] - 0.5, range(size[1]), ramp[0, 0, 0])
    np.testing.assert_allclose(small[0, 0, 5], expected, atol=0.01)


def test_colours_are_measured_like_a_histogram_of_numpy():
    torch.manual_seed(0)
    levels = torch.randint(0, 16, (2, 3, 8, 8)) / 15  # on the centres of the bins
    small = levels.repeat_interleave(2, 2).repeat_interleave(2, 3)
    found = measure_colours(small).numpy()
    for index in range(2):
        colours = levels[index].flatten(1).numpy()
        np.testing.assert_allclose(found[index, :3], colours.mean(1), atol=1e-5)
        np.testing.assert_allclose(found[index, 3:6], colours.std(1), atol=1e-3)
        counts = [np.bincount(np.rint(c * 15).astype(int), minlength=16) for c in colours]
        expected = np.concatenate(counts) * 4 / 64
        np.testing.assert_allclose(found[index, 6:], expected, atol=1e-3)


def test_halvings_add_what_the_whole_picture_shows_to_the_statistics():
    torch.manual_seed(0)
    branch = LowResBranch(**OLD_BRANCH, global_halvings=2)
    small = torch.rand(2, 3, 64, 64)
    features = branch.splat(small)
    whole = F.relu(F.conv2d(features, *layer_of(branch.whole[0]), stride=2, padding=1))
    whole = F.relu(F.conv2d(whole, *layer_of(branch.whole[1]), stride=2, padding=1))
    assert whole.shape[-2:] == (2, 2)
    pools = [pool for look in (features, whole) for pool in (look.mean((2, 3)), look.amax((2, 3)))]
    shift = branch.global_path(torch.cat([measure_colours(small), *pools], dim=1))
    expected = F.relu(branch.local_path(features) + shift[:, :, None, None])
    torch.testing.assert_close(branch(small), expected, rtol=1e-5, atol=1e-5)


def test_without_halvings_the_weights_have_the_names_and_shapes_of_older_files():
    old, new = (
        {name: value.shape for name, value in LowResBranch(**options).state_dict().items()}
        for options in (OLD_BRANCH, OLD_BRANCH | {"global_halvings": 1})
    )
    assert not any(name.startswith("whole") for name in old)
    assert {name for name in new if new[name] != old.get(name)} == {
        "whole.0.0.weight",
        "whole.0.0.bias",
        "global_path.0.weight",
    }


def layer_of(conv):
    return conv[0].weight, conv[0].bias
