"""Patterns of blocks: what they are, and layers that are learnt for them and run on pixels."""

import pytest
import torch
import torch.nn.functional as F
from network_checks import perturb
from scipy.fft import dctn

from vqe.models.patterns import (
    BLOCK_CHANNELS,
    CHANGE_GAIN,
    DETAIL_GAIN,
    LEVEL_GAIN,
    FromPixels,
    ResidualBlock,
    ToPixels,
    patterns,
)
from vqe.models.texture import to_blocks

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def scipy_patterns(frames):
    """Transform `[B,3,4h,4w]` by SciPy's DCT of each block and colour axis, `[B,48,h,w]`."""
    red, green, blue = frames.double().split(1, dim=1)
    axes = torch.cat(
        [
            (red + green + blue) / 3**0.5,
            (red - blue) / 2**0.5,
            (red - 2 * green + blue) / 6**0.5,
        ],
        dim=1,
    )
    blocks = axes.unfold(2, 4, 4).unfold(3, 4, 4)  # [B,3,h,w,4,4]
    waves = torch.from_numpy(dctn(blocks.detach().numpy(), axes=(-2, -1), norm="ortho"))
    return waves.flatten(-2).permute(0, 1, 4, 2, 3).flatten(1, 2).float()


def test_patterns_are_the_cosine_transform_of_three_colour_axes():
    frames = torch.rand(2, 3, 12, 20)
    found = torch.einsum("pc,bchw->bphw", patterns(), to_blocks(frames))
    torch.testing.assert_close(found, scipy_patterns(frames), **CLOSE)


def test_patterns_are_orthonormal():
    torch.testing.assert_close(patterns() @ patterns().T, torch.eye(BLOCK_CHANNELS), **CLOSE)


def test_a_first_layer_convolves_patterns_and_leaves_other_channels_alone():
    layer = perturb(FromPixels(2, 7), 0.1)
    frames, more = torch.rand(2, 3, 12, 20), torch.rand(2, 2, 3, 5)
    seen = scipy_patterns(frames)
    gains = torch.full((BLOCK_CHANNELS, 1, 1), DETAIL_GAIN)
    gains[::16] = LEVEL_GAIN
    expected = layer.conv(torch.cat([gains * seen, more], dim=1))
    pixels = torch.cat([to_blocks(frames), more], dim=1)
    torch.testing.assert_close(layer(pixels), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(layer.fuse()(pixels), layer(pixels), **CLOSE)


def test_a_last_layer_writes_patterns():
    layer = perturb(ToPixels(7), 0.1)
    features = torch.rand(2, 7, 3, 5)
    added = F.pixel_shuffle(layer(features), 4)
    torch.testing.assert_close(
        scipy_patterns(added), CHANGE_GAIN * layer.conv(features), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(layer.fuse()(features), layer(features), **CLOSE)


def test_a_block_starts_near_what_it_reads():
    features = torch.randn(2, 8, 16, 16)
    changed = ResidualBlock(8)(features) - features
    assert 0 < changed.std() < 0.3 * features.std()
