"""Degraded and clean frames -> a video's files in the data folder, whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from vqe.files import complete_or_absent
from vqe.synthesis.record import Place, video_paths
from vqe.video import VideoWriter

JPEG_QUALITY = 98  # of the files; how bad x is, its parameters say

WritePair = Callable[[np.ndarray, np.ndarray], None]


@contextmanager
def open_pair(target_dir: Path, place: Place) -> Iterator[WritePair]:
    """Hand out a function that writes a pair (x, y) of uint8 BGR frames.

    The files get their names when the block ends; after any exception none is left.
    """
    paths = video_paths(target_dir, place)
    open_files = _open_images if place[0].endswith("synthetic") else _open_mp4s
    with open_files(paths) as write:
        yield write


@contextmanager
def _open_images(paths: dict[str, Path]) -> Iterator[WritePair]:
    number = 0
    with complete_or_absent(paths["x"].parent) as part:
        for side in paths:
            (part / side).mkdir(parents=True)

        def write(x: np.ndarray, y: np.ndarray) -> None:
            nonlocal number
            number += 1
            for side, frame in (("x", x), ("y", y)):
                quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
                # imwrite fails on some unicode paths
                _, data = cv2.imencode(".jpg", frame, quality)
                (part / side / f"frame_{number:04d}.jpg").write_bytes(data)

        yield write


@contextmanager
def _open_mp4s(paths: dict[str, Path]) -> Iterator[WritePair]:
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a pair is never of two runs
    writers = {side: VideoWriter(path) for side, path in paths.items()}

    def write(x: np.ndarray, y: np.ndarray) -> None:
        for side, writer in writers.items():
            writer.write(x if side == "x" else y)

    whole = False
    try:
        yield write
        for writer in writers.values():
            writer.close()
        whole = True
    finally:
        if not whole:
            for writer in writers.values():
                writer.abort()
                writer.path.unlink(missing_ok=True)
