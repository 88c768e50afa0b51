"""Attend inside boxes of tokens, under a bias that is made once for a size of grid.

The gated relative position bias of "FAST-VQA" (Wu et al., 2022). Parameter names are the keys of
the published checkpoint.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqe.critics.dover.box_table import lay_out
from vqe.critics.dover.windows import (
    WINDOW,
    Boxes,
    WindowGrid,
    cut_boxes,
    make_fragment_distances,
)

HEAD_CHANNELS = 32
KEPT_GRIDS = 2  # whose biases a block keeps: up to 120 MB each in float32
MAKING_BIASES = threading.Lock()
Arrange = Callable[[list[Tensor]], list[Tensor] | Tensor]


@dataclass(frozen=True)
class Piece:
    """Boxes of one size that follow one another in memory: [spatial,times,slots] tokens."""

    bias: Tensor  # [spatial,heads,queries,slots]
    times: int

    @property
    def slots(self) -> int:
        """Tokens of a box."""
        return self.bias.shape[3]

    @property
    def repeats(self) -> int:
        """Queries for each of them: more than one where a slice stands for a whole window."""
        return self.bias.shape[2] // self.slots

    @property
    def tokens(self) -> int:
        """Tokens of all boxes."""
        return len(self.bias) * self.times * self.slots

    def unfold(self, x: Tensor) -> Tensor:
        """View [copies,tokens,C] as [copies,spatial,times,slots,C]."""
        return x.unflatten(1, (len(self.bias), self.times, -1))


def cut_pieces(biases: list[Tensor], times: list[int], limit: int) -> Iterator[list[Piece]]:
    """Cut boxes into pieces, and gather these to chunks of about `limit` tokens."""
    chunk, tokens = [], 0
    for bias, count in zip(biases, times, strict=True):
        at_once = max(1, limit // (count * bias.shape[3]))
        for part in bias.split(at_once):
            chunk.append(Piece(part, count))
            tokens += chunk[-1].tokens
            if tokens >= limit:
                yield chunk
                chunk, tokens = [], 0
    if chunk:
        yield chunk


class WindowAttention(nn.Module):
    """Attend within boxes of tokens, with a bias that depends on where two of them lie."""

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
        self._biases: dict[tuple, tuple[list, list[Tensor] | Tensor]] = {}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        self._biases.clear()  # the weights are about to move or to change their type
        return super()._apply(fn, recurse)

    def biases(self, grid: WindowGrid, still: bool = False) -> list[Tensor]:
        """Return the biases of a grid's boxes (see `_make_bias`), kept until a weight changes."""
        return self._keep(grid, still, list)

    def _keep(self, grid: WindowGrid, still: bool, arrange: Arrange) -> list[Tensor] | Tensor:
        tables = (self.relative_position_bias_table, self.fragment_position_bias_table)
        stamp = [
            (t.data_ptr(), 0 if t.is_inference() else t._version) for t in tables if t is not None
        ]
        with MAKING_BIASES:  # clips run side by side
            kept_stamp, biases = self._biases.get((grid, still, arrange), (None, None))
            if stamp != kept_stamp:
                with torch.inference_mode(False), torch.no_grad():
                    made = (self._make_bias(grid, boxes, still) for boxes in cut_boxes(grid))
                    biases = arrange(list(made))
                while len(self._biases) >= KEPT_GRIDS:
                    self._biases.pop(next(iter(self._biases)))
                self._biases[grid, still, arrange] = stamp, biases
        return biases

    def flat_bias(self, grid: WindowGrid, still: bool = False) -> Tensor:
        """Return the same as the GPU's kernel reads it, see `vqe.critics.dover.box_table`."""
        return self._keep(grid, still, lay_out)

    def _make_bias(self, grid: WindowGrid, boxes: Boxes, still: bool) -> Tensor:
        """Make the gated bias: [spatial,heads,queries,slots].

        For a still, keys that are equal over time become one, of the same weight in the softmax.
        """
        bias = self._look_up(self.relative_position_bias_table, boxes.slots)
        if self.fragment_position_bias_table is not None:
            fragment_bias = self._look_up(self.fragment_position_bias_table, boxes.slots)
            gate = make_fragment_distances(grid, boxes).to(bias.device)[:, None]
            bias = fragment_bias + (bias - fragment_bias) * gate
        else:
            bias = bias.expand(len(boxes.cells), -1, -1, -1)
        if still:
            bias = bias.unflatten(-1, (grid.window[0], -1)).logsumexp(-2)
        return bias.to(self.qkv.weight.dtype).contiguous()

    def _look_up(self, table: Tensor, slots: Tensor) -> Tensor:
        """Return the bias of every pair of slots, [heads,slots,slots]."""
        slots = slots.to(table.device)
        index = self.relative_position_index[slots[:, None], slots]
        return table.float()[index.flatten()].view(*index.shape, -1).permute(2, 0, 1)

    def forward(self, qkv: Tensor, bias: Tensor, out: Tensor) -> None:
        """Attend in boxes.

        Args:
            qkv: queries, keys and values, [copies,spatial,times,slots,3C].
            bias: [spatial,heads,queries,slots]; with more queries than slots the queries repeat.
            out: takes the result, [copies,spatial,times,queries,C].
        """
        spatial, _, queries, slots = bias.shape
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(4, 0, 1, 2, 5, 3, 6)
        if queries > slots:
            q = q.repeat(1, 1, 1, 1, queries // slots, 1)
        out = out.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
        if qkv.device.type != "cpu":  # calls cost more than copies: box and head become one axis
            parts = (part.transpose(1, 2).flatten(2, 3).flatten(0, 1) for part in (q, k, v))
            done = F.scaled_dot_product_attention(*parts, bias.flatten(0, 1)[None])
            out.transpose(1, 2).copy_(done.view(out.transpose(1, 2).shape))
            return
        # One call takes one bias a box: run along the shorter of the two axes.
        if spatial <= qkv.shape[0] * qkv.shape[2]:
            for i in range(spatial):
                parts = (part[:, i].flatten(0, 1) for part in (q, k, v))
                done = F.scaled_dot_product_attention(*parts, bias[i, None])
                out[:, i] = done.view(out[:, i].shape)
            return
        for copy, time in product(range(qkv.shape[0]), range(qkv.shape[2])):
            parts = (part[copy, :, time] for part in (q, k, v))
            out[copy, :, time] = F.scaled_dot_product_attention(*parts, bias)
