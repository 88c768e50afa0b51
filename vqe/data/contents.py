"""Frame table and synthesis.csv -> what each frame shows -> draws that see all equally often."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vqe.schema import VIDEO_KEY
from vqe.synthesis.record import Record


def number_contents(table: pd.DataFrame, data_dir: Path) -> np.ndarray:
    """Number what the frames show, from 0: int [N].

    It is the source that a video was made of, as `synthesis.csv` has it; a video that is not listed
    there is a content of its own.

    Args:
        table: frames as `vqe.data.index.read_index` returns them.
        data_dir: the folder that may hold a `synthesis.csv`.

    Raises:
        ValueError: the file is none that `synthesize.py` writes.
    """
    sources = {place: row["source"] for place, row in Record(data_dir).rows.items()}
    videos = table.groupby(VIDEO_KEY, observed=True, sort=True)
    numbers: dict[str | tuple[str, str], int] = {}
    of_videos = []
    for subset, video_id in videos.size().index:
        place = (str(subset), str(video_id))
        of_videos.append(numbers.setdefault(sources.get(place, place), len(numbers)))
    return np.array(of_videos, dtype=np.int64)[videos.ngroup().to_numpy()]


class PlainDraw:
    """Draws in which every sample comes once.

    Args:
        positions: [n] of the samples.
    """

    def __init__(self, positions: np.ndarray) -> None:
        self.positions = positions
        self.size = len(positions)

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """Return [size] positions in random order."""
        return random.permutation(self.positions)


class EvenDraw:
    """Draws from some of the samples, in which every content comes as often as its share says.

    How often it comes is rounded up or down at random, so that over epochs its share is exact. A
    content's samples are taken in turn: none a second time before all of them once.

    Args:
        positions: [n] of the samples to draw from.
        contents: [n] the number of what each of them shows.
        weights: [n] of each; a content's share is the sum of its samples' weights.
        size: samples of a draw.
    """

    def __init__(
        self, positions: np.ndarray, contents: np.ndarray, weights: np.ndarray, size: int
    ) -> None:
        order = np.argsort(contents, kind="stable")
        starts = np.flatnonzero(np.diff(contents[order])) + 1
        self.members = np.split(positions[order], starts)
        shares = np.array([part.sum() for part in np.split(weights[order], starts)])
        self.expected = shares * size / shares.sum()
        self.size = size

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """Return [size] positions in random order."""
        order = random.permutation(len(self.members))
        ends = np.cumsum(self.expected[order])
        ends[-1] = self.size  # of which rounding may have taken a little
        # a ruler laid over the shares at a random place: each end passes its floor or one more
        counts = np.diff(np.floor(ends + random.random()).astype(int), prepend=0)
        drawn = [
            _take_turns(random, self.members[i], count)
            for i, count in zip(order, counts, strict=True)
        ]
        return random.permutation(np.concatenate(drawn))


def _take_turns(random: np.random.Generator, members: np.ndarray, count: int) -> np.ndarray:
    passes = [random.permutation(members) for _ in range(-(-count // len(members)))]
    return np.concatenate(passes)[:count] if passes else members[:0]


def divide_evenly(contents: np.ndarray, groups: Sequence[np.ndarray]) -> list[EvenDraw]:
    """Return a draw for each group, all together of as many samples as there are.

    Args:
        contents: [N] the number of what each sample shows.
        groups: positions of the samples that may stand in one batch; no sample is in two.
    """
    weights = 1 / np.bincount(contents)[contents]  # of a content's samples, 1 together
    ends = np.cumsum([weights[group].sum() for group in groups])
    total = len(contents) / weights.sum() if len(contents) else 0.0
    sizes = np.diff(np.round(ends * total), prepend=0).astype(int).tolist()
    return [
        EvenDraw(group, contents[group], weights[group], size)
        for group, size in zip(groups, sizes, strict=True)
    ]
