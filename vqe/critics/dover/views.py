"""Cut the two views of a still frame: uint8 frames -> fragments and a small copy -> normalised.

The technical view keeps pixels as they are: a 7 x 7 grid of 32 x 32 patches, one from each cell of
the frame. The aesthetic view is the whole frame, made small.
"""

from functools import lru_cache

import torch
from torch import Tensor

GRID = 7
PATCH = 32
SIZE = GRID * PATCH
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)

Offsets = tuple[Tensor, Tensor]


def draw_offsets(
    height: int, width: int, num_clips: int, generator: torch.Generator | None = None
) -> Offsets:
    """Draw where each patch lies inside its cell, for frames of one size.

    Returns:
        Rows and columns, int64 [num_clips,7,7]: axis 1 counts cells downwards, axis 2 to the right.
    """
    rows, columns = (
        torch.randint(_count_offsets(size), (num_clips, GRID, GRID), generator=generator)
        for size in enlarge_to_fit(height, width)
    )
    return rows, columns


def enlarge_to_fit(height: int, width: int) -> tuple[int, int]:
    """Return the size at which fragments are cut: the shorter side is at least 224."""
    factor = max(1.0, SIZE / min(height, width))
    return round(height * factor), round(width * factor)


def cut_fragments(frames: Tensor, offsets: Offsets) -> Tensor:
    """Cut the technical views of frames.

    Args:
        frames: uint8 [B,C,H,W].
        offsets: rows and columns as from `draw_offsets`, [num_clips,7,7] for all frames or
            [B,num_clips,7,7].

    Returns:
        uint8 [B,num_clips,C,224,224].

    Raises:
        ValueError: the offsets have another shape or leave the frame.
    """
    batch, channels = frames.shape[:2]
    size = height, width = enlarge_to_fit(*frames.shape[2:])
    if size != tuple(frames.shape[2:]):
        frames = resize(frames, size)
    rows, columns = (_check_offsets(o, batch) for o in offsets)
    starts_y, starts_x = (
        (torch.arange(GRID) * (extent // GRID)).clamp(max=extent - PATCH) for extent in size
    )
    top, left = rows + starts_y[:, None], columns + starts_x
    last_y, last_x = (int(start.max()) + PATCH - 1 for start in (top, left))
    if top.min() < 0 or left.min() < 0 or last_y >= height or last_x >= width:
        raise ValueError(
            f"expected offsets that stay inside a frame of {height}x{width}, got rows up to "
            f"{last_y} and columns up to {last_x}. Draw them with draw_offsets"
        )
    # Axes: frame, clip, cell row, row in the patch, cell column, column in the patch.
    top, left = (start.to(frames.device)[:, :, :, None, :, None] for start in (top, left))
    within = torch.arange(PATCH, device=frames.device)
    y, x = top + within[:, None, None], left + within
    index = (y * width + x).flatten(1)[:, None].expand(batch, channels, -1)
    patches = frames.flatten(2).gather(2, index)
    return patches.view(batch, channels, -1, SIZE, SIZE).transpose(1, 2)


def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize uint8 frames [B,C,H,W] bilinearly, without antialiasing, and round.

    `F.interpolate` rounds values half-way between two integers now up, now down, depending on the
    device and the number of threads; this gives everywhere what it gives on two threads.
    """
    (top, bottom, down), (left, right, across) = (
        _neighbours(old, new, frames.device)
        for old, new in zip(frames.shape[2:], size, strict=True)
    )
    rows = frames[:, :, torch.cat([top, bottom])].float()
    rows = rows[..., left] * (1 - across) + rows[..., right] * across
    upper, lower = rows.chunk(2, dim=2)
    down = down[:, None]
    blended = upper.double() * (1 - down).double() + (lower * down).double()
    return blended.float().round().to(torch.uint8)


@lru_cache(maxsize=64)
def _neighbours(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each new position, the old ones before and after it and the latter's weight.

    Found on the CPU: a GPU divides by a number as it multiplies by its inverse.
    """
    with torch.inference_mode(False):  # they outlive the mode they were made in
        scale = torch.tensor(float(old)) / new
        position = (scale * (torch.arange(new) + 0.5) - 0.5).clamp(min=0)
        before = position.long().clamp(max=old - 1)
        found = before, (before + 1).clamp(max=old - 1), position - before
        return tuple(part.to(device) for part in found)


def shrink(frames: Tensor) -> Tensor:
    """Make the aesthetic views of uint8 frames [B,C,H,W]: uint8 [B,C,224,224]."""
    return resize(frames, (SIZE, SIZE))


def normalise(views: Tensor) -> Tensor:
    """Turn uint8 views [...,3,H,W] into float32 of about zero mean and unit deviation."""
    mean, std = (views.new_tensor(v, dtype=torch.float32)[:, None, None] for v in (MEAN, STD))
    return (views - mean) / std


def _count_offsets(extent: int) -> int:
    return max(1, extent // GRID - PATCH)


def _check_offsets(offsets: Tensor, batch: int) -> Tensor:
    """Return offsets as [1 or B,num_clips,7,7] on the CPU."""
    offsets = torch.as_tensor(offsets).cpu()
    per_frame = offsets if offsets.ndim == 4 else offsets[None]
    shape = tuple(per_frame.shape)
    if per_frame.ndim != 4 or shape[2:] != (GRID, GRID) or shape[0] not in (1, batch):
        raise ValueError(
            f"expected offsets [num_clips,7,7] or [{batch},num_clips,7,7], got "
            f"{list(offsets.shape)}. Draw them with draw_offsets"
        )
    return per_frame
