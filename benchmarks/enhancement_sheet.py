"""Frames of several networks -> one PNG to look at: a row a clip, a column a network."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch

from vqe.files import complete_or_absent
from vqe.pixels import bgr_hwc_u8

WIDTH, BAND = 256, 18  # of a frame and of the words above it, in pixels
GREY = (40, 40, 40)


class Sheet:
    """Collect rows of frames; those beyond a number are passed over.

    Args:
        rows: how many at most.
    """

    def __init__(self, rows: int = 24) -> None:
        self.rows = rows
        self._strips: list[np.ndarray] = []

    def add(self, title: str, frames: Mapping[str, torch.Tensor]) -> None:
        """Add a row: uint8 RGB frames [3,H,W] by what to call them."""
        if len(self._strips) < self.rows:
            self._strips.append(
                np.hstack([draw_cell(f"{n} {title}", f) for n, f in frames.items()])
            )

    def write(self, path: Path) -> None:
        """Write the PNG; without rows there is none."""
        if not self._strips:
            return
        width = max(strip.shape[1] for strip in self._strips)
        rows = [
            cv2.copyMakeBorder(s, 0, 0, 0, width - s.shape[1], cv2.BORDER_CONSTANT, value=GREY)
            for s in self._strips
        ]
        with complete_or_absent(path) as part:
            part.write_bytes(cv2.imencode(".png", np.vstack(rows))[1])


def draw_cell(title: str, frame: torch.Tensor) -> np.ndarray:
    """Draw a frame below its title, uint8 BGR."""
    picture = bgr_hwc_u8(frame)
    height = max(1, round(WIDTH * picture.shape[0] / picture.shape[1]))
    picture = cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA)
    band = np.full((BAND, WIDTH, 3), GREY, np.uint8)
    words = title.encode("ascii", "replace").decode()  # all that OpenCV draws
    cv2.putText(band, words, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3, 1, cv2.LINE_AA)
    return np.vstack([band, picture])
