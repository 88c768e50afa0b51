"""Run the aesthetic branch on a GPU: five kernels a block.

What `vqe.critics.dover.convnext.ConvNeXt3D` computes with ConvNeXt's first blocks, without a
gradient, in bfloat16 or float16 with float32 sums.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vqe.critics.dover.patches import embed_patches, linear_gelu_fused, merge_patches
from vqe.device import has_triton

if TYPE_CHECKING:
    from vqe.critics.dover.convnext import Block, ConvNeXt3D

HALVES = (torch.bfloat16, torch.float16)


def has_kernels(x: Tensor, network: "ConvNeXt3D") -> bool:
    """Whether `run_stages` takes clips on this device, for a network of this type."""
    block = network.stages[0][0]
    fits = block.grn is None and block.pwconv1.weight.dtype in HALVES
    return fits and not torch.is_grad_enabled() and has_triton(x.device)


def run_stages(network: "ConvNeXt3D", clips: Tensor, length: int) -> Tensor:
    """Return features [N,length,H/32,W/32,C], float32, of normalised clips [N,3,T,H,W].

    Args:
        network: whose layers run.
        clips: T = 1 for stills.
        length: positions in time that the clips stand for.
    """
    from vqe.critics.dover.convnext import repeat_middle

    for (first, second), blocks in zip(network.downsample_layers, network.stages, strict=True):
        if isinstance(first, nn.Conv3d):
            tokens = embed_patches(clips, first)
            x = _normalise(tokens, second, torch.float32)
            rounded = x.to(tokens.dtype)
        else:
            x = rounded = merge_patches(_normalise(x, first, rounded.dtype), second)
        for block in blocks:
            x, rounded = _run_block(block, x, rounded, length)
    return repeat_middle(_normalise(x, network.norm, torch.float32), length)


def _run_block(block: "Block", x: Tensor, rounded: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Run a block on tokens, given in two types, and return both again."""
    from vqe.critics.dover.convnext_kernels import add_scaled, convolve_norm

    reach = block.dwconv.weight.shape[2] // 2
    longer = min(x.shape[1] + 2 * reach, length)
    normed = convolve_norm(rounded.contiguous(), block.dwconv, block.norm, longer)
    update = block.pwconv2(linear_gelu_fused(normed, block.pwconv1))
    return add_scaled(x.contiguous(), update, block.gamma)


def _normalise(x: Tensor, norm: nn.LayerNorm, dtype: torch.dtype) -> Tensor:
    from vqe.critics.dover.swin_kernels import add_norm

    return add_norm(x.flatten(1, 3), None, norm, dtype)[1].view(x.shape)
