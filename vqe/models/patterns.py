"""Blocks of 4x4 pixels -> patterns, and residual layers between them that can learn textures.

The pixels of a block are nearly equal: as channels of a network they say one number 48 times, and
what noise and edges add to it is lost beside it. Patterns, which are the cosine transform of
N. Ahmed et al., "Discrete Cosine Transform", IEEE Transactions on Computers 1974, of the sum and
two differences of the colours, keep them apart and to scale. Weights are learnt for patterns and
computed for pixels: running costs nothing more. The layers between add to what they read, after
K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, without normalisation.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 4  # of a block
BLOCK_CHANNELS = 3 * SIDE**2
DETAIL_GAIN = 5.0  # noise and edges are about 0.1 of the range; the layers want about 1
LEVEL_GAIN = 0.5  # a block's brightness and colour
CHANGE_GAIN = 0.1  # what is added is small


class FromPixels(nn.Module):
    """A 3x3 convolution of blocks of pixels whose weights are those of patterns."""

    def __init__(self, more_channels: int, channels: int) -> None:
        """Build the layer.

        Args:
            more_channels: that follow those of the pixels and are taken as they are.
            channels: that come out.
        """
        super().__init__()
        self.conv = nn.Conv2d(BLOCK_CHANNELS + more_channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="linear")
        nn.init.zeros_(self.conv.bias)
        gains = torch.full((SIDE**2,), DETAIL_GAIN)
        gains[0] = LEVEL_GAIN
        self.register_buffer("patterns", gains.repeat(3)[:, None] * patterns(), persistent=False)

    def forward(self, blocks: Tensor) -> Tensor:
        """Compute `[B,channels,h,w]` from `[B,48+more,h,w]`; the border is padded with zeros."""
        return F.conv2d(blocks, self.merge(), self.conv.bias, padding=1)

    def merge(self) -> Tensor:
        """Return the kernel for pixels, `[channels,48+more,3,3]`."""
        of_patterns, more = self.conv.weight.tensor_split([BLOCK_CHANNELS], dim=1)
        of_pixels = torch.einsum("opij,pc->ocij", of_patterns, self.patterns)
        return torch.cat([of_pixels, more], dim=1)

    def fuse(self) -> nn.Conv2d:
        """Return a plain convolution that computes the same."""
        return _make_plain(self.merge(), self.conv.bias)


class ToPixels(nn.Module):
    """A 3x3 convolution to blocks of pixels whose weights are those of patterns; 0 at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, BLOCK_CHANNELS, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)
        self.register_buffer("patterns", CHANGE_GAIN * patterns(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Compute `[B,48,h,w]`; the border is padded with zeros."""
        weight, bias = self.merge()
        return F.conv2d(features, weight, bias, padding=1)

    def merge(self) -> tuple[Tensor, Tensor]:
        """Return the kernel for pixels, `[48,channels,3,3]`, and its bias."""
        weight = torch.einsum("pc,pkij->ckij", self.patterns, self.conv.weight)
        return weight, self.patterns.T @ self.conv.bias

    def fuse(self) -> nn.Conv2d:
        """Return a plain convolution that computes the same."""
        return _make_plain(*self.merge())


class ResidualBlock(nn.Module):
    """Two convolutions that add to what they read."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.normal_(self.second.weight, std=0.1 / math.sqrt(9 * channels))  # nearly nothing
        for conv in (self.first, self.second):
            nn.init.zeros_(conv.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return as many channels as come in, `[B,channels,h,w]`."""
        return features + self.second(F.relu(self.first(features)))


def stack_blocks(more_channels: int, channels: int, layers: int) -> nn.Sequential:
    """Build a first convolution, `layers` - 1 in residual blocks, and a last one, zero at first.

    Raises:
        ValueError: `layers` is even.
    """
    if layers % 2 == 0:
        raise ValueError(
            f"expected an odd number of layers with skips, one and pairs of two, got {layers}"
        )
    blocks = (ResidualBlock(channels) for _ in range(layers // 2))
    return nn.Sequential(FromPixels(more_channels, channels), *blocks, ToPixels(channels))


def patterns() -> Tensor:
    """Return the orthonormal patterns of a block, `[48,48]`: a row each, 16 for each colour axis.

    The axes are the colours' sum, red less blue, and green against both; the first of each 16 is
    the block's mean. Columns are in the order of `pixel_unshuffle`.
    """
    places = torch.arange(SIDE) + 0.5
    waves = torch.cos(math.pi / SIDE * torch.arange(SIDE)[:, None] * places)
    waves = waves / waves.norm(dim=1, keepdim=True)
    axes = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]])
    axes = axes / axes.norm(dim=1, keepdim=True)
    return torch.kron(axes, torch.kron(waves, waves))


@torch.no_grad()
def _make_plain(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    conv = nn.Conv2d(*weight.shape[1::-1], 3, padding=1)
    conv.weight.copy_(weight)
    conv.bias.copy_(bias)
    return conv.to(weight.device)
