"""Frames, one by one -> an h264 mp4 that appears whole or not at all (`VideoWriter`)."""

import errno
import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from vqe.files import explain_no_space, put_in_place
from vqe.temporary import name_temporary, remove
from vqe.video.source import VideoError

log = logging.getLogger(__name__)

ENCODER = Path(__file__).with_name("encoder.py")
# glibc fills new memory with the complement of this byte; why: see the encoder
ZEROED_MEMORY = {"MALLOC_PERTURB_": "255"}


class VideoWriter:
    """Write BGR frames to an mp4; the defaults give the challenge's ffmpeg command bit by bit.

    The file grows under a temporary name in its folder and gets its own name in `close`; after
    `abort` neither is left. As a context manager it closes, or aborts after an exception.

    Args:
        path: the mp4 to make; its folder exists.
        fps: frames per second, constant.
        crf: libx264's quality, smaller is better.
        pix_fmt: pixel format of the stream.
        preset: libx264's preset, None for its default.

    Attributes:
        frames: how many were written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: int | Fraction = 30,
        crf: int = 18,
        pix_fmt: str = "yuv420p",
        preset: str | None = None,
    ):
        self.path = Path(path).absolute()
        self.frames = 0
        self._part: Path | None = None  # from the first frame on
        self._fps = fps
        self._pix_fmt = pix_fmt
        self._options = {"crf": str(crf)} | ({"preset": preset} if preset else {})
        self._shape: tuple[int, ...] | None = None
        self._encoder: subprocess.Popen | None = None
        self._finished = False

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, frame: np.ndarray) -> None:
        """Append one frame.

        Args:
            frame: uint8, HxWx3, BGR, each of the first one's size. An odd width or height is
                padded by repeating the last column or row.

        Raises:
            ValueError: another type or size, or the writer is closed.
            VideoError: the library fails.
            NoSpaceError: the disk is full.
        """
        self._check(frame)
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._encoder is None:
            self._open(height, width)
        try:
            self._encoder.stdin.write(np.ascontiguousarray(frame))
        except OSError:  # the encoder is gone
            self._finish_encoder()
            raise
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name; a second call does nothing.

        Raises:
            VideoError: no frame was written, or the library fails; then no file is left.
            NoSpaceError: the disk is full.
        """
        if self._finished:
            return
        if self.frames == 0:
            self.abort()
            raise VideoError(self.path, "expected at least one frame, got none: not written")
        self._finish_encoder()
        try:
            put_in_place(self._part, self.path)
        except OSError as e:
            self.abort()
            raise VideoError(self.path, f"cannot be written: {e.strerror}") from e
        self._finished = True

    def interrupt(self) -> None:
        """Let a `write` or `close` that waits in another thread fail at once."""
        if self._encoder is not None:
            self._encoder.kill()

    def abort(self) -> None:
        """Drop what was written; a file that had the name before keeps it."""
        if self._finished:
            return
        self._finished = True
        if self._encoder is not None:
            self._encoder.kill()
            self._encoder.wait()
            with suppress(OSError):  # what its pipe still holds is dropped
                self._encoder.stdin.close()
            self._encoder.stderr.close()
        if self._part is not None:
            remove(self._part)

    def _check(self, frame: np.ndarray) -> None:
        where = f"({self.path}, frame {self.frames + 1})"
        if self._finished:
            raise ValueError(f"expected no frame after close {where}")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise ValueError(f"expected uint8 HxWx3, got {frame.dtype} {frame.shape} {where}")
        if self._shape is None:
            self._shape = frame.shape
        if frame.shape != self._shape:
            raise ValueError(f"expected the first frame's {self._shape}, got {frame.shape} {where}")

    def _open(self, height: int, width: int) -> None:
        padded = (width + width % 2, height + height % 2)
        if padded != (width, height):
            log.warning(
                "%s: %dx%d padded to %dx%d by repeating the last column or row",
                *(self.path, width, height, *padded),
            )
        self._part = name_temporary(self.path)
        settings = {
            "path": str(self._part),
            "width": padded[0],
            "height": padded[1],
            "fps": str(self._fps),
            "pix_fmt": self._pix_fmt,
            "options": self._options,
        }
        self._encoder = subprocess.Popen(
            [sys.executable, str(ENCODER), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | ZEROED_MEMORY,
        )

    def _finish_encoder(self) -> None:
        """Wait until the encoder has written all; raise its last words if it failed."""
        with suppress(OSError):
            self._encoder.stdin.close()
        words = self._encoder.stderr.read().decode(errors="replace").split("\n")
        if self._encoder.wait() != 0:
            self.abort()
            last = next((line for line in reversed(words) if line.strip()), "the encoder died")
            if last == os.strerror(errno.ENOSPC):
                raise explain_no_space(self.path.parent)
            raise VideoError(self.path, f"cannot be written: {last}")
