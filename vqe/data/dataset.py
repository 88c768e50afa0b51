"""A row of the frame table -> a sample: frame, target and identity."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from vqe.data.transforms import PairedTransform
from vqe.pixels import rgb_chw_u8


def frame_seed(subset: str, video_id: str, frame: str) -> int:
    """Return the seed that stands for a frame: the same for the same frame on any machine."""
    return zlib.crc32(f"{subset}/{video_id}/{frame}".encode())


class FrameDataset(Dataset):
    """Images named by a frame table.

    A sample is a dict: `x` and `y`, float RGB [0,1] [3,H,W] (y is zero where there is no target),
    `has_target` (bool), `seed` (int, see `frame_seed`) and `index` (int, position in the table).
    A sample is asked for by its position, or by (position, seed), which fixes what a random
    transform draws; the global random state is left as it was.

    Args:
        table: frames as `vqe.data.index.read_index` returns them.
        root: the folder that the table's paths are relative to.
        transform: augmentation; None converts alone.
    """

    def __init__(
        self, table: pd.DataFrame, root: Path, transform: PairedTransform | None = None
    ) -> None:
        self.table = table
        self.root = Path(root)
        self.transform = transform or PairedTransform()

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, torch.Tensor | int | bool]:
        index, draw = key if isinstance(key, tuple) else (key, None)
        row = self.table.iloc[index]
        x_u8 = self._read(row, "img_source")
        y_u8 = self._read(row, "img_target") if row["img_target"] else None
        with torch.random.fork_rng(devices=[], enabled=draw is not None):
            if draw is not None:
                torch.default_generator.manual_seed(draw)
            x, y = self.transform(x_u8, y_u8)
        seed = frame_seed(row["subset"], row["video_id"], Path(row["img_source"]).stem)
        return {
            "x": x,
            "y": torch.zeros_like(x) if y is None else y,
            "has_target": y is not None,
            "seed": seed,
            "index": index,
        }

    def _read(self, row: pd.Series, column: str) -> torch.Tensor:
        path = self.root / row[column]
        where = f"{path}; {self.table.attrs.get('csv')}, row {row['row']}, column {column}"
        try:
            data = np.fromfile(path, np.uint8)  # cv2.imread fails on unicode paths on Windows
        except OSError as error:
            raise FileNotFoundError(
                f"expected an image, got {error.strerror} ({where}). "
                "Run dataset_builder.py again to bring the CSV up to date"
            ) from error
        frame = _decode(data)
        if frame is None:
            raise ValueError(
                f"expected an image, got {len(data)} bytes that cannot be decoded ({where}). "
                "Replace the file, or leave its video out with a query"
            )
        if frame.shape[:2] != (row["h"], row["w"]):
            raise ValueError(
                f"expected {row['h']}x{row['w']} pixels (h x w), got {frame.shape[0]}x"
                f"{frame.shape[1]} ({where}). Run dataset_builder.py again"
            )
        return rgb_chw_u8(frame)


def _decode(data: np.ndarray) -> np.ndarray | None:
    if not data.size:
        return None
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
