"""Paths -> the videos to score, each one's reference, and the frames of both in step."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqe.inputs import require_footage
from vqe.layout import VIDEO_SUFFIXES, find_files
from vqe.pixels import rgb_chw_u8
from vqe.video import iter_frames
from vqe.video.hardware import CPU

PAIRING_FPS = 30  # frames are paired by time, on the grid that the challenge renders
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
    found = find_files(source, VIDEO_SUFFIXES)
    visible = {path.relative_to(source).as_posix(): path for path in found}
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


def read_groups(
    video: Path, reference: Path | None, every: int, size: int, *, decoder: str = CPU
) -> Iterator[FrameGroup]:
    """Read every so-many-th frame from the first on, in groups of up to `size`.

    Beside a reference both are read at 30 frames a second, so that frames of one time meet,
    whatever the rates of the files; alone a video is read frame by frame.

    Raises:
        VideoError: a file cannot be read to its end.
        ValueError: the reference has another size or length.
    """
    pairs = islice(_read_pairs(video, reference, decoder), 0, None, every)
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
    video: Path, reference: Path | None, decoder: str
) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """Yield (number, frame, reference's frame): all frames alone, beside a reference by time."""
    if reference is None:
        frames = iter_frames(video, None, decoder=decoder)
        yield from ((number, frame, None) for number, frame in enumerate(frames))
        return
    both = zip_longest(
        *(iter_frames(path, PAIRING_FPS, decoder=decoder) for path in (video, reference))
    )
    for number, (frame, other) in enumerate(both):
        if frame is None or other is None:
            longer = reference if frame is None else video
            raise ValueError(
                f"expected a video as long as {reference}, got {video} where {longer.name} alone "
                f"goes on after {number / PAIRING_FPS:.2f} s. Render it with all of the reference"
            )
        yield number, *_cut_padding(video, reference, frame, other)


def _cut_padding(
    video: Path, reference: Path, frame: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut both to the reference's size where rendering padded an odd one to an even one."""
    height, width = other.shape[:2]
    if frame.shape[:2] in ((height, width), (height + height % 2, width + width % 2)):
        return frame[:height, :width], other
    sizes = ["x".join(map(str, f.shape[1::-1])) for f in (other, frame)]
    raise ValueError(
        f"expected frames of {sizes[0]} as in {reference}, got {sizes[1]} ({video}). "
        "Render it in the reference's size"
    )


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
