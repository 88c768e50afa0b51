"""Table of videos -> the lists of those to look at, and which of their frames to show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vqe.reporting.run import KINDS, SUPERVISED, Key

EVEN = 0.5


@dataclass(frozen=True)
class Ranked:
    """A list of videos.

    Attributes:
        title: of the list.
        name: short, for a link.
        keys: kind and video_id of each, the first one first.
    """

    title: str
    name: str
    keys: list[Key]


def rank_videos(table: pd.DataFrame, difference: pd.Series | None, *, count: int) -> list[Ranked]:
    """Return the worst, the best, the most changed and the most flickering videos.

    Half of each list has targets and is ranked by RMSE, half has none and is ranked by the mean of
    the scores; the change of the latter is p's distance from even.

    Args:
        table: of `build_videos`.
        difference: between two runs, by video; adds a list.
        count: videos in each list, at most: no video is both among the worst and the best.
    """
    supervised = table.index.get_level_values(0) == SUPERVISED
    count = min(count, max(1, len(table) // 2))
    quality = pd.Series(np.where(supervised, -table["rmse"], table["quality"]), table.index)
    change = pd.Series(
        np.where(supervised, table["rmse_input"] - table["rmse"], table["p"] - EVEN), table.index
    )
    wanted = [
        ("Worst", "worst", -quality),
        ("Best", "best", quality),
        ("Largest change", "change", change.abs()),
        ("Most flicker", "flicker", table["flicker"]),
    ]
    if difference is not None:
        wanted.insert(0, ("Largest difference between the runs", "runs", difference.abs()))
    lists = [Ranked(title, name, _take(values, count)) for title, name, values in wanted]
    return [ranked for ranked in lists if ranked.keys]


def merge(lists: list[Ranked]) -> list[Key]:
    """Return every listed video once: all lists' first ones, then their second ones."""
    longest = max((len(ranked.keys) for ranked in lists), default=0)
    in_turn = [r.keys[i] for i in range(longest) for r in lists if i < len(r.keys)]
    return list(dict.fromkeys(in_turn))


def choose_frames(luma: np.ndarray | None, length: int, count: int) -> list[int]:
    """Return up to `count` frame numbers of a video: its middle first, then more over time.

    Where the luma of the enhanced frames is known, the last two are those of its largest step.
    """
    if length < 1 or count < 1:
        return []
    spread = [int((i + 0.5) * length / count) for i in range(count)]
    spread.sort(key=lambda number: abs(number - length // 2))
    if luma is not None and len(luma) > 2 and count >= 3:
        step = int(np.abs(np.diff(luma)).argmax())
        spread = [*spread[: count - 2], step, step + 1]
    return list(dict.fromkeys(spread))


def _take(values: pd.Series, count: int) -> list[Key]:
    """Return the keys of the largest values, kinds in turn."""
    known = values.dropna().sort_values(ascending=False, kind="stable")
    kinds = known.index.get_level_values(0)
    present = [kind for kind in KINDS if (kinds == kind).any()]
    each = -(-count // max(1, len(present)))
    columns = [list(known[kinds == kind].index[:each]) for kind in present]
    in_turn = [c[i] for i in range(each) for c in columns if i < len(c)]
    return in_turn[:count]
