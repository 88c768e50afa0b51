"""A row of the frame table -> the pixels it names: of an image, or of a video's frame."""

from pathlib import Path

import cv2
import numpy as np

from vqe.building.headers import HEAD, parse_head
from vqe.data.rows import FrameRow
from vqe.layout import MAX_PIXELS
from vqe.video import OpenVideos, VideoError


class FrameReader:
    """Read the frames of one table.

    Args:
        root: the folder that the rows' paths are relative to.
        csv: the table's file, for messages.
        open_videos: how many videos a process keeps open.
        threads: decoder threads of each of them.
        decoder: of each of them, see `vqe.video.hardware`.
    """

    def __init__(
        self,
        root: Path,
        csv: str | None,
        *,
        open_videos: int,
        threads: int,
        decoder: str = "cpu",
    ) -> None:
        self.root = Path(root)
        self.csv = csv
        self.videos = OpenVideos(open_videos, threads=threads, decoder=decoder)

    def read(self, row: FrameRow, column: str) -> np.ndarray:
        """Return the frame that a row names in a column, uint8 BGR [H,W,3], not to be written to.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be decoded, or has another size than the row says.
        """
        path = self.root / row.paths[column]
        where = f"{path}; {self.csv}, row {row.line}, column {column}"
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


def _read_image(path: Path, where: str) -> np.ndarray:
    data = np.fromfile(path, np.uint8)  # cv2.imread fails on unicode paths on Windows
    size = parse_head(data[:HEAD].tobytes())
    if size and size[0] * size[1] > MAX_PIXELS:
        raise ValueError(
            f"expected an image of at most {MAX_PIXELS} pixels, got {size[0]}x{size[1]} ({where})"
        )
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
