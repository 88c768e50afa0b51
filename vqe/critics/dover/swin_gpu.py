"""Run the technical branch's stages on a GPU: tokens in raster order, seven kernels a block.

What `vqe.critics.dover.swin.Stage` computes, for grids that fill whole windows, without a gradient,
in bfloat16 or float16 with float32 sums.
"""

from itertools import cycle
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vqe.critics.dover.attention import HEAD_CHANNELS
from vqe.critics.dover.box_table import list_boxes
from vqe.critics.dover.patches import linear_gelu_fused
from vqe.critics.dover.windows import Size, make_grid
from vqe.device import has_triton

if TYPE_CHECKING:
    from vqe.critics.dover.swin import Stage

HALVES = (torch.bfloat16, torch.float16)


def has_kernels(x: Tensor, dtype: torch.dtype, size: Size, stages: int) -> bool:
    """Whether `run_stages` takes tokens of this size, device and type of weights."""
    if torch.is_grad_enabled() or dtype not in HALVES or not has_triton(x.device):
        return False
    depth, height, width = size
    for stage in range(stages):
        if make_grid((depth, height, width), shifted=False).padded != (depth, height, width):
            return False
        if stage < stages - 1 and (height % 2 or width % 2):
            return False
        height, width = height // 2, width // 2
    return True


def run_stages(stages: nn.ModuleList, norm: nn.LayerNorm, x: Tensor, depth: int) -> Tensor:
    """Run all stages and the last LayerNorm.

    Args:
        stages: of `Stage`.
        norm: the LayerNorm behind them.
        x: tokens [N,D,H,W,C] of the first stage, D = 1 for a still or `depth`.
        depth: slices that x stands for.

    Returns:
        Features [N,depth,H/8,W/8,8C], float32.
    """
    from vqe.critics.dover.swin_kernels import add_merge_norm, add_norm

    height, width = x.shape[2:4]
    x = x.flatten(1, 3)
    for stage in stages:
        size = (depth, height, width)
        x, update = _run_blocks(stage, x, size)
        if stage.downsample is None:
            break
        reduce = stage.downsample.reduction
        merged = add_merge_norm(x, update, width, stage.downsample.norm, reduce.weight.dtype)
        x = reduce(merged)
        height, width = height // 2, width // 2
    return add_norm(x, update, norm, torch.float32)[1].unflatten(1, size)


def _run_blocks(stage: "Stage", x: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Return what the last block adds to, and what it adds."""
    from vqe.critics.dover.swin_kernels import add_norm, attend

    grids = [make_grid(size, shifted) for shifted in (False, True)]
    update = None
    for block, grid in zip(stage.blocks, cycle(grids), strict=False):
        attn, dtype = block.attn, block.attn.qkv.weight.dtype
        still = update is None and x.shape[1] < torch.Size(size).numel()
        table = list_boxes(grid, attn.heads, still, x.device)
        x, normed = add_norm(x, update, block.norm1, dtype, table.places)
        attended = attend(attn.qkv(normed), attn.flat_bias(grid, still), table, HEAD_CHANNELS)
        x, normed = add_norm(x, attn.proj(attended), block.norm2, dtype)
        update = block.mlp.fc2(linear_gelu_fused(normed, block.mlp.fc1))
    return x, update
