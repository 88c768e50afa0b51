"""Convolutions that train as several branches and run as one, at a quarter of the resolution.

X. Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021: a 3x3, a 1x1 and an
identity branch add up to one 3x3 convolution. Here there is no normalisation, which would flicker
and differ between training and testing, so that the sum is taken over the kernels in training too:
as M. Hu et al. do in "Online Convolutional Re-parameterization", CVPR 2022.
"""

from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NetworkT = TypeVar("NetworkT", bound=nn.Module)
SHRINK = 4  # blocks of 4x4 pixels become channels, and back


class RepConv(nn.Module):
    """A 3x3, a 1x1 and, where the channels allow, an identity branch: one 3x3 convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.narrow = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.skips = channels_in == channels_out
        for conv in (self.wide, self.narrow):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            with torch.no_grad():
                conv.weight.mul_(0.5)  # the branches add up
        nn.init.zeros_(self.wide.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve `[B,C,H,W]`; the border is padded with zeros."""
        return F.conv2d(features, self.merge(), self.wide.bias, padding=1)

    def merge(self) -> Tensor:
        """Return the kernel of all branches together, `[out,in,3,3]`."""
        centre = self.narrow.weight
        if self.skips:
            eye = torch.eye(len(centre), device=centre.device, dtype=centre.dtype)
            centre = centre + eye[:, :, None, None]
        return self.wide.weight + F.pad(centre, (1, 1, 1, 1))

    @torch.no_grad()
    def fuse(self) -> nn.Conv2d:
        """Return a plain convolution that computes the same."""
        weight = self.merge()
        conv = nn.Conv2d(*weight.shape[1::-1], 3, padding=1)
        conv.weight.copy_(weight)
        conv.bias.copy_(self.wide.bias)
        return conv.to(weight.device)


def stack_convs(channels_in: int, channels: int, channels_out: int, layers: int) -> nn.Sequential:
    """Build `layers` re-parameterised convolutions and a last plain one that starts as zero."""
    widths = [channels_in, *[channels] * layers]
    stack = nn.Sequential()
    for i, o in pairwise(widths):
        stack.extend([RepConv(i, o), nn.ReLU()])
    last = nn.Conv2d(channels, channels_out, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return stack.append(last)


def fuse_convs(network: NetworkT) -> NetworkT:
    """Replace what a network holds that can `fuse()` by what that returns, in place."""
    from timm.utils import reparameterize_model

    return reparameterize_model(network, inplace=True)


def to_blocks(frames_bchw: Tensor) -> Tensor:
    """Turn frames into channels of 4x4 pixels, `[B,16*C,h,w]`; odd sizes repeat their border."""
    height, width = frames_bchw.shape[-2:]
    right, bottom = -width % SHRINK, -height % SHRINK
    if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
        # torch.compile expects other strides of this pad's gradient than the kernel gives
        padded = _repeat_border(frames_bchw, right, bottom)
    else:
        padded = F.pad(frames_bchw, (0, right, 0, bottom), mode="replicate")
    return F.pixel_unshuffle(padded, SHRINK)


def _repeat_border(frames_bchw: Tensor, right: int, bottom: int) -> Tensor:
    """Do what `F.pad` does, by an index, and nothing where nothing is missing."""
    if not right and not bottom:
        return frames_bchw
    height, width = frames_bchw.shape[-2:]
    rows = torch.arange(height + bottom, device=frames_bchw.device).clamp(max=height - 1)
    columns = torch.arange(width + right, device=frames_bchw.device).clamp(max=width - 1)
    return frames_bchw[..., rows[:, None], columns]


def from_blocks(blocks: Tensor, height: int, width: int) -> Tensor:
    """Turn channels of 4x4 pixels back into frames, `[B,C,height,width]`."""
    return F.pixel_shuffle(blocks, SHRINK)[..., :height, :width]
