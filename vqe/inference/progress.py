"""How far the work is -> a bar on stderr, or JSON lines on stdout."""

import json
import sys
import time
from typing import TextIO

from tqdm import tqdm

MODES = ("bar", "json", "none")
SECONDS = 1.0  # between two JSON lines of one file


class Progress:
    """Report file after file.

    A JSON line holds file, state (running, done, skipped or failed), frames, total (null where it
    is not known), fps and seconds_left; failed ones hold error.

    Args:
        mode: bar, json or none.
        files: how many there are.
        stream: where JSON lines go, None for standard output.

    Raises:
        ValueError: there is no such mode.
    """

    def __init__(self, mode: str, files: int, stream: TextIO | None = None) -> None:
        if mode not in MODES:
            raise ValueError(f"expected progress of {', '.join(MODES)}, got {mode}")
        self._mode = mode
        self._stream = stream or sys.stdout
        self._files = files
        self._number = 0
        self._bar: tqdm | None = None
        self._last = 0.0
        self._first: int | None = None
        self._total: int | None = None

    def begin(self, name: str) -> None:
        """Begin a file."""
        self._number += 1
        self._name, self._start, self._first = name, time.perf_counter(), None
        self._frames, self._total = 0, None
        if self._mode == "bar":
            place = f"{self._number}/{self._files} " if self._files > 1 else ""
            self._bar = tqdm(desc=place + name, unit="frame", dynamic_ncols=True)

    def update(self, frames: int, total: int | None) -> None:
        """Say how many frames of the file are done; those of an earlier run count in."""
        if self._first is None:
            self._first = frames - 1
            if self._bar is not None:
                self._bar.initial = self._bar.n = self._first
        self._frames, self._total = frames, total
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(frames - self._bar.n)
        now = time.perf_counter()
        if self._mode == "json" and now - self._last >= SECONDS:
            self._last = now
            self._write("running")

    def end(self, state: str, error: str | None = None) -> None:
        """End the file."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._mode == "json":
            self._write(state, error)

    def _write(self, state: str, error: str | None = None) -> None:
        seconds = time.perf_counter() - self._start
        fps = (self._frames - (self._first or 0)) / max(seconds, 1e-9)
        left = None
        if self._total is not None and fps > 0:
            left = round(max(0, self._total - self._frames) / fps, 1)
        line = {
            "file": self._name,
            "state": state,
            "frames": self._frames,
            "total": self._total,
            "fps": round(fps, 2),
            "seconds_left": left,
        }
        if error is not None:
            line["error"] = error
        print(json.dumps(line), file=self._stream, flush=True)
