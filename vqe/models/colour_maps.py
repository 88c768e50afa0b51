"""A coarse grid of colour maps -> a map for each pixel, applied to its colour.

The grid is upsampled bilinearly by two matrix products: ONNX Runtime and PyTorch run them faster
on a CPU than a resize, and the same code samples a part of the frame.
"""

import torch
from torch import Tensor

TERMS = 5  # of a map: red, green, blue, 1 and x(1 - x) of the channel itself
MAP_CHANNELS = 3 * TERMS


def apply_colour_maps(maps: Tensor, frames_bchw: Tensor, box: Tensor | None = None) -> Tensor:
    """Add to each pixel what its map makes of its colour.

    Args:
        maps: `[B,15,h,w]`, channel `3 * term + colour`; zeros change nothing.
        frames_bchw: RGB `[B,3,H,W]`.
        box: `[B,4]`, where the frames lie in those that the maps cover; None is everywhere.

    Returns:
        `[B,3,H,W]`, not clamped.
    """
    # Out of half precision, in which smooth light shows as bands.
    with torch.autocast(frames_bchw.device.type, enabled=False):
        rows, columns = _make_samplers(frames_bchw, maps, box)
        tall = torch.matmul(rows, maps.float())
        red, green, blue, offset, curve = tall.split(3, dim=1)
        # One term after the other: a frame's memory is what costs, not its arithmetic.
        changed = frames_bchw + torch.matmul(offset, columns)
        for weight, colour in zip((red, green, blue), frames_bchw.split(1, dim=1), strict=True):
            changed = torch.addcmul(changed, torch.matmul(weight, columns), colour)
        bend = frames_bchw - frames_bchw * frames_bchw
        return torch.addcmul(changed, torch.matmul(curve, columns), bend)


def count_colour_map_macs(pixels: int) -> dict[str, int]:
    """Count what applying costs beside the matrix products."""
    return {"colour maps": (MAP_CHANNELS + 3) * pixels}


def _make_samplers(frames: Tensor, maps: Tensor, box: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the matrices that sample a grid's rows, `[H,h]`, and columns, `[w,W]`.

    With a box there is one for each frame, `[B,1,H,h]` and `[B,1,w,W]`.
    """
    height, width = frames.shape[-2:]
    places = place_pixels(height, width, frames.device, box)
    rows, columns = (
        _linear_weights(p, cells) for p, cells in zip(places, maps.shape[-2:], strict=True)
    )
    if box is None:
        return rows[0], columns[0].T
    return rows[:, None], columns.mT[:, None]


def place_pixels(
    height: int, width: int, device: torch.device, box: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return where centres of pixels lie in the whole frame, in [0,1]: `[B,H]` and `[B,W]`.

    B is 1 where there is no box.
    """
    rows = (torch.arange(height, device=device) + 0.5)[None] / height
    columns = (torch.arange(width, device=device) + 0.5)[None] / width
    if box is None:
        return rows, columns
    top, left, tall, wide = box.to(device, torch.float32).split(1, dim=1)
    return top + tall * rows, left + wide * columns


def _linear_weights(places: Tensor, cells: int) -> Tensor:
    """Weigh a side's cells for each place, `[B,n]` -> `[B,n,cells]`; the ends are extended."""
    centres = (places * cells - 0.5).clamp(0, cells - 1)
    numbers = torch.arange(cells, device=places.device)
    return (1 - (centres[..., None] - numbers).abs()).clamp(min=0)
