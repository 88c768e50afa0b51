"""A row of the frame table -> a sample: frame, target and identity; or a clip of them."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from vqe.data.clips import Clips
from vqe.data.rows import FrameRow, FrameRows
from vqe.data.transforms import PairedTransform
from vqe.pixels import rgb_chw_u8
from vqe.schema import frame_stem
from vqe.video import OpenVideos, VideoError


def frame_seed(subset: str, video_id: str, frame: str) -> int:
    """Return the seed that stands for a frame: the same for the same frame on any machine."""
    return zlib.crc32(f"{subset}/{video_id}/{frame}".encode())


class FrameDataset(Dataset):
    """Frames named by a table: images, or frames of videos.

    A sample is a dict: `x` and `y`, RGB [3,H,W], uint8 unless a transform made them float in
    [0,1] (y is zero where there is no target), `has_target` (bool), `seed` (int, see
    `frame_seed`), `index` (int, position in the table) and `video` (int, the same for the frames
    of one video). A clip's are the same with a first dimension for its frames.

    A sample is asked for by its position, or by (position, seed), which fixes what a random
    transform draws; the global random state is left as it was.

    Args:
        table: frames as `vqe.data.index.read_index` returns them.
        root: the folder that the table's paths are relative to.
        transform: augmentation; None leaves the frames as they are.
        clips: which frames make a sample; None gives every frame on its own.
        open_videos: how many videos a process keeps open.
        threads: decoder threads of each of them.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        root: Path,
        transform: PairedTransform | None = None,
        *,
        clips: Clips | None = None,
        open_videos: int = 4,
        threads: int = 1,
    ) -> None:
        self.rows = FrameRows(table)
        self.root = Path(root)
        self.transform = transform or PairedTransform()
        self.clips = clips
        self.gives_clips = clips is not None and clips.length > 1
        self.videos = OpenVideos(open_videos, threads=threads)

    def __len__(self) -> int:
        return len(self.rows if self.clips is None else self.clips)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, torch.Tensor | int | bool]:
        index, draw = key if isinstance(key, tuple) else (key, None)
        positions = [index] if self.clips is None else self.clips[index]
        rows = [self.rows[position] for position in positions]
        x = self._read_all(rows, "img_source")
        y = self._read_all(rows, "img_target") if rows[0].paths["img_target"] else None
        with torch.random.fork_rng(devices=[], enabled=draw is not None):
            if draw is not None:
                torch.default_generator.manual_seed(draw)
            x, y = self.transform(x, y)
        identity = {
            "has_target": [y is not None] * len(rows),
            "seed": [_seed_of(row) for row in rows],
            "index": positions,
            "video": [row.video for row in rows],
        }
        # one zero seen at every pixel: memory that is never written costs no time
        frames = {"x": x, "y": torch.zeros((), dtype=x.dtype).expand_as(x) if y is None else y}
        if not self.gives_clips:
            return frames | {name: values[0] for name, values in identity.items()}
        return frames | {name: torch.tensor(values) for name, values in identity.items()}

    def _read_all(self, rows: list[FrameRow], column: str) -> torch.Tensor:
        """Return uint8 RGB, [3,H,W] of one row, [T,3,H,W] of a clip's."""
        frames = [rgb_chw_u8(self._read(row, column)) for row in rows]
        return torch.stack(frames) if self.gives_clips else frames[0]

    def _read(self, row: FrameRow, column: str) -> np.ndarray:
        path = self.root / row.paths[column]
        where = f"{path}; {self.rows.csv}, row {row.line}, column {column}"
        if not path.is_file():
            what = "an image" if row.frame is None else "a video"
            raise FileNotFoundError(
                f"expected {what}, got no such file ({where}). "
                "Run dataset_builder.py again to bring the CSV up to date"
            )
        if row.frame is None:
            frame = _read_image(path, where)
        else:
            frame = self._read_frame(path, row, where)
        if frame.shape[:2] != (row.h, row.w):
            raise ValueError(
                f"expected {row.h}x{row.w} pixels (h x w), got {frame.shape[0]}x"
                f"{frame.shape[1]} ({where}). Run dataset_builder.py again"
            )
        return frame

    def _read_frame(self, path: Path, row: FrameRow, where: str) -> np.ndarray:
        try:
            return self.videos.read(path, row.fps, row.frame)
        except VideoError as error:
            raise ValueError(
                f"expected frame {row.frame} of a video, got: {error.reason} ({where}). Replace "
                "the file and run dataset_builder.py again, or leave it out with a query"
            ) from error


def _seed_of(row: FrameRow) -> int:
    """Return the frame's seed: the same whether it is read from a video or was extracted."""
    name = Path(row.paths["img_source"]).stem if row.frame is None else frame_stem(row.frame)
    return frame_seed(row.subset, row.video_id, name)


def _read_image(path: Path, where: str) -> np.ndarray:
    data = np.fromfile(path, np.uint8)  # cv2.imread fails on unicode paths on Windows
    frame = _decode(data)
    if frame is None:
        raise ValueError(
            f"expected an image, got {len(data)} bytes that cannot be decoded ({where}). "
            "Replace the file, or leave its video out with a query"
        )
    return frame


def _decode(data: np.ndarray) -> np.ndarray | None:
    if not data.size:
        return None
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
