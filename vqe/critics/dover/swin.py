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

from vqe.critics.dover.patches import PATCH, embed_patches
from vqe.critics.dover.precision import LayerNorm
from vqe.critics.dover.windows import (
    WINDOW,
    WindowGrid,
    list_by_slot,
    make_fragment_distances,
    make_grid,
    make_order,
    make_relative_index,
    make_shift_mask,
)

HEAD_CHANNELS = 32
KEPT_GRIDS = 2  # whose biases a block keeps: up to 240 MB each in float32
GROUP_ON_CPU = 8  # windows computed at a time: few enough to stay in the processor's cache
GROUP = 1024  # elsewhere: enough to fill a GPU


class WindowAttention(nn.Module):
    """Attend within windows, with a bias that depends on where two slots lie."""

    def __init__(self, channels: int, gated: bool, relative_index: Tensor):
        super().__init__()
        self.heads = channels // HEAD_CHANNELS
        positions = torch.Size([2 * size - 1 for size in WINDOW]).numel()
        self.relative_position_bias_table = nn.Parameter(torch.zeros(positions, self.heads))
        self.fragment_position_bias_table = (
            nn.Parameter(torch.zeros(positions, self.heads)) if gated else None
        )
        self.register_buffer("relative_position_index", relative_index)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self._biases: dict[tuple, tuple[tuple, Tensor]] = {}

    def _apply(self, fn, recurse: bool = True):
        self._biases.clear()  # the weights are about to move or to change their type
        return super()._apply(fn, recurse)

    def bias(self, grid: WindowGrid, still: bool = False) -> Tensor:
        """Return the bias of a grid (see `_make_bias`), kept until a weight changes."""
        tables = (self.relative_position_bias_table, self.fragment_position_bias_table)
        stamp = [
            (t.data_ptr(), 0 if t.is_inference() else t._version) for t in tables if t is not None
        ]
        kept_stamp, bias = self._biases.get((grid, still), (None, None))
        if stamp != kept_stamp:
            with torch.inference_mode(False), torch.no_grad():
                bias = self._make_bias(grid, still)
            while len(self._biases) >= KEPT_GRIDS:
                self._biases.pop(next(iter(self._biases)))
            self._biases[grid, still] = stamp, bias
        return bias

    def _make_bias(self, grid: WindowGrid, still: bool) -> Tensor:
        """Add gated bias and shift mask: [patterns,heads,slots,slots].

        Windows behind one another in time share a pattern unless the grid is shifted in time. For
        a still, keys that are equal over time become one, of the same weight in the softmax.
        """
        depth, height, width = grid.window
        slots, area = depth * height * width, height * width
        bias = self._look_up(self.relative_position_bias_table, slots)
        if self.fragment_position_bias_table is not None:
            fragment_bias = self._look_up(self.fragment_position_bias_table, slots)
            gate = make_fragment_distances(grid).to(bias.device).view(-1, 1, 1, area, 1, area)
            gate = gate.expand(-1, 1, depth, area, depth, area).reshape(-1, 1, slots, slots)
            bias = fragment_bias + (bias - fragment_bias) * gate
        else:
            bias = bias.expand(grid.counts[1] * grid.counts[2], -1, -1, -1)
        if any(grid.shift):
            mask = make_shift_mask(grid).to(bias.device)
            mask = mask.view(grid.counts[0], -1, 1, slots, slots)
            bias = (bias + (mask if grid.shift[0] else mask[:1])).flatten(0, 1)
        if still:
            bias = bias.unflatten(-1, (depth, area)).logsumexp(-2)
        return bias.to(self.qkv.weight.dtype).contiguous()

    def _look_up(self, table: Tensor, slots: int) -> Tensor:
        """Return the bias of every pair of slots, [heads,slots,slots]."""
        index = self.relative_position_index[:slots, :slots]
        return table.float()[index.flatten()].view(slots, slots, -1).permute(2, 0, 1)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attend in windows [copies,patterns,slots,C] under biases [patterns,heads,queries,slots].

        With more queries than slots, the queries repeat. Returns [copies,patterns,queries,C].
        """
        copies, patterns, slots, channels = x.shape
        qkv = self.qkv(x).view(copies, patterns, slots, 3, self.heads, -1)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)  # each [copies,patterns,heads,slots,channels]
        queries = bias.shape[2]
        if queries > slots:
            q = q.repeat(1, 1, 1, queries // slots, 1)
        # One call takes one bias a window: run along the shorter of the two axes.
        axis = 0 if copies <= patterns else 1
        biases = [bias] * copies if axis == 0 else bias[:, None]
        parts = zip(q.unbind(axis), k.unbind(axis), v.unbind(axis), biases, strict=True)
        out = [F.scaled_dot_product_attention(*part).transpose(1, 2) for part in parts]
        joined = out[0].unsqueeze(axis) if len(out) == 1 else torch.stack(out, axis)
        return self.proj(joined.reshape(copies, patterns, queries, channels))


class Block(nn.Module):
    """Add attention, then an MLP, each behind a LayerNorm."""

    def __init__(self, channels: int, gated: bool, relative_index: Tensor):
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.attn = WindowAttention(channels, gated, relative_index)
        self.norm2 = LayerNorm(channels)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(channels, 4 * channels), "fc2": nn.Linear(4 * channels, channels)}
        )

    def forward(self, x: Tensor, bias: Tensor, filled: Tensor | None = None) -> Tensor:
        """Map [copies,patterns,slots,C] to the same shape, or to as many slots as queries.

        Args:
            x: tokens, window by window.
            bias: what `WindowAttention.bias` returns.
            filled: 1 for a token and 0 for padding, [patterns,slots,1], if there is padding.
        """
        normed = self.norm1(x)
        if filled is not None:
            normed = normed * filled
        repeats = bias.shape[2] // x.shape[2]
        x = x.repeat(1, 1, repeats, 1) if repeats > 1 else x
        x = x + self.attn(normed, bias)
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


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
        return self.reduction(self.norm(x.flatten(4)))


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

        at = None  # the grid whose slots the tokens are in; none at first: they are in raster order
        for block, grid in zip(self.blocks, cycle(grids), strict=False):
            target = grid.cut_time(1) if still else grid
            x = x[:, make_order(at, target, x.device)]
            slots = None if filled is None else list_by_slot(filled[: target.padded[0]], target)
            x = run_block(block, x, block.attn.bias(grid, still), slots)
            # All windows in time of a still are equal: the first stands for them.
            at = grid.cut_time(grid.window[0]) if still else grid
            still = False
        x = x[:, make_order(at, None, x.device)].unflatten(1, padded)
        x = x[:, :depth, :height, :width]
        return x if self.downsample is None else self.downsample(x)


def run_block(block: Block, x: Tensor, bias: Tensor, filled: Tensor | None) -> Tensor:
    """Run a block on tokens [N,windows * slots,C], a group of windows at a time."""
    patterns, _, queries, slots = bias.shape
    windows = x.unflatten(1, (-1, slots)).reshape(-1, patterns, slots, x.shape[-1])
    if filled is not None:
        filled = filled.repeat(len(x), 1).view(*windows.shape[:3], 1)
    limit = GROUP_ON_CPU if x.device.type == "cpu" else GROUP
    copies = max(1, limit // patterns)
    out = x.new_empty(len(windows), patterns, queries, x.shape[-1])
    for i in range(0, patterns, limit):
        for j in range(0, len(windows), copies):
            at = slice(j, j + copies), slice(i, i + limit)
            out[at] = block(windows[at], bias[at[1]], None if filled is None else filled[at])
    return out.view(len(x), -1, x.shape[-1])


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
        x = self.patch_embed["norm"](embed_patches(clips, self.patch_embed["proj"]))
        depth = -(-(still_length or clips.shape[2]) // PATCH[0])
        for stage in self.layers:
            x = stage(x, depth)
        return self.norm(x)
