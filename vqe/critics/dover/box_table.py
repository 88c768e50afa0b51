"""List the boxes of a grid and lay out their biases, for the GPU's attention to read."""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vqe.critics.dover.windows import WindowGrid, cut_boxes, list_cells

ROW_MULTIPLE = 32  # that a row of biases is padded to: keys looked at together
SHARE = 64  # queries that one program takes
LOG2_E = 1.4426950408889634


@dataclass(frozen=True, eq=False)
class BoxTable:
    """Say which cells attend to which.

    Attributes:
        places: where a token in raster order goes to lie box by box, int32 [source tokens].
        cells: raster numbers of the queries' cells, box by box, int32 [tokens].
        shares: int32 [shares,6]: where a box's queries start, and its keys; how many of both there
            are; the first query of a program; where the box's biases start.
    """

    places: Tensor
    cells: Tensor
    shares: Tensor


@lru_cache(maxsize=64)
def list_boxes(grid: WindowGrid, heads: int, merged: bool, device: torch.device) -> BoxTable:
    """List the boxes of a grid, largest first.

    Args:
        grid: unshifted if merged.
        heads: of the attention.
        merged: all slices in time are equal: one of them is the keys, one window the queries.
        device: of the result.
    """
    repeats = grid.window[0] if merged else 1
    sources, grid = (grid.cut_time(1), grid.cut_time(repeats)) if merged else (grid, grid)
    with torch.inference_mode(False):  # it outlives the mode it was made in
        shares, start, bias_start = [], 0, 0
        for boxes in cut_boxes(grid):
            spatial, times, queries = boxes.cells.shape
            keys = queries // repeats
            size = heads * queries * _pad(keys)
            for box in range(spatial * times):
                at, bias_at = start + box * queries, bias_start + box // times * size
                for first in range(0, queries, SHARE):
                    shares.append((at, at // repeats, queries, keys, first, bias_at))
            start += spatial * times * queries
            bias_start += spatial * size
        places = list_cells(sources).argsort()
        made = places, list_cells(grid), torch.tensor(shares)
        return BoxTable(*(part.to(device, torch.int32) for part in made))


def lay_out(biases: list[Tensor]) -> Tensor:
    """Lay out biases [spatial,heads,queries,keys], a tensor for each size of box, one by one.

    Returns:
        All of them, flat, in units of log 2, each row padded with -inf.
    """
    rows = []
    for bias in biases:
        margin = _pad(bias.shape[-1]) - bias.shape[-1]
        rows.append(F.pad(bias.float() * LOG2_E, (0, margin), value=-torch.inf).flatten())
    return torch.cat(rows).to(biases[0].dtype)


def _pad(keys: int) -> int:
    return -(-keys // ROW_MULTIPLE) * ROW_MULTIPLE
