"""Optimizer and number of steps -> how the learning rate goes, and goes on in a longer run."""

import math
import time
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def schedule_steps(
    optimizer: Optimizer,
    scheduler: Callable[..., LRScheduler] | None,
    count_steps: Callable[[], int],
) -> dict[str, Any]:
    """Return what Lightning's `configure_optimizers` returns, stepped after each optimizer step.

    Args:
        optimizer: of the training.
        scheduler: called with the optimizer and `total_steps`; None keeps the learning rate.
        count_steps: returns the steps of the whole training; not asked without a scheduler.
    """
    if scheduler is None:
        return {"optimizer": optimizer}
    built = scheduler(optimizer, total_steps=count_steps())
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": built, "interval": "step"}}


def forget_lengths(checkpoint: dict[str, Any]) -> None:
    """Let a checkpoint's schedules end where the new run ends, which may be later."""
    for state in checkpoint.get("lr_schedulers", ()):
        for length in ("total_steps", "_schedule_phases"):  # OneCycleLR's
            state.pop(length, None)


def warmup_cosine(
    optimizer: Optimizer, total_steps: int, *, warmup_steps: int = 500, final_share: float = 0.01
) -> LambdaLR:
    """Build a schedule that is stepped after each optimizer step.

    It depends on the number of the step alone: a run that goes on for longer follows the longer
    schedule from where it is.

    Args:
        optimizer: its learning rates are the highest ones.
        total_steps: optimizer steps of the whole training.
        warmup_steps: of linear growth, from the first step's 1 / warmup_steps; at most half of
            `total_steps` are used.
        final_share: of the highest learning rate, reached at the end, in [0,1].

    Raises:
        ValueError: a number is out of its range.
    """
    if warmup_steps < 0 or not 0 <= final_share <= 1:
        raise ValueError(
            "expected scheduler.warmup_steps >= 0 and final_share in [0,1], got "
            f"{warmup_steps} and {final_share}"
        )
    warmup = min(warmup_steps, total_steps // 2)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return final_share + (1 - final_share) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, share)  # a function is not saved: resuming takes the new one


def timed_cosine(
    optimizer: Optimizer,
    total_steps: int,
    *,
    seconds: float,
    warmup_share: float = 0.05,
    clock: Callable[[], float] = time.monotonic,
) -> LambdaLR:
    """Build a schedule that follows the clock, for a training that ends with its time.

    Args:
        optimizer: its learning rates are the highest ones.
        total_steps: of the training; not needed.
        seconds: from now until the learning rate is 0, and stays there.
        warmup_share: of that time, of linear growth from 0.
        clock: tells the seconds.

    Raises:
        ValueError: a number is out of its range.
    """
    if seconds <= 0 or not 0 <= warmup_share < 1:
        raise ValueError(
            "expected scheduler.seconds above 0 and warmup_share in [0,1), got "
            f"{seconds} and {warmup_share}"
        )
    start = clock()

    def share(step: int) -> float:
        done = min(1.0, (clock() - start) / seconds)
        if done < warmup_share:
            return done / warmup_share
        return (1 + math.cos(math.pi * (done - warmup_share) / (1 - warmup_share))) / 2

    return LambdaLR(optimizer, share)
