"""Prepared videos -> rows of the frame CSVs, one after the other, and the minimal cut."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from vqe.building.preparation import PreparedVideo
from vqe.schema import FRAME_COLUMNS, VIDEO_COLUMNS

Row = tuple[str | int, ...]


class FrameTable:
    """The rows of one part of the data, made when they are asked for.

    Args:
        prepared: usable videos, in order.
        source_dir: the folder that paths are relative to.
        video_fps: rate of the rows that name a frame of an mp4; None where no row does.

    Attributes:
        columns: names, in the order of a row's values.
    """

    def __init__(self, prepared: list[PreparedVideo], source_dir: Path, video_fps: int | None):
        self.columns = FRAME_COLUMNS + (VIDEO_COLUMNS if video_fps else ())
        self._prepared = prepared
        self._source_dir = source_dir
        self._fps = video_fps

    def rows(self) -> Iterator[Row]:
        """Yield a row for each frame."""
        return self._rows_of(self._prepared)

    def minimal_rows(self, *, videos: int, frames: int) -> Iterator[Row]:
        """Yield the first `frames` frames of the first `videos` videos of each subset."""
        return self._rows_of(_first_of_each_subset(self._prepared, videos), frames)

    def _rows_of(
        self, prepared: Iterable[PreparedVideo], limit: int | None = None
    ) -> Iterator[Row]:
        for item in prepared:
            rows = self._video_rows(item) if item.names is None else self._image_rows(item)
            yield from islice(rows, limit)

    def _image_rows(self, item: PreparedVideo) -> Iterator[Row]:
        folder = self._relative(item.video.folder)
        has_target = "y" in item.video.sides
        rest: tuple[str, ...] = (item.video.subset, item.video.video_id)
        if self._fps:
            rest += ("",) * len(VIDEO_COLUMNS)
        for name, (width, height) in zip(item.file_names, item.each_size, strict=True):
            target = f"{folder}/y/{name}" if has_target else ""
            yield f"{folder}/x/{name}", target, height, width, *rest

    def _video_rows(self, item: PreparedVideo) -> Iterator[Row]:
        mp4s = item.video.mp4s
        source = self._relative(mp4s["x"])
        target = self._relative(mp4s["y"]) if "y" in mp4s else ""
        [(width, height)] = item.sizes
        start = (source, target, height, width, item.video.subset, item.video.video_id)
        return ((*start, frame, self._fps) for frame in range(item.frames))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._source_dir).as_posix()


def _first_of_each_subset(prepared: list[PreparedVideo], videos: int) -> Iterator[PreparedVideo]:
    seen: Counter[str] = Counter()
    for item in prepared:
        seen[item.video.subset] += 1
        if seen[item.video.subset] <= videos:
            yield item
