"""Plain measures of frames against targets, in challenge range: loss terms and metrics use them."""

import torch

from vqe.pixels import to_challenge_range


def squared_error(frames: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each frame in challenge range.

    Args:
        frames: RGB [0,1] [B,3,H,W].
        targets: the same shape.

    Returns:
        [B], over all pixels and channels.

    Raises:
        ValueError: the shapes differ.
    """
    if frames.shape != targets.shape:
        raise ValueError(
            f"expected frames and targets of one shape, got {tuple(frames.shape)} and "
            f"{tuple(targets.shape)}. Pair every frame with a target of its own size"
        )
    difference = to_challenge_range(frames.float()) - to_challenge_range(targets.float())
    return difference.square().mean(dim=(1, 2, 3))


def rmse(frames: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Root mean squared error of each frame [B], 255/128 times the one taken in [0,1]."""
    return squared_error(frames, targets).sqrt()
