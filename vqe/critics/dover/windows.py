"""Cut a token grid into attention windows: token order, shift mask and fragment distances.

All of it depends on the size of the grid alone. Sizes are (depth, height, width) in tokens; "slots"
are the cells of a grid listed window by window, depth outermost, the order attention works in.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = (8, 7, 7)
FRAGMENTS = 7  # a clip holds 7 x 7 fragments in space, each running through its whole length
MASK = -100.0  # as published, not minus infinity

Size = tuple[int, int, int]


@dataclass(frozen=True)
class WindowGrid:
    """Say how a token grid is cut: `padded` is the grid filled up to whole windows."""

    padded: Size
    window: Size
    shift: Size

    @property
    def counts(self) -> Size:
        """Number of windows along each axis."""
        depth, height, width = (p // w for p, w in zip(self.padded, self.window, strict=True))
        return depth, height, width

    def cut_time(self, depth: int) -> "WindowGrid":
        """Return the unshifted grid of the first `depth` slices, one window deep."""
        (_, height, width), (_, *window) = self.padded, self.window
        return WindowGrid((depth, height, width), (depth, *window), (0, 0, 0))


def make_grid(tokens: Size, shifted: bool) -> WindowGrid:
    """Cut a token grid; an axis no longer than a window becomes one window and is not shifted."""
    axes = list(zip(tokens, WINDOW, strict=True))
    window = tuple(min(t, w) for t, w in axes)
    padded = tuple(-(-t // w) * w for t, w in zip(tokens, window, strict=True))
    shift = tuple(w // 2 if shifted and t > w else 0 for t, w in axes)
    return WindowGrid(padded, window, shift)


def list_by_slot(cells: Tensor, grid: WindowGrid) -> Tensor:
    """Roll values [Dp,Hp,Wp] back by the shift and list them by slot: [windows, slots a window]."""
    (nd, nh, nw), (d, h, w) = grid.counts, grid.window
    rolled = cells.roll([-s for s in grid.shift], dims=(0, 1, 2))
    windows = rolled.view(nd, d, nh, h, nw, w).permute(0, 2, 4, 1, 3, 5)
    return windows.reshape(nd * nh * nw, d * h * w)


def number_cells(grid: WindowGrid) -> Tensor:
    """Number the cells of a padded grid in raster order, [Dp,Hp,Wp]."""
    return torch.arange(torch.Size(grid.padded).numel()).view(grid.padded)


@lru_cache(maxsize=64)
def make_order(
    source: WindowGrid | None, target: WindowGrid | None, device: torch.device
) -> Tensor:
    """Return the index that takes tokens from the slot order of one grid to that of another.

    None stands for raster order. A source of less depth is repeated to the depth of the target.
    """
    with torch.inference_mode(False):  # the index outlives the mode it was made in
        cells = number_cells(target or source)
        order = cells.flatten() if target is None else list_by_slot(cells, target).flatten()
        if source is not None:
            slot_of_cell = list_by_slot(number_cells(source), source).flatten().argsort()
            order = slot_of_cell[order % len(slot_of_cell)]
        return order.to(device)


def make_relative_index() -> Tensor:
    """Number the relative positions of all pairs in a full window: int64 [392,392]."""
    axes = torch.meshgrid(*map(torch.arange, WINDOW), indexing="ij")
    index = torch.zeros((), dtype=torch.int64)
    for axis, size in zip(axes, WINDOW, strict=True):
        position = axis.flatten()
        index = index * (2 * size - 1) + position[:, None] - position[None, :] + size - 1
    return index


def make_fragment_distances(grid: WindowGrid) -> Tensor:
    """Count fragments between two slots of a window: [spatial windows, h * w, h * w].

    The fragments run through the whole depth, so that one slice of a window stands for all.
    """
    _, height, width = grid.padded
    rows, columns = (
        F.interpolate(torch.arange(float(FRAGMENTS))[None, None], size=size)[0, 0]
        for size in (height, width)
    )
    flat = WindowGrid((1, height, width), (1, *grid.window[1:]), (0, *grid.shift[1:]))
    distances = torch.zeros(())
    for fragment in (rows[:, None].expand(height, width), columns.expand(height, width)):
        slots = list_by_slot(fragment[None], flat)
        distances = distances + (slots[:, :, None] - slots[:, None, :]).abs()
    return distances


def make_shift_mask(grid: WindowGrid) -> Tensor:
    """Mask pairs that the roll brought together: [windows, slots, slots] of 0 and `MASK`."""
    region = torch.zeros((), dtype=torch.int64)
    for axis, (size, shift) in enumerate(zip(grid.padded, grid.shift, strict=True)):
        wrapped = torch.arange(size) < shift  # these end up behind the last cell
        region = 2 * region + wrapped.view([-1 if i == axis else 1 for i in range(3)])
    slots = list_by_slot(region.expand(grid.padded), grid)
    return (slots[:, :, None] != slots[:, None, :]) * MASK
