"""Cut a token grid into boxes inside which attention runs: their cells, slots and fragments.

All of it depends on the size of the grid alone. Sizes are (depth, height, width) in tokens. The
published code rolls a shifted grid and masks, with -100, the pairs that the roll brought together
from both ends. Their weight is below 1e-35 unless logits differ by 20; here such a window is cut
into the boxes that do see one another, so that nothing is rolled, masked or computed in vain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = (8, 7, 7)
FRAGMENTS = 7  # a clip holds 7 x 7 fragments in space, each running through its whole length

Size = tuple[int, ...]  # depth, height, width


@dataclass(frozen=True)
class WindowGrid:
    """Say how a token grid is cut: `padded` is the grid filled up to whole windows."""

    padded: Size
    window: Size
    shift: Size

    def cut_time(self, depth: int) -> "WindowGrid":
        """Return the unshifted grid of the first `depth` slices, one window deep."""
        (_, height, width), (_, *window) = self.padded, self.window
        return WindowGrid((depth, height, width), (depth, *window), (0, 0, 0))


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of one size, at one place of their windows.

    Attributes:
        cells: raster number of each cell, [spatial,times,slots]: boxes behind one another in time
            share a bias.
        slots: the cells' places in a window, [slots].
    """

    cells: Tensor
    slots: Tensor


def make_grid(tokens: Size, shifted: bool) -> WindowGrid:
    """Cut a token grid; an axis no longer than a window becomes one window and is not shifted."""
    axes = list(zip(tokens, WINDOW, strict=True))
    window = tuple(min(t, w) for t, w in axes)
    padded = tuple(-(-t // w) * w for t, w in zip(tokens, window, strict=True))
    shift = tuple(w // 2 if shifted and t > w else 0 for t, w in axes)
    return WindowGrid(padded, window, shift)


@lru_cache(maxsize=64)
def cut_boxes(grid: WindowGrid) -> tuple[Boxes, ...]:
    """Cut a grid into boxes, largest first; together they hold every cell once."""
    with torch.inference_mode(False):  # they outlive the mode they were made in
        kinds = product(*map(_cut_axis, grid.padded, grid.window, grid.shift))
        boxes = [_make_boxes(grid, kind) for kind in kinds]
    return tuple(sorted(boxes, key=lambda b: -b.cells.shape[-1]))


def _cut_axis(size: int, window: int, shift: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut an axis into segments: (cells [count,length], places in their window [length])."""
    places = torch.arange(window)
    cells = (torch.arange(size) + shift).view(-1, window)
    if not shift:
        yield cells, places
        return
    if len(cells) > 1:
        yield cells[:-1], places
    last = cells[-1:]  # goes round the border, which parts it in two
    yield last[:, :-shift], places[:-shift]
    yield last[:, -shift:] - size, places[-shift:]


def _make_boxes(grid: WindowGrid, kind: tuple[tuple[Tensor, Tensor], ...]) -> Boxes:
    """Make the boxes that one kind of segment along each axis spans."""
    (d, d_place), (h, h_place), (w, w_place) = kind
    _, height, width = grid.padded
    # Axes: row of boxes, column of boxes, box in time, then the cells in a box.
    d = d[None, None, :, :, None, None]
    h = h[:, None, None, None, :, None]
    w = w[None, :, None, None, None, :]
    cells = (d * height + h) * width + w
    _, window_height, window_width = grid.window
    slots = (d_place[:, None, None] * window_height + h_place[:, None]) * window_width + w_place
    return Boxes(cells.flatten(3).flatten(0, 1).contiguous(), slots.flatten())


def list_cells(grid: WindowGrid) -> Tensor:
    """List the cells of a grid box by box, as raster numbers."""
    return torch.cat([boxes.cells.flatten() for boxes in cut_boxes(grid)])


@lru_cache(maxsize=64)
def make_order(
    source: WindowGrid | None, target: WindowGrid | None, device: torch.device
) -> Tensor:
    """Return the index that takes tokens from the boxes of one grid to those of another.

    None stands for raster order. A source of less depth is repeated to the depth of the target.
    """
    with torch.inference_mode(False):
        if target is None:
            order = torch.arange(torch.Size(source.padded).numel())
        else:
            order = list_cells(target)
        if source is not None:
            place_of_cell = list_cells(source).argsort()
            order = place_of_cell[order % len(place_of_cell)]
        return order.to(device)


def make_relative_index() -> Tensor:
    """Number the relative positions of all pairs in a full window: int64 [392,392]."""
    axes = torch.meshgrid(*map(torch.arange, WINDOW), indexing="ij")
    index = torch.zeros((), dtype=torch.int64)
    for axis, size in zip(axes, WINDOW, strict=True):
        position = axis.flatten()
        index = index * (2 * size - 1) + position[:, None] - position[None, :] + size - 1
    return index


def make_fragment_distances(grid: WindowGrid, boxes: Boxes) -> Tensor:
    """Count fragments between two cells of a box: [spatial,slots,slots].

    The fragments run through the whole depth, so that one box stands for all behind it.
    """
    _, height, width = grid.padded
    cells = boxes.cells[:, 0]
    distances = torch.zeros(())
    for size, position in ((height, cells // width % height), (width, cells % width)):
        fragments = F.interpolate(torch.arange(float(FRAGMENTS))[None, None], size=size)[0, 0]
        at = fragments[position]
        distances = distances + (at[:, :, None] - at[:, None, :]).abs()
    return distances
