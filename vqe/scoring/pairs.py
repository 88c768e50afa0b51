"""Paths -> the videos to score, each one's reference, and the frames of both in step."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqe.inputs import require_footage
from vqe.layout import VIDEO_SUFFIXES
from vqe.pixels import rgb_chw_u8
from vqe.video import iter_frames

INPUT_SIDE = "_x"  # the challenge's inputs are video_0001_x.mp4, its results video_0001.mp4


@dataclass(frozen=True)
class FrameGroup:
    """Some frames of a video, in order, and the reference's frames of the same numbers."""

    numbers: tuple[int, ...]  # from 0
    frames: Tensor  # uint8 RGB [N,3,H,W]
    references: Tensor | None  # the same


def find_videos(source: Path) -> dict[str, Path]:
    """Find a file, or the videos in a folder and the folders below it, hidden ones left out.

    Returns:
        Paths by name, in the names' order; a name is the path relative to the folder.

    Raises:
        FileNotFoundError: there is no such path, or no video in the folder.
    """
    if source.is_file():
        return {source.name: source}
    require_footage(source, "input")
    found = {path.relative_to(source): path for path in source.rglob("*") if _is_video(path)}
    visible = {
        name.as_posix(): path
        for name, path in sorted(found.items())
        if not any(part.startswith(".") for part in name.parts)
    }
    if not visible:
        raise FileNotFoundError(
            f"expected videos ({', '.join(sorted(VIDEO_SUFFIXES))}) in {source}, got none"
        )
    return visible


def find_reference(name: str, reference: Path) -> Path:
    """Find a video's reference: the file itself, or the file of that name in a folder.

    The suffix may be any video's, but that of the video goes first; `<name>_x` is looked for too.

    Raises:
        FileNotFoundError: there is none, or more than one.
    """
    if not reference.is_dir():
        return reference  # reading it says what is wrong with it
    wanted = reference / name
    for stem in (wanted.stem, wanted.stem + INPUT_SIDE):
        same = wanted.with_name(stem + wanted.suffix)
        if same.is_file():
            return same
        others = sorted(p for p in wanted.parent.glob("*") if p.stem == stem and _is_video(p))
        if len(others) > 1:
            names = ", ".join(path.name for path in others)
            raise FileNotFoundError(f"expected one reference for {name}, got {names}. Remove some")
        if others:
            return others[0]
    raise FileNotFoundError(
        f"expected the reference {wanted.stem}{INPUT_SIDE} or {wanted.stem}, a video in "
        f"{wanted.parent}, got none"
    )


def read_groups(video: Path, reference: Path | None, every: int, size: int) -> Iterator[FrameGroup]:
    """Read every so-many-th frame from the first on, in groups of up to `size`.

    Raises:
        VideoError: a file cannot be read to its end.
        ValueError: the reference's frames have another size or number.
    """
    pairs = islice(_read_pairs(video, reference), 0, None, every)
    while group := list(islice(pairs, size)):
        numbers, frames, references = zip(*group, strict=True)
        yield FrameGroup(
            numbers=numbers,
            frames=torch.stack([rgb_chw_u8(frame) for frame in frames]),
            references=torch.stack([rgb_chw_u8(frame) for frame in references])
            if reference
            else None,
        )


def _read_pairs(
    video: Path, reference: Path | None
) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """Yield (number, frame, reference's frame), each video at its own rate."""
    frames = iter_frames(video, None)
    if reference is None:
        yield from ((number, frame, None) for number, frame in enumerate(frames))
        return
    both = zip_longest(frames, iter_frames(reference, None))
    for number, (frame, other) in enumerate(both):
        if frame is None or other is None:
            longer = reference if frame is None else video
            raise ValueError(
                f"expected as many frames as in {reference}, got {video} where {longer.name} alone "
                f"has more than {number}. Render it with every frame of the reference"
            )
        if frame.shape != other.shape:
            sizes = ["x".join(map(str, f.shape[1::-1])) for f in (other, frame)]
            raise ValueError(
                f"expected frames of {sizes[0]} as in {reference}, got {sizes[1]} ({video}). "
                "Render it in the reference's size"
            )
        yield number, frame, other


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
