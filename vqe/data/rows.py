"""Frame table -> its rows one by one, from a few arrays of numbers.

Millions of rows take 44 bytes each, and worker processes share them: PyTorch hands a tensor to
another process without copying it.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from vqe.data.index import NO_VIDEO
from vqe.schema import VIDEO_KEY


@dataclass(frozen=True)
class FrameRow:
    """A row of a frame table.

    Attributes:
        paths: by column, `img_source` and `img_target`; "" where there is none.
        h: height of the frame.
        w: width of the frame.
        frame: number of the frame on the video's grid from 0 on; None: the paths name images.
        fps: rate of the grid, None likewise.
        subset: the row's subset.
        video_id: its video, unique within the subset.
        video: a number for both, unique within the table.
        line: of the CSV.
    """

    paths: dict[str, str]
    h: int
    w: int
    frame: int | None
    fps: int | None
    subset: str
    video_id: str
    video: int
    line: int


class FrameRows(Sequence[FrameRow]):
    """The rows of a table that `vqe.data.index.read_index` returned.

    Args:
        table: the table; it is not kept.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.csv = table.attrs.get("csv")
        self._sources = _Paths(table["img_source"].to_numpy(dtype=object))
        self._targets = _Paths(table["img_target"].to_numpy(dtype=object))
        videos, keys = pd.MultiIndex.from_frame(table[VIDEO_KEY]).factorize()
        self._keys = [tuple(map(str, key)) for key in keys]
        plain = [table[name].to_numpy() for name in ("h", "w", "frame", "fps", "row")]
        columns = [*self._sources.codes, *self._targets.codes, videos, *plain]
        self._numbers = torch.from_numpy(
            np.stack(columns, axis=1, dtype=np.int32, casting="unsafe")
        )
        del self._sources.codes, self._targets.codes

    @property
    def largest_area(self) -> int:
        """Pixels of the largest frame."""
        sizes = self._numbers[:, 5:7].long()
        return int(sizes.prod(dim=1).max()) if len(sizes) else 0

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> FrameRow:  # type: ignore[override] # no slices
        numbers = self._numbers[index].tolist()
        video, h, w, frame, fps, line = numbers[4:]
        subset, video_id = self._keys[video]
        return FrameRow(
            paths={
                "img_source": self._sources.join(*numbers[:2]),
                "img_target": self._targets.join(*numbers[2:4]),
            },
            h=h,
            w=w,
            frame=None if frame == NO_VIDEO else frame,
            fps=None if fps == NO_VIDEO else fps,
            subset=subset,
            video_id=video_id,
            video=video,
            line=line,
        )


class _Paths:
    """Paths as two numbers each, into lists of folders and of names, which repeat much."""

    def __init__(self, paths: Iterable[str]) -> None:
        folders: dict[str, int] = {}
        names: dict[str, int] = {}
        folder_codes, name_codes = array("i"), array("i")
        for path in paths:
            cut = path.rfind("/") + 1
            folder_codes.append(folders.setdefault(path[:cut], len(folders)))
            name_codes.append(names.setdefault(path[cut:], len(names)))
        self.codes = [np.frombuffer(codes, np.int32) for codes in (folder_codes, name_codes)]
        self.folders, self.names = list(folders), list(names)

    def join(self, folder: int, name: int) -> str:
        return self.folders[folder] + self.names[name]
