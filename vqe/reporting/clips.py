"""Listed videos -> an mp4 of each beside the page: all sides of a frame in one picture.

What is one picture cannot fall out of step: the page cuts it into sides and draws the slider from
it. The clips play anywhere, and are what to send to somebody.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from vqe.files import complete_or_absent
from vqe.reporting.footage import Footage
from vqe.reporting.pictures import join_sides
from vqe.reporting.run import Key
from vqe.video import VideoWriter

log = logging.getLogger(__name__)

CRF = 18


@dataclass(frozen=True)
class Clip:
    """A file beside the page, its frame rate and the sides in it, from left to right."""

    name: str
    fps: int
    frames: int
    sides: list[str]
    width: int  # of one side
    height: int


def write_clips(
    footage: Footage,
    videos: Iterable[tuple[Key, str, int]],
    folder: Path,
    *,
    max_side: int,
) -> dict[Key, Clip]:
    """Write a clip of each video; one whose frames cannot be had is left out.

    Args:
        footage: where frames come from.
        videos: key, name of the file without its suffix, and frames per second.
        folder: where the clips go; it is replaced as a whole.
        max_side: pixels of a side's longer side.
    """
    clips = {}
    with complete_or_absent(folder) as part:
        part.mkdir()
        for key, name, fps in tqdm(list(videos), desc="clips", unit="video"):
            try:
                clips[key] = _write(footage, key, part / f"{name}.mp4", fps, max_side)
            except (OSError, RuntimeError, ValueError) as error:
                log.warning("%s: no clip: %s", key[1], error)
    return clips


def _write(footage: Footage, key: Key, path: Path, fps: int, max_side: int) -> Clip:
    count = footage.inputs.count(key)
    joined, sides = None, []
    with VideoWriter(path, fps=fps, crf=CRF) as writer:
        for frame in footage.stream(key, list(range(count))):
            sides = list(frame)
            joined = join_sides(frame.values(), max_side)
            writer.write(joined)
    height, width = joined.shape[:2]
    return Clip(path.name, fps, writer.frames, sides, width // len(sides), height)
