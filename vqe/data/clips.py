"""Frame table -> clips: runs of consecutive frames of one video and one size."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vqe.data.index import cut_sizes, group_videos


class Clips(Sequence[list[int]]):
    """Positions of the frames of every clip.

    A video's frames follow each other as the table has them in time order: rows that a query
    left out are no gap.

    Args:
        table: frames as `vqe.data.index.read_index` returns them.
        length: frames of a clip.
        stride: frames from the start of a clip to the start of the next.

    Raises:
        ValueError: a number is below 1, or no video is long enough.
    """

    def __init__(self, table: pd.DataFrame, *, length: int, stride: int = 1) -> None:
        if length < 1 or stride < 1:
            raise ValueError(
                "expected dataset.clip_length and dataset.clip_stride from 1 on, got "
                f"{length} and {stride}"
            )
        self.length = length
        runs = [run for video in group_videos(table).values() for run in cut_sizes(table, video)]
        ends = np.cumsum([len(run) for run in runs])
        starts = [
            np.arange(end - len(run), end - length + 1, stride, dtype=np.int32)
            for run, end in zip(runs, ends, strict=True)
        ]
        self.order = np.concatenate(runs)
        self.starts = np.concatenate(starts)
        if not len(self.starts):
            raise ValueError(
                f"expected videos of at least {length} frames, got none "
                f"({table.attrs.get('csv')}). Lower dataset.clip_length"
            )

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> list[int]:  # type: ignore[override] # no slices
        start = self.starts[index]
        return self.order[start : start + self.length].tolist()

    @property
    def first_frames(self) -> np.ndarray:
        """[N] positions of the frames that the clips start with."""
        return self.order[self.starts]
