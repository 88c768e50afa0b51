"""Losses, gradients, weights and frames -> an error at the first that is no finite number."""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

SHOWN = 3  # names in a message
ADVICE = (
    "The last good weights stay in <run>/checkpoints. Start again from them with a lower "
    "optimizer.lr, or with trainer.precision=32-true"
)


class NonFiniteError(RuntimeError):
    """A training diverged, or a network gives no numbers."""


def check_losses(
    values: Mapping[str, Tensor], step: int, agree: Callable[[bool], bool] = bool
) -> None:
    """See that every loss term, a scalar each, is finite.

    Args:
        values: this rank's terms by name.
        step: for the message.
        agree: whether it is so on all ranks: one that stopped alone would leave the others waiting.

    Raises:
        NonFiniteError: one is not, here or on another rank.
    """
    stacked = torch.stack([value.detach().float() for value in values.values()])
    is_finite = bool(stacked.isfinite().all())
    if agree(is_finite):
        return
    if is_finite:
        raise NonFiniteError(f"expected finite loss terms on every rank in step {step}. {ADVICE}")
    bad = {name: value.item() for name, value in values.items() if not value.isfinite()}
    listing = ", ".join(f"{name} = {value}" for name, value in bad.items())
    raise NonFiniteError(f"expected finite loss terms, got {listing} in step {step}. {ADVICE}")


def check_gradients(network: nn.Module, step: int) -> None:
    """See that the norm of a network's gradient is finite.

    Raises:
        NonFiniteError: it is not.
    """
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    norm = nn.utils.get_total_norm(gradients.values())
    if norm.isfinite():
        return
    raise NonFiniteError(
        f"expected a finite gradient, got the norm {float(norm)} in step {step} "
        f"({list_names(find_non_finite(gradients)) or 'each value is finite'}). {ADVICE}"
    )


def check_weights(state: Mapping[str, Tensor], what: str) -> None:
    """See that all weights are finite.

    Raises:
        NonFiniteError: some are not.
    """
    if bad := find_non_finite(state):
        raise NonFiniteError(
            f"expected finite weights of {what}, got others in {list_names(bad)}. "
            "Take a checkpoint from before the training diverged"
        )


def check_frames(frames: Tensor | np.ndarray, where: str) -> None:
    """See that enhanced frames are finite, in one pass over them.

    Args:
        frames: of any shape, near [0,1].
        where: what made them and when, for the message.

    Raises:
        NonFiniteError: they are not.
    """
    # a sum over any value that is not finite is not finite; half precision would overflow in it
    total = frames.sum(dtype=torch.float32) if isinstance(frames, Tensor) else frames.sum()
    if not math.isfinite(float(total)):
        raise NonFiniteError(
            f"expected finite frames of {where}, got NaN or infinity. Take a checkpoint from "
            "before the training diverged, or more precision"
        )


def find_non_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of those with a value that is not finite."""
    return [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]


def list_names(names: Iterable[str], shown: int = SHOWN) -> str:
    """Join names for a message, not more than so many."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
