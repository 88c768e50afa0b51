"""Published tables of pairs, `first,second,count,mean`, or the organisers' text -> counts.

A mean is on a scale of five: 3 is "the same", more means that the second looked better. Single
votes are not in such a table, so the share (mean - 1) / 4 of the votes counts as won by the
second: distances are flatter than the votes' own, and methods hardly apart may change places.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from vqe.files import read_csv
from vqe.subjective.bradley_terry import Counts

PAIR_COLUMNS = ("first", "second", "count", "mean")
LOWEST, SAME, HIGHEST = 1, 3, 5
PAIR_LINE = re.compile(
    r"^(?P<first>\w+?)_(?P<second>\w+?)\s*:\s*nos=(?P<count>\d+),\s*DMOS=(?P<mean>[\d.]+)", re.M
)
NAME_LINE = re.compile(r"^(\w+)\s*:\s*vote=", re.M)


def read_pair_table(path: Path) -> pd.DataFrame | None:
    """Return a row a pair of `PAIR_COLUMNS`, or None where the file is no such table.

    Raises:
        ValueError: it is no UTF-8 text, or a number is none or off the scale.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a table in UTF-8, got: {error} ({path})") from error
    lines = [match.groupdict() for match in PAIR_LINE.finditer(text)]
    if lines:
        table = pd.DataFrame(lines)
        names = {name[:2].upper(): name for name in NAME_LINE.findall(text)}
        for side in ("first", "second"):
            table[side] = table[side].map(lambda short: names.get(short, short))
    else:
        table = read_csv(path, encoding="utf-8-sig", skipinitialspace=True)
        if not set(PAIR_COLUMNS) <= set(table):
            return None
    table = table[list(PAIR_COLUMNS)].copy()
    for name in ("count", "mean"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    wrong = ~(table["count"] > 0) | ~table["mean"].between(LOWEST, HIGHEST)
    if wrong.any():
        row = table[wrong].iloc[0].tolist()
        raise ValueError(
            f"expected counts above 0 and means from {LOWEST} to {HIGHEST}, got {row} ({path})"
        )
    return table


def count_pairs(table: pd.DataFrame) -> tuple[list[str], Counts]:
    """Return the methods and how often each pair's sides won, in shares of votes."""
    methods = sorted({*table["first"], *table["second"]})
    place = {name: i for i, name in enumerate(methods)}
    share = (table["mean"] - LOWEST) / (HIGHEST - LOWEST)
    count = table["count"]
    wins = np.stack([count * (1 - share), np.zeros(len(table)), count * share], axis=1)
    first, second = (table[side].map(place).to_numpy() for side in ("first", "second"))
    return methods, Counts(first, second, wins, len(methods))
