"""Map clips to features of aesthetic quality: ConvNeXt inflated to three dimensions.

"A ConvNet for the 2020s" (Liu et al., 2022), "ConvNeXt V2" (Woo et al., 2023), "DOVER" (Wu et al.,
2023). Tokens are kept channels last, [N,T,H,W,C]. Of a still's equal frames only the positions in
time that the zero padding at both ends makes different are computed, and one for all in between.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqe.critics.dover.convnext_gpu import has_kernels, run_stages
from vqe.critics.dover.patches import PATCH, embed_patches, linear_gelu, merge_patches
from vqe.critics.precision import LayerNorm

EPS = 1e-6
TEMPORAL_KERNELS = (1, 3, 1)  # of the blocks of a stage, in turn


class ResponseNorm(nn.Module):
    """Scale each channel by its strength next to the other channels.

    Inflated from two dimensions, the published code takes the first two axes behind the batch: a
    strength is a norm over time and height, one for each column, instead of over height and width.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor, length: int) -> Tensor:
        """Map [N,T,H,W,C], which stands for `length` positions in time, to the same shape."""
        squares = x.float().square().sum(2)
        middle = squares[:, x.shape[1] // 2]
        strength = (squares.sum(1) + (length - x.shape[1]) * middle).sqrt()[:, None, None]
        relative = strength / (strength.mean(dim=-1, keepdim=True) + EPS)
        return x * (self.gamma * relative + 1).to(x.dtype) + self.beta


class Block(nn.Module):
    """Add a depthwise convolution followed by an MLP."""

    def __init__(self, channels: int, temporal_kernel: int, response_norm: bool):
        super().__init__()
        self.dwconv = nn.Conv3d(channels, channels, (temporal_kernel, 7, 7), groups=channels)
        self.norm = LayerNorm(channels, eps=EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = ResponseNorm(4 * channels) if response_norm else None
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = None if response_norm else nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor, length: int) -> Tensor:
        """Map [N,T,H,W,C] to the same shape; a still's T grows by two with a temporal kernel.

        Args:
            x: tokens, or the distinct ones of a still.
            length: how many positions in time x stands for.
        """
        reach = self.dwconv.weight.shape[2] // 2
        x = repeat_middle(x, min(x.shape[1] + 2 * reach, length))
        y = self.norm(convolve_depthwise(x.to(self.dwconv.weight.dtype), self.dwconv))
        y = linear_gelu(y, self.pwconv1)
        y = self.pwconv2(y if self.grn is None else self.grn(y, length))
        return x + (y if self.gamma is None else self.gamma * y)


def repeat_middle(x: Tensor, length: int) -> Tensor:
    """Lengthen a still [N,T,...], T odd, to `length` positions by repeating the middle one."""
    if x.shape[1] == length:
        return x
    middle = x.shape[1] // 2
    repeats = [1] * x.shape[1]
    repeats[middle] += length - x.shape[1]
    repeats = torch.tensor(repeats, device=x.device)
    return x.repeat_interleave(repeats, dim=1, output_size=length)


def convolve_depthwise(x: Tensor, conv: nn.Conv3d) -> Tensor:
    """Apply a depthwise convolution to [N,T,H,W,C] frame by frame, then sum over time.

    It keeps channels last, which the three-dimensional kernels would not.
    """
    frames = x.flatten(0, 1).permute(0, 3, 1, 2)
    kernels = conv.weight.unbind(2)
    reach = len(kernels) // 2

    def convolve(kernel: Tensor, bias: Tensor | None) -> Tensor:
        y = F.conv2d(frames, kernel, bias, padding=kernel.shape[-1] // 2, groups=len(kernel))
        return y.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])

    out = convolve(kernels[reach], conv.bias)
    for shift in range(1, min(reach + 1, x.shape[1])):
        out[:, shift:] += convolve(kernels[reach - shift], None)[:, :-shift]
        out[:, :-shift] += convolve(kernels[reach + shift], None)[:, shift:]
    return out


class ConvNeXt3D(nn.Module):
    """Map clips [N,3,T,H,W] to features [N,T/2,H/32,W/32,C].

    Args:
        dims: channels of the four stages.
        depths: blocks of the four stages.
        response_norm: build the blocks of ConvNeXt V2, with `ResponseNorm` for layer scale.
    """

    def __init__(self, dims: Sequence[int], depths: Sequence[int], response_norm: bool = False):
        super().__init__()
        stem = [nn.Conv3d(3, dims[0], PATCH, PATCH), LayerNorm(dims[0], eps=EPS)]
        self.downsample_layers = nn.ModuleList([nn.ModuleList(stem)])
        for before, after in pairwise(dims):
            conv = nn.Conv3d(before, after, (1, 2, 2), (1, 2, 2))
            self.downsample_layers.append(nn.ModuleList([LayerNorm(before, eps=EPS), conv]))
        kernels = TEMPORAL_KERNELS
        self.stages = nn.ModuleList(
            nn.ModuleList(
                Block(dim, kernels[i % len(kernels)], response_norm) for i in range(depth)
            )
            for dim, depth in zip(dims, depths, strict=True)
        )
        self.norm = LayerNorm(dims[-1], eps=EPS)

    def forward(self, clips: Tensor, still_length: int = 0) -> Tensor:
        """Return features [N,T/2,H/32,W/32,C].

        Args:
            clips: [N,3,T,H,W], normalised.
            still_length: where T = 1, the number of equal frames that one stands for.
        """
        length = (still_length or clips.shape[2]) // PATCH[0]
        if has_kernels(clips, self):
            return run_stages(self, clips, length)
        for (first, second), blocks in zip(self.downsample_layers, self.stages, strict=True):
            if isinstance(first, nn.Conv3d):
                x = second(embed_patches(clips, first).to(second.weight.dtype))
            else:
                x = merge_patches(first(x).to(second.weight.dtype), second).to(x.dtype)
            for block in blocks:
                x = block(x, length)
        return repeat_middle(self.norm(x), length)
