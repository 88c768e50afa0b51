"""Two runs' tables and frames -> the difference of each video, and which videos changed sides."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vqe.reporting.intervals import Interval, find_frame_interval
from vqe.reporting.run import SUPERVISED, UNSUPERVISED, Key, Run

EVEN = 0.5  # p of frames that are alike
MEASURE = {SUPERVISED: "rmse", UNSUPERVISED: "p"}
RISES = {SUPERVISED: False, UNSUPERVISED: True}


def share_videos(first: pd.DataFrame, second: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of the videos that both tables have.

    Raises:
        ValueError: they have none in common.
    """
    both = first.index.intersection(second.index, sort=False)
    if both.empty:
        raise ValueError(
            "expected two runs that were tested on the same videos, got none in common. Test both "
            "with the same dataset.path and dataset.holdout"
        )
    return [first.loc[both], second.loc[both]]


def compare_videos(
    tables: list[pd.DataFrame], runs: list[Run], *, replicates: int, seed: int
) -> pd.DataFrame:
    """Return a row a video: `difference`, `low`, `high`, `better`, `sides`, `changed`.

    The difference is that of RMSE where there is a target, else of p: the second run less the
    first. `better` is "second" or "first" where the interval over frames does not hold 0. `sides`
    says of each run whether the video is better than its input, `changed` whether they disagree.

    Raises:
        ValueError: the runs have other numbers of frames of a video.
    """
    columns = {
        measure: [table[measure].tolist() for table in tables] for measure in MEASURE.values()
    }
    before = tables[0]["rmse_input"].tolist()
    rows = {}
    for i, key in enumerate(tables[0].index):
        kind = key[0]
        values = [column[i] for column in columns[MEASURE[kind]]]
        interval = _find_difference(
            *(key, [run.frames_of.get(key) for run in runs], values[1] - values[0]),
            replicates=replicates,
            seed=seed,
        )
        sides = [_is_better(kind, v, before[i] if kind == SUPERVISED else EVEN) for v in values]
        sign = interval.sign if RISES[kind] else -interval.sign
        rows[key] = {
            "difference": interval.value,
            "low": interval.low,
            "high": interval.high,
            "better": {1: "second", -1: "first", 0: ""}[sign],
            "sides": sides,
            "changed": None not in sides and sides[0] != sides[1],
        }
    compared = pd.DataFrame.from_dict(rows, orient="index")
    compared.index = tables[0].index
    return compared


def _find_difference(
    key: Key,
    frames: list[dict[str, np.ndarray] | None],
    difference: float,
    *,
    replicates: int,
    seed: int,
) -> Interval:
    first, second = frames
    if first is None or second is None:
        return Interval(difference, np.nan, np.nan)
    one, other = first[MEASURE[key[0]]], second[MEASURE[key[0]]]
    if len(one) != len(other):
        raise ValueError(
            f"expected as many frames of {key[1]} in both runs, got {len(one)} and {len(other)}. "
            "Test both on the same data"
        )
    values = other - one
    if not np.isfinite(values).all():
        return Interval(difference, np.nan, np.nan)
    return find_frame_interval(values, replicates=replicates, seed=seed)


def _is_better(kind: str, value: float, before: float) -> bool | None:
    """Whether a video is better than its input, None where that is not known."""
    if not np.isfinite([value, before]).all():
        return None
    return bool(value > before) if RISES[kind] else bool(value < before)
