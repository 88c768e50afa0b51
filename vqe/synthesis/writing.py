"""Degraded and clean frames -> a video's files in the data folder, whole or not at all."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from vqe.synthesis.record import Place, video_paths
from vqe.video import VideoWriter

JPEG_QUALITY = 98  # of the files; how bad x is, its parameters say

WritePair = Callable[[np.ndarray, np.ndarray], None]


@contextmanager
def open_pair(source_dir: Path, place: Place) -> Iterator[WritePair]:
    """Hand out a function that writes a pair (x, y) of uint8 BGR frames.

    The files get their names when the block ends; after any exception none is left.
    """
    paths = video_paths(source_dir, place)
    remove_parts(source_dir, place)
    open_files = _open_images if place[0].endswith("synthetic") else _open_mp4s
    with open_files(paths) as write:
        yield write


def remove_parts(source_dir: Path, place: Place) -> None:
    """Remove what a killed run left of a video under temporary names."""
    for path in video_paths(source_dir, place).values():
        for target in (path.parent, path):
            part = _part(target)
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")  # as VideoWriter names its own


@contextmanager
def _open_images(paths: dict[str, Path]) -> Iterator[WritePair]:
    folder = paths["x"].parent
    part = _part(folder)
    for side in paths:
        (part / side).mkdir(parents=True)
    number = 0

    def write(x: np.ndarray, y: np.ndarray) -> None:
        nonlocal number
        number += 1
        for side, frame in (("x", x), ("y", y)):
            quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            _, data = cv2.imencode(".jpg", frame, quality)  # imwrite fails on some unicode paths
            (part / side / f"frame_{number:04d}.jpg").write_bytes(data)

    try:
        yield write
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _open_mp4s(paths: dict[str, Path]) -> Iterator[WritePair]:
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
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
