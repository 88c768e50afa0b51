"""Base: branches that fuse, and a residual that does what colour maps cannot."""

import copy

import pytest
import torch
import torch.nn.functional as F
from network_checks import loss, perturb, rmse

from vqe.models import Base, Nano, Recurrent
from vqe.models.enhancement import enhance
from vqe.models.patterns import FromPixels, ToPixels
from vqe.models.texture import RepConv, from_blocks, to_blocks

CLOSE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("channels_in", "channels_out"), [(4, 4), (4, 6)])
def test_a_convolution_is_the_sum_of_its_branches(channels_in, channels_out):
    conv = perturb(RepConv(channels_in, channels_out), 0.5)
    x = torch.randn(2, channels_in, 7, 9)
    expected = F.conv2d(x, conv.wide.weight, conv.wide.bias, padding=1)
    expected = expected + F.conv2d(x, conv.narrow.weight)
    if channels_in == channels_out:
        expected = expected + x
    torch.testing.assert_close(conv(x), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(conv.fuse()(x), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("network_class", [Base, Recurrent])
def test_folded_equals_unfolded(network_class, skips):
    network = perturb(network_class(layers=5, skips=skips), 0.02).eval()
    fused = copy.deepcopy(network).fuse()
    folds = (RepConv, FromPixels, ToPixels)
    assert not any(isinstance(module, folds) for module in fused.modules())
    assert any(isinstance(module, folds) for module in network.modules())
    clips = torch.rand(1, 2, 3, 50, 67)
    with torch.no_grad():
        torch.testing.assert_close(enhance(fused, clips), enhance(network, clips), **CLOSE)
        assert (enhance(network, clips) - clips).abs().max() > 0.01
    count = [sum(p.numel() for p in n.parameters()) for n in (fused, network)]
    assert count[0] < count[1] or (skips and network_class is Base)  # whose layers have one branch


@pytest.mark.parametrize("size", [(8, 12), (9, 13), (1, 1), (2, 5)])
def test_blocks_come_back_as_frames(size):
    frames = torch.rand(2, 3, *size)
    blocks = to_blocks(frames)
    assert blocks.shape == (2, 48, -(-size[0] // 4), -(-size[1] // 4))
    assert torch.equal(from_blocks(blocks, *size), frames)
    assert torch.equal(blocks[:, 0, 0, 0], frames[:, 0, 0, 0])
    last = F.pixel_shuffle(blocks, 4)[:, :, -1, -1]
    assert torch.equal(last, frames[:, :, -1, -1])  # the border is repeated


def test_noise_is_reduced_which_colour_maps_cannot():
    def draw():
        # Several colours in each cell of the grid, or maps could follow them.
        colours = 0.2 + 0.6 * torch.rand(1, 3, 32, 48)
        clean = colours.repeat_interleave(4, 2).repeat_interleave(4, 3)
        return clean, clean + 0.1 * torch.randn_like(clean)

    errors = {}
    networks = (
        (Nano(low_res=64), 3e-3, 140),
        (Base(low_res=64, layers=2), 3e-4, 140),
        (Base(low_res=64, layers=3, skips=True), 2e-3, 35),
    )
    for network, lr, steps in networks:
        optimizer = torch.optim.AdamW(network.parameters(), lr)
        for _ in range(steps):
            clean, noisy = draw()
            optimizer.zero_grad()
            loss(network, noisy, clean).backward()
            optimizer.step()
        clean, noisy = draw()
        errors[steps, type(network)] = rmse(network.eval()(noisy), clean)
    nano, plain, skips = errors.values()
    assert plain < 0.8 * nano
    assert skips < 0.8 * nano  # in a quarter of the steps


@pytest.mark.parametrize("options", [{"channels": 0}, {"layers": 0}])
def test_impossible_layers_are_refused(options):
    with pytest.raises(ValueError, match="expected channels and layers >= 1"):
        Base(**options)


@pytest.mark.parametrize("network_class", [Base, Recurrent])
def test_skips_take_layers_in_pairs(network_class):
    with pytest.raises(ValueError, match=r"expected an odd number of layers with skips, .* got 6"):
        network_class(layers=6, skips=True)
