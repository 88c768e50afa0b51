"""Tables of one run or two -> the tiles: each number before and after, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vqe.reporting.intervals import Interval, VideoDraws, find_interval
from vqe.reporting.run import SUPERVISED, UNSUPERVISED
from vqe.reporting.videos import find_score
from vqe.schema import ATTRIBUTES, INVERTED_SCORES, SCORES

BEFORE, AFTER = "_input", ""


@dataclass(frozen=True)
class Number:
    """What a tile or a column shows.

    Attributes:
        name: column of the videos' table.
        kind: of the videos that have it.
        label: for people.
        hint: what it means.
        digits: behind the point.
        rises: whether more is better.
    """

    name: str
    kind: str
    label: str
    hint: str
    digits: int = 3
    rises: bool = True


FLICKER = "standard deviation over time of the mean luma less "
MAIN = (
    Number("rmse", SUPERVISED, "RMSE", "to the target, in challenge range", 3, rises=False),
    Number("p", UNSUPERVISED, "p", "how likely the critic finds it better than the input"),
    Number(
        *("flicker", SUPERVISED, "Flicker, with target"),
        f"{FLICKER}the target's, 8-bit levels",
        *(2, False),
    ),
    Number(
        *("flicker", UNSUPERVISED, "Flicker, without target"),
        f"{FLICKER}its own median of a second, 8-bit levels",
        *(2, False),
    ),
)
SCALES = tuple(
    Number(name, UNSUPERVISED, name, "the challenge's, raw", 3, name not in INVERTED_SCORES)
    for name in ATTRIBUTES
)
SCORE = Number("score", "", "Score", "the leaderboard's: mean of the oriented scores over RMSE", 3)


@dataclass(frozen=True)
class Estimate:
    """A number of the inputs and of each run, and the change.

    Attributes:
        number: which one.
        videos: how many have it.
        before: of the inputs.
        after: of each run.
        change: after less before; with two runs the second less the first.
    """

    number: Number
    videos: int
    before: Interval
    after: list[Interval]
    change: Interval

    @property
    def verdict(self) -> str:
        """What the change's interval says: better, worse, or nothing sure."""
        sign = self.change.sign if self.number.rises else -self.change.sign
        return {1: "better", -1: "worse", 0: ""}[sign]


class Estimates:
    """Means over the videos of one run or two, which share their videos.

    Args:
        tables: of `build_videos`, with one index.
        replicates: draws of the bootstrap.
        seed: of the draws.
    """

    def __init__(self, tables: Sequence[pd.DataFrame], *, replicates: int, seed: int) -> None:
        self.tables = list(tables)
        kinds = self.tables[0].index.get_level_values(0)
        self._rows = {kind: kinds == kind for kind in (SUPERVISED, UNSUPERVISED)}
        self._draws = {
            kind: VideoDraws(int(rows.sum()), replicates=replicates, seed=seed + i)
            for i, (kind, rows) in enumerate(self._rows.items())
        }

    def estimate_all(self) -> list[Estimate]:
        """Return the score, the main numbers and the scales; what nobody has is left out."""
        found = [self.estimate_score(), *map(self.estimate, (*MAIN, *SCALES))]
        return [e for e in found if any(interval.known for interval in e.after)]

    def estimate(self, number: Number) -> Estimate:
        """Estimate a column's mean."""
        before = self._means(self.tables[0], number.name + BEFORE, number.kind)
        after = [self._means(table, number.name, number.kind) for table in self.tables]
        values = self._values(self.tables[0], number.name, number.kind)
        return self._compare(number, int(np.isfinite(values).sum()), before, after)

    def estimate_score(self) -> Estimate:
        """Estimate the leaderboard's score, from both kinds of videos."""
        before, *after = (
            self._scores(table, side)
            for table, side in [
                (self.tables[0], BEFORE),
                *((table, AFTER) for table in self.tables),
            ]
        )
        smallest = min(int(rows.sum()) for rows in self._rows.values())
        return self._compare(SCORE, smallest, before, after)

    def _compare(
        self, number: Number, videos: int, before: np.ndarray, after: list[np.ndarray]
    ) -> Estimate:
        change = after[-1] - (before if len(after) == 1 else after[0])
        return Estimate(
            number=number,
            videos=videos,
            before=find_interval(before, videos),
            after=[find_interval(draws, videos) for draws in after],
            change=find_interval(change, videos),
        )

    def _scores(self, table: pd.DataFrame, side: str) -> np.ndarray:
        rmse = self._means(table, f"rmse{side}", SUPERVISED)
        scores = {name: self._means(table, name + side, UNSUPERVISED) for name in SCORES}
        return np.array(
            [
                find_score({"rmse": r} | dict(zip(scores, values, strict=True)))
                for r, *values in zip(rmse, *scores.values(), strict=True)
            ]
        )

    def _means(self, table: pd.DataFrame, column: str, kind: str) -> np.ndarray:
        return self._draws[kind].means(self._values(table, column, kind))

    def _values(self, table: pd.DataFrame, column: str, kind: str) -> np.ndarray:
        return table[column].to_numpy(float)[self._rows[kind]]
