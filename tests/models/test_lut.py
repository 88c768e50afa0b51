"""Lut: the look-up by hand, and what regularisers are shown."""

import itertools

import numpy as np
import pytest
import torch

from vqe.models import Lut
from vqe.models.lut import look_up


def interpolate(table_cbgr, colour):
    """Interpolate a table [3,N,N,N], ordered b, g, r, at one colour (r, g, b)."""
    last = table_cbgr.shape[-1] - 1
    low = np.minimum(np.floor(np.clip(colour, 0, 1) * last), last - 1).astype(int)
    share = np.clip(colour, 0, 1) * last - low
    total = np.zeros(3)
    for corner in itertools.product((0, 1), repeat=3):
        red, green, blue = low + corner
        weight = np.prod(np.where(corner, share, 1 - share))
        total += weight * table_cbgr[:, blue, green, red]
    return total


def test_colours_are_looked_up_like_a_loop_over_pixels():
    torch.manual_seed(0)
    tables, frames = torch.randn(2, 3, 5, 5, 5), torch.rand(2, 3, 6, 7)
    frames[0, :, 0, :3] = torch.tensor([[0.0, 1.0, 1.2], [0.0, 1.0, 0.4], [0.0, 1.0, -0.3]])
    found = look_up(tables, frames).numpy()
    for index, row, column in np.ndindex(2, 6, 7):
        expected = interpolate(tables[index].numpy(), frames[index, :, row, column].numpy())
        np.testing.assert_allclose(found[index, :, row, column], expected, atol=1e-5)


def test_luts_hold_the_identity_and_what_was_learnt():
    network = Lut(tables=2, table_size=5)
    luts = network.luts()
    assert luts.shape == (2, 3, 5, 5, 5)
    for blue, green, red in np.ndindex(5, 5, 5):
        expected = torch.tensor([red, green, blue]) / 4
        torch.testing.assert_close(luts[1, :, blue, green, red], expected)
    luts.square().sum().backward()
    assert network.residual_tables.grad.any()


def test_a_table_alone_maps_colours_as_luts_say():
    torch.manual_seed(0)
    network = Lut(tables=2, table_size=3, low_res=32).eval()
    torch.nn.init.uniform_(network.residual_tables, -0.1, 0.1)
    torch.nn.init.zeros_(network.to_mix.weight)
    network.to_mix.bias.data = torch.tensor([0.0, 1.0])
    frames = 0.2 + 0.6 * torch.rand(1, 3, 3, 4)
    done = network(frames)[0].detach().numpy()
    for row, column in np.ndindex(3, 4):
        expected = interpolate(
            network.luts()[1].detach().numpy(), frames[0, :, row, column].numpy()
        )
        np.testing.assert_allclose(done[:, row, column], expected, atol=1e-5)


def test_a_mix_depends_on_the_frame():
    torch.manual_seed(0)
    network = Lut(low_res=32)
    state = network.initial_state(2, 8, 8)
    _, after = network(torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)]), state)
    assert (after["mix"][0] - after["mix"][1]).abs().max() > 0.01


@pytest.mark.parametrize("options", [{"tables": 0}, {"table_size": 1}, {"luma_bins": 0}])
def test_impossible_tables_are_refused(options):
    with pytest.raises(ValueError, match="expected tables and luma_bins >= 1 and table_size >= 2"):
        Lut(**options)
