"""Folder of clean footage -> frames of it in memory, its sources split into training and held-out.

Frames are decoded once, before training: a few from all over each video, each picture whole.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqe.layout import PICTURE_SUFFIXES, VIDEO_SUFFIXES, find_files
from vqe.synthesis.degradation import FPS
from vqe.synthesis.sources import (
    fit_frame,
    is_picture,
    read_picture,
)
from vqe.video import VideoError, VideoFrames
from vqe.video.frame_index import count_frames

log = logging.getLogger(__name__)
MEGABYTE = 2**20


@dataclass(frozen=True)
class Footage:
    """Clean frames in memory, uint8 BGR, by source.

    Attributes:
        train: for each training source, its frames.
        held_out: the same for the sources that training never sees.
    """

    train: list[list[np.ndarray]]
    held_out: list[list[np.ndarray]]


def load_footage(
    source: Path,
    *,
    use: Sequence[str] = ("*",),
    hold_out: Sequence[str] | float = 0.2,
    frames_per_video: int = 24,
    max_size: tuple[int, int] = (720, 1280),
    max_memory_mb: int = 1024,
    seed: int = 0,
) -> Footage:
    """Find, split and decode clean videos and pictures.

    Args:
        source: the folder they lie in, at any depth.
        use: patterns of file names to train on, such as `*.mp4`; held-out ones need not match.
        hold_out: patterns of file names to hold out, or the share of the files to draw for it.
        frames_per_video: evenly spread over each.
        max_size: height and width that frames are shrunk to fit into.
        max_memory_mb: of all frames together; sources beyond it are left out, with a warning.
        seed: of the order in which sources are taken, and of the share drawn.

    Raises:
        FileNotFoundError: there is no source to train on, or none to hold out.
        ValueError: the memory does not hold one source of either kind.
    """
    train, held_out = split_sources(source, use=use, hold_out=hold_out, seed=seed)
    share = len(held_out) / (len(train) + len(held_out))
    loaded = []
    for paths, part in ((train, 1 - share), (held_out, share)):
        room = max_memory_mb * MEGABYTE * part
        loaded.append(_load_sources(paths, frames_per_video, max_size, room))
    if not all(loaded):
        raise ValueError(
            f"expected room for a training and a held-out source, got {max_memory_mb} MB "
            "(max_memory_mb). Raise it, or lower frames_per_video"
        )
    log.info("%d sources to train on, %d held out", *map(len, loaded))
    return Footage(*loaded)


def split_sources(
    source: Path, *, use: Sequence[str], hold_out: Sequence[str] | float, seed: int
) -> tuple[list[Path], list[Path]]:
    """List training and held-out files, in a random order.

    Raises:
        FileNotFoundError: there are none of a kind, or a pattern matches nothing.
    """
    suffixes = VIDEO_SUFFIXES | PICTURE_SUFFIXES
    found = find_files(source, suffixes)
    patterns = [] if isinstance(hold_out, float | int) else list(hold_out)
    unmatched = [q for q in [*use, *patterns] if not any(fnmatch(p.name, q) for p in found)]
    if unmatched:
        raise FileNotFoundError(
            f"expected clean videos or pictures named {', '.join(unmatched)} in {source}, got none"
        )
    order = np.random.default_rng(seed).permutation(len(found))
    used = [found[i] for i in order if any(fnmatch(found[i].name, q) for q in use)]
    if isinstance(hold_out, float | int):
        held_out = used[: max(1, round(hold_out * len(used)))]
    else:
        held_out = [found[i] for i in order if any(fnmatch(found[i].name, q) for q in patterns)]
    train = [p for p in used if p not in held_out]
    if not (train and held_out):
        raise FileNotFoundError(
            f"expected at least one source to train on and one to hold out in {source}, got "
            f"{len(train)} and {len(held_out)}. Add footage, or fix use and hold_out"
        )
    return train, held_out


def _load_sources(
    paths: list[Path], frames_per_video: int, max_size: tuple[int, int], room: float
) -> list[list[np.ndarray]]:
    sources = []
    for number, path in enumerate(tqdm(paths, desc="decoding", unit="source")):
        try:
            frames = [fit_frame(f, max_size) for f in _read_frames(path, frames_per_video)]
        except VideoError as error:
            log.warning("left out: %s", error)
            continue
        room -= sum(frame.nbytes for frame in frames)
        if room < 0:
            log.warning("max_memory_mb: %d of %d sources left out", len(paths) - number, len(paths))
            break
        sources.append(frames)
    return sources


def _read_frames(path: Path, count: int) -> list[np.ndarray]:
    if is_picture(path):
        return [read_picture(path)]
    video = VideoFrames(path, FPS)
    try:
        total = count_frames(path, FPS)
        places = sorted({round((i + 0.5) * total / count - 0.5) for i in range(count)})
        return [video.read(place).copy() for place in places]
    finally:
        video.close()
