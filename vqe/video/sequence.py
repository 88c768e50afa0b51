"""Frames of one video after the other -> a file for each, one open at a time."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vqe.video.writer import VideoWriter


class VideoSequence:
    """Write videos whose frames come video by video; the memory does not grow with them.

    A file has its name once it is complete, which is when the next one begins or at `close`.

    Args:
        crf: x264's quality.

    Attributes:
        written: complete files.
    """

    def __init__(self, *, crf: int) -> None:
        self.crf = crf
        self.written = 0
        self._path: Path | None = None
        self._writer: VideoWriter | None = None

    def write(self, path: Path, frames: Iterable[np.ndarray], *, fps: int) -> None:
        """Append frames, uint8 BGR [H,W,3], to the file of this path, which has this rate."""
        if path != self._path:
            self.close()
            self._path, self._writer = path, VideoWriter(path, fps=fps, crf=self.crf)
        for frame in frames:
            self._writer.write(frame)

    def close(self) -> None:
        """Complete the last file."""
        if self._writer is not None:
            self._writer.close()
            self.written += 1
        self._path = self._writer = None

    def abort(self) -> None:
        """Leave no half-written file."""
        if self._writer is not None:
            self._writer.abort()
        self._path = self._writer = None
