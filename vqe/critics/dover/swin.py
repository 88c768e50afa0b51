"""Map clips to features of technical quality: Video Swin-T with gated relative position bias.

"Video Swin Transformer" (Liu et al., 2022), "FAST-VQA" (Wu et al., 2022). Attention never leaves a
window, so that a stage keeps its tokens window by window and moves them once a block; the biases
are made once for a size of grid. Module names are the keys of the published checkpoint.
"""

from collections.abc import Sequence
from itertools import cycle

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqe.critics.dover.attention import Piece, WindowAttention, cut_pieces
from vqe.critics.dover.patches import PATCH, embed_patches, linear_gelu
from vqe.critics.dover.swin_gpu import has_kernels, run_stages
from vqe.critics.dover.windows import (
    WindowGrid,
    cut_boxes,
    list_cells,
    make_grid,
    make_order,
    make_relative_index,
)
from vqe.critics.precision import LayerNorm

TOKENS_ON_CPU = 3136  # computed at a time: few enough to stay in the processor's cache


class MLP(nn.Module):
    """Hold two linear layers; the second one is applied where the result is added."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [...,C] to the hidden layer [...,4C]."""
        return linear_gelu(x, self.fc1)


class Block(nn.Module):
    """Add attention, then an MLP, each behind a LayerNorm."""

    def __init__(self, channels: int, gated: bool, relative_index: Tensor):
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.attn = WindowAttention(channels, gated, relative_index)
        self.norm2 = LayerNorm(channels)
        self.mlp = MLP(channels)

    def forward(self, x: Tensor, pieces: list[Piece], filled: Tensor | None = None) -> Tensor:
        """Map tokens [copies,tokens,C], box by box, to the same shape, without a gradient in place.

        A still's slice becomes as many as a window is deep, in new memory.

        Args:
            x: tokens.
            pieces: the boxes that the tokens are.
            filled: 1 for a token and 0 for padding, [tokens,1], if there is padding.
        """
        normed = self.norm1(x) if filled is None else self.norm1(x) * filled
        qkv = self.attn.qkv(normed.to(self.attn.qkv.weight.dtype))
        if pieces[0].repeats > 1:
            x = x.unflatten(1, (-1, pieces[0].slots)).repeat(1, 1, pieces[0].repeats, 1)
            x = x.flatten(1, 2)
        attended = torch.empty_like(x, dtype=qkv.dtype)
        start = 0
        for piece in pieces:
            keys = qkv[:, start : start + piece.tokens]
            at = slice(start * piece.repeats, (start + piece.tokens) * piece.repeats)
            self.attn(piece.unfold(keys), piece.bias, piece.unfold(attended[:, at]))
            start += piece.tokens
        x = add_linear(x, attended, self.attn.proj)
        hidden = self.mlp(self.norm2(x).to(self.mlp.fc1.weight.dtype))
        return add_linear(x, hidden, self.mlp.fc2)


def add_linear(x: Tensor, y: Tensor, linear: nn.Linear) -> Tensor:
    """Add a linear layer of y to x [...,C], contiguous; in place if no gradient is wanted."""
    if torch.is_grad_enabled():
        return x + linear(y)
    if x.dtype != y.dtype:
        return x.add_(linear(y))
    x += linear.bias
    x.view(-1, x.shape[-1]).addmm_(y.flatten(0, -2), linear.weight.t())
    return x


class PatchMerging(nn.Module):
    """Halve height and width: join 2 x 2 tokens."""

    def __init__(self, channels: int):
        super().__init__()
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = LayerNorm(4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,D,H,W,C] to [N,D,H/2,W/2,2C]."""
        height, width = x.shape[2:4]
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        # The four neighbours follow one another column by column.
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 1, 2, 4, 5, 3, 6)
        return self.reduction(self.norm(x.flatten(4)).to(self.reduction.weight.dtype)).to(x.dtype)


class Stage(nn.Module):
    """Run the blocks of one resolution, every second one on shifted windows, then merge."""

    def __init__(self, channels: int, depth: int, last: bool, relative_index: Tensor):
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, not last, relative_index) for _ in range(depth))
        self.downsample = None if last else PatchMerging(channels)

    def forward(self, x: Tensor, depth: int) -> Tensor:
        """Map [N,depth,H,W,C] to [N,depth,H/2,W/2,2C], or to the same shape in the last stage.

        x may be a single slice [N,1,H,W,C] that stands for `depth` equal ones.
        """
        height, width = x.shape[2:4]
        grids = [make_grid((depth, height, width), shifted) for shifted in (False, True)]
        padded = grids[0].padded
        still = x.shape[1] < depth == padded[0]
        if not still:
            x = x.expand(-1, depth, -1, -1, -1)
        margins = (0, padded[2] - width, 0, padded[1] - height, 0, padded[0] - depth)
        x = F.pad(x, (0, 0, *margins)).flatten(1, 3)
        filled = F.pad(x.new_ones(depth, height, width), margins) if any(margins) else None

        at = None  # the grid whose boxes the tokens are in; none at first: they are in raster order
        for block, grid in zip(self.blocks, cycle(grids), strict=False):
            target = grid.cut_time(1) if still else grid
            x = x[:, make_order(at, target, x.device)]
            mask = None if filled is None else filled.flatten()[list_cells(target)][:, None]
            x = run_block(block, x, target, block.attn.biases(grid, still), mask)
            # All windows in time of a still are equal: the first stands for them.
            at = grid.cut_time(grid.window[0]) if still else grid
            still = False
        x = x[:, make_order(at, None, x.device)].unflatten(1, padded)
        x = x[:, :depth, :height, :width]
        return x if self.downsample is None else self.downsample(x)


def run_block(
    block: Block, x: Tensor, grid: WindowGrid, biases: list[Tensor], filled: Tensor | None
) -> Tensor:
    """Run a block on tokens [N,tokens,C] that lie in the boxes of a grid, a chunk at a time."""
    on_cpu = x.device.type == "cpu"
    times = [boxes.cells.shape[1] for boxes in cut_boxes(grid)]
    chunks = list(cut_pieces(biases, times, TOKENS_ON_CPU if on_cpu else x.shape[1]))
    sizes = [sum(piece.tokens for piece in chunk) for chunk in chunks]
    masks = [None] * len(chunks) if filled is None else filled.split(sizes)
    rows = x.split(1) if on_cpu else (x,)
    done = [_run_chunks(block, row, chunks, sizes, masks) for row in rows]
    return done[0] if len(done) == 1 else torch.cat(done)


def _run_chunks(
    block: Block,
    x: Tensor,
    chunks: list[list[Piece]],
    sizes: list[int],
    masks: Sequence[Tensor | None],
) -> Tensor:
    parts = x.split(sizes, dim=1)
    done = [block(*job) for job in zip(parts, chunks, masks, strict=True)]
    in_place = all(new is old for new, old in zip(done, parts, strict=True))
    return x if in_place else torch.cat(done, 1)


class SwinTransformer3D(nn.Module):
    """Map clips [N,3,T,H,W] to features [N,8C,T/2,H/32,W/32]."""

    def __init__(self, channels: int = 96, depths: Sequence[int] = (2, 2, 6, 2)):
        super().__init__()
        index = make_relative_index()
        last = len(depths) - 1
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv3d(3, channels, PATCH, PATCH), "norm": LayerNorm(channels)}
        )
        self.layers = nn.ModuleList(
            Stage(channels * 2**i, depth, i == last, index) for i, depth in enumerate(depths)
        )
        self.norm = LayerNorm(channels * 2**last)

    def forward(self, clips: Tensor, still_length: int = 0) -> Tensor:
        """Return features [N,T/2,H/32,W/32,8C].

        Args:
            clips: [N,3,T,H,W], normalised.
            still_length: where T = 1, the number of equal frames that one stands for.
        """
        if not still_length:
            sizes = zip(reversed(clips.shape[2:]), reversed(PATCH), strict=True)
            clips = F.pad(clips, [n for size, patch in sizes for n in (0, -size % patch)])
        norm = self.patch_embed["norm"]
        x = norm(embed_patches(clips, self.patch_embed["proj"]).to(norm.weight.dtype))
        depth = -(-(still_length or clips.shape[2]) // PATCH[0])
        weights = self.layers[0].blocks[0].attn.qkv.weight.dtype
        if has_kernels(x, weights, (depth, *x.shape[2:4]), len(self.layers)):
            return run_stages(self.layers, self.norm, x, depth)
        for stage in self.layers:
            x = stage(x, depth)
        return self.norm(x)
