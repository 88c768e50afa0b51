"""Stages that work at the same time -> how fast each is, what it waited for, and who is slowest."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Stage:
    """What a stage did so far, all its workers together.

    Attributes:
        workers: that work side by side.
        frames: that it made.
        busy_seconds: of work.
        waited_seconds: for frames, or for somebody to take them.
    """

    workers: int = 1
    frames: int = 0
    busy_seconds: float = 0.0
    waited_seconds: float = 0.0

    @property
    def frames_per_second(self) -> float | None:
        """How many frames it makes a second while it works; None before the first."""
        if not self.frames or not self.busy_seconds:
            return None
        return self.workers * self.frames / self.busy_seconds

    def describe(self) -> dict[str, Any]:
        """Return plain numbers."""
        return {
            "frames_per_second": _round(self.frames_per_second),
            "frames": self.frames,
            "workers": self.workers,
            "busy_seconds": _round(self.busy_seconds),
            "waited_seconds": _round(self.waited_seconds),
        }


class StageClock:
    """Count the time of stages; threads may share one.

    Stages that a loop runs in turn tell the loop's time with `work`. It also waits for stages that
    run beside it: `wait`.

    Attributes:
        stages: by name, in the order of the first work.
        waits: seconds that the loop waited, by the stage waited for.
    """

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}
        self.waits: dict[str, float] = {}
        self._start = time.perf_counter()
        self._lock = threading.Lock()

    def add(
        self,
        name: str,
        *,
        frames: int = 0,
        busy: float = 0.0,
        waited: float = 0.0,
        workers: int = 1,
    ) -> None:
        """Add to a stage what it did."""
        with self._lock:
            stage = self.stages.setdefault(name, Stage())
            stage.frames += frames
            stage.busy_seconds += busy
            stage.waited_seconds += waited
            stage.workers = max(stage.workers, workers)

    @contextmanager
    def work(self, name: str, frames: int) -> Iterator[None]:
        """Count the time inside of this as a stage's work on so many frames."""
        start = time.perf_counter()
        yield
        self.add(name, frames=frames, busy=time.perf_counter() - start)

    @contextmanager
    def wait(self, name: str) -> Iterator[None]:
        """Count the time inside of this as the loop's waiting for a stage."""
        start = time.perf_counter()
        yield
        self.add_wait(name, time.perf_counter() - start)

    def add_wait(self, name: str, seconds: float) -> None:
        """Say how long the loop waited for a stage."""
        with self._lock:
            self.waits[name] = self.waits.get(name, 0.0) + seconds

    @property
    def bottleneck(self) -> str | None:
        """The stage that the loop spent most of its time on: at its work, or waiting for it."""
        times = {n: s.busy_seconds for n, s in self.stages.items() if n not in self.waits}
        times |= self.waits
        return max(times, key=lambda name: times[name]) if times else None

    def describe(self, frames: int) -> dict[str, Any]:
        """Return plain numbers of all stages, of a loop that made so many frames."""
        seconds = time.perf_counter() - self._start
        return {
            "frames": frames,
            "seconds": _round(seconds),
            "frames_per_second": _round(frames / seconds) if seconds else None,
            "bottleneck": self.bottleneck,
            "loop_waited_seconds": {name: _round(value) for name, value in self.waits.items()},
            "stages": {name: stage.describe() for name, stage in self.stages.items()},
        }


def show_stages(facts: dict[str, Any]) -> str:
    """Say in a line what `StageClock.describe` returned."""
    waits = facts["loop_waited_seconds"]
    parts = []
    for name, stage in facts["stages"].items():
        speed = stage["frames_per_second"]
        waited = f", waited for {waits[name]:.1f} s" if name in waits else ""
        parts.append(f"{name} {'-' if speed is None else f'{speed:.4g}'}{waited}")
    return (
        f"{facts['frames']} frames in {facts['seconds']:.1f} s, {facts['frames_per_second']:.4g} a "
        f"second; by stage: {'; '.join(parts)}. Bottleneck: {facts['bottleneck']}"
    )


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
