"""Frames of the listed videos -> pictures in the page, as many as its size allows."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from tqdm import tqdm

from vqe.reporting.footage import Footage
from vqe.reporting.run import Key

log = logging.getLogger(__name__)

MARKUP_BYTES = 400  # of a picture's own tags


@dataclass(frozen=True)
class Picture:
    """One side of a frame; `uri` holds it."""

    side: str
    width: int
    height: int
    uri: str


@dataclass(frozen=True)
class Still:
    """A frame: its number and the pictures of its sides, input first."""

    number: int
    pictures: list[Picture]


@dataclass
class Stills:
    """Frames of a video in order of time, or why there are none."""

    frames: list[Still] = field(default_factory=list)
    reason: str = ""


def take_pictures(
    footage: Footage,
    wanted: dict[Key, list[int]],
    *,
    max_bytes: int,
    max_side: int,
    quality: int,
) -> dict[Key, Stills]:
    """Encode the wanted frames: each video's first one, then their second ones, ...

    Args:
        footage: where frames come from.
        wanted: frame numbers of each video, both in order of importance.
        max_bytes: of all pictures together, as they stand in the page.
        max_side: pixels of a picture's longer side.
        quality: WebP's.

    Returns:
        Each wanted video's pictures.
    """
    stills = {key: Stills() for key in wanted}
    encoded = _encode_all(footage, wanted, stills, max_side=max_side, quality=quality)
    left = max_bytes
    for turn in range(max(map(len, wanted.values()), default=0)):
        for key, numbers in wanted.items():
            still = encoded.get((key, numbers[turn])) if turn < len(numbers) else None
            size = 0 if still is None else sum(len(p.uri) + MARKUP_BYTES for p in still.pictures)
            if still is not None and size <= left:
                stills[key].frames.append(still)
                left -= size
    for video in stills.values():
        video.frames.sort(key=lambda frame: frame.number)
        if not video.frames and not video.reason:
            video.reason = "left out to keep the file small: raise options.budget_mb"
    return stills


def _encode_all(
    footage: Footage,
    wanted: dict[Key, list[int]],
    stills: dict[Key, Stills],
    *,
    max_side: int,
    quality: int,
) -> dict[tuple[Key, int], Still]:
    encoded = {}
    for key, numbers in tqdm(wanted.items(), desc="pictures", unit="video"):
        try:
            for number, sides in zip(
                sorted(numbers), footage.stream(key, sorted(numbers)), strict=True
            ):
                pictures = [encode(side, f, max_side, quality) for side, f in sides.items()]
                encoded[key, number] = Still(number, pictures)
        except (OSError, RuntimeError, ValueError) as error:
            log.warning("%s: no pictures: %s", key[1], error)
            stills[key].reason = str(error)
    return encoded


def encode(side: str, frame: np.ndarray, max_side: int, quality: int) -> Picture:
    """Encode a frame, uint8 BGR [H,W,3], reduced where it is larger than `max_side`."""
    frame = fit(frame, max_side)
    _, data = cv2.imencode(".webp", frame, [cv2.IMWRITE_WEBP_QUALITY, quality])
    uri = "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode("ascii")
    return Picture(side, frame.shape[1], frame.shape[0], uri)


def fit(frame: np.ndarray, max_side: int, *, even: bool = False) -> np.ndarray:
    """Reduce a frame to at most `max_side` pixels a side; `even` cuts odd sizes by a pixel."""
    height, width = frame.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale < 1:
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    if even:
        frame = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
    return frame


def join_sides(sides: Iterable[np.ndarray], max_side: int) -> np.ndarray:
    """Put the sides of a frame beside each other, each reduced and of even size."""
    return np.hstack([fit(frame, max_side, even=True) for frame in sides])
