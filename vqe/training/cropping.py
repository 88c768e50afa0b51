"""A training batch -> the same random crops of x and y, and where they lie in the whole frames."""

from collections.abc import Sequence

import numpy as np
import torch

from vqe.models.crop import Crop


def crop_batch(
    batch: dict[str, torch.Tensor], size: Sequence[int], *, step: int
) -> tuple[dict[str, torch.Tensor], Crop]:
    """Cut a crop out of each frame; all frames of a clip have the same.

    Where it lies is drawn from the frame's own seed and the step, so that neither the number of
    ranks nor that of workers changes it.

    Args:
        batch: `x` and `y` [B,3,H,W] or [B,T,3,H,W], `seed` int [B] or [B,T]; left as it is.
        size: height and width of the crops in pixels.
        step: optimizer steps done so far.

    Returns:
        The batch with `x` and `y` cut, and the crops with the whole of `x` beside them.

    Raises:
        ValueError: the frames are smaller than the crop.
    """
    x = batch["x"]
    whole = np.array(x.shape[-2:])
    free = whole - size
    if min(size) < 1 or free.min() < 0:
        raise ValueError(
            f"expected crop = [height, width] from 1 to the frames' {whole[0]}x{whole[1]}, got "
            f"{list(size)}. Lower crop, or raise dataset.size"
        )
    seeds = batch["seed"].reshape(len(x), -1)[:, 0].tolist()
    corners = np.stack([np.random.default_rng((s, step)).integers(free + 1) for s in seeds])
    cut = {name: _cut(batch[name], corners, size) for name in ("x", "y")}
    places = np.concatenate([corners / whole, np.broadcast_to(size / whole, corners.shape)], 1)
    box = torch.tensor(places, dtype=torch.float32, device=x.device)
    return batch | cut, Crop(whole=x, box=box)


def _cut(frames: torch.Tensor, corners: np.ndarray, size: Sequence[int]) -> torch.Tensor:
    places = ((slice(top, top + size[0]), slice(left, left + size[1])) for top, left in corners)
    return torch.stack([f[..., rows, cols] for f, (rows, cols) in zip(frames, places, strict=True)])
