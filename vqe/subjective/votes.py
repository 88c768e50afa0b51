"""Table of votes -> the same, checked, with every vote turned to one side for each pair.

A vote is how much better the second clip looked than the first: -3 much worse .. 3 much better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

GRADES = (-3, -2, -1, 0, 1, 2, 3)
LABELS = (
    "Much worse",
    "Worse",
    "Slightly worse",
    "About the same",
    "Slightly better",
    "Better",
    "Much better",
)
PAIR, TRAP, GOLD, TRAINING = KINDS = ("pair", "trap", "gold", "training")
REFERENCE = "input"  # the name of what was enhanced
COLUMNS = (
    "rater",  # says nothing about a person
    "session",  # of one rater
    "position",  # in the session, from 1
    "kind",  # of KINDS
    "content",  # the video's name
    "first",  # method, or REFERENCE
    "second",
    "expected",  # of a trap or gold clip, else blank
    "vote",
    "played",  # seconds that both clips took, blank where unknown
    "length",  # seconds that they last
    "at",  # seconds since 1970, blank where unknown
)
NUMBERS = ("position", "expected", "vote", "played", "length", "at")


def check_votes(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a table of `COLUMNS` with numbers as floats; what is optional may be missing.

    Raises:
        ValueError: a column that must be there is missing, or a vote is none.
    """
    missing = [c for c in ("content", "first", "second", "vote") if c not in table]
    if missing:
        raise ValueError(
            f"expected a vote a row of {', '.join(COLUMNS)}, got no column "
            f"{', '.join(missing)} ({where})"
        )
    votes = pd.DataFrame(index=range(len(table)))
    for name in COLUMNS:
        given = table[name].to_numpy() if name in table else None
        if name in NUMBERS:
            votes[name] = np.nan if given is None else pd.to_numeric(given, errors="coerce")
        else:
            votes[name] = "" if given is None else pd.Series(given).fillna("").astype(str)
    votes["kind"] = votes["kind"].replace("", PAIR)
    votes["rater"] = votes["rater"].where(votes["rater"] != "", "unknown")
    votes["session"] = votes["session"].where(votes["session"] != "", votes["rater"])
    _check_rows(votes, where)
    return votes


def _check_rows(votes: pd.DataFrame, where: str) -> None:
    wrong = {
        f"votes of {GRADES[0]} to {GRADES[-1]}": ~votes["vote"].isin(GRADES),
        f"kinds of {', '.join(KINDS)}": ~votes["kind"].isin(KINDS),
        "two different methods a pair": (votes["kind"] == PAIR)
        & (votes["first"] == votes["second"]),
    }
    for what, rows in wrong.items():
        if rows.any():
            row = int(np.flatnonzero(rows)[0])
            got = votes.loc[row, ["kind", "first", "second", "vote"]].tolist()
            raise ValueError(
                f"expected {what}, got {got} in row {row + 2} of {where}"
                f"{f' and {rows.sum() - 1} more' if rows.sum() > 1 else ''}. Correct the table"
            )


@dataclass(frozen=True, eq=False)
class Codes:
    """Rated pairs as numbers, [N] each; a pair is two methods a < b, whatever was shown first.

    Attributes:
        methods: names, sorted, `REFERENCE` first where it is one.
        contents: names.
        raters: names.
        first: index of the method shown first.
        second: of the one shown second.
        rater: index.
        content: index.
        shown: the vote as it was given.
        pair: index in `pairs`.
        turned: -1 where b was shown first, else 1: `shown * turned` is b compared with a.
        pairs: [P,2] indices a < b of every pair of methods that was rated.
    """

    methods: list[str]
    contents: list[str]
    raters: list[str]
    first: np.ndarray
    second: np.ndarray
    rater: np.ndarray
    content: np.ndarray
    shown: np.ndarray
    pair: np.ndarray
    turned: np.ndarray
    pairs: np.ndarray

    def name_pair(self, number: int) -> tuple[str, str]:
        """Return the names of a pair's methods."""
        a, b = self.pairs[number]
        return self.methods[a], self.methods[b]


def encode(votes: pd.DataFrame) -> Codes:
    """Number the methods, contents and raters of a table's rated pairs.

    Raises:
        ValueError: there is no rated pair.
    """
    votes = votes[votes["kind"] == PAIR]
    if votes.empty:
        raise ValueError("expected votes on pairs, got none. Is the study rated?")
    methods = sorted({*votes["first"], *votes["second"]}, key=lambda m: (m != REFERENCE, m))
    place = {name: i for i, name in enumerate(methods)}
    first = votes["first"].map(place).to_numpy(np.int64)
    second = votes["second"].map(place).to_numpy(np.int64)
    rater, raters = pd.factorize(votes["rater"], sort=True)
    content, contents = pd.factorize(votes["content"], sort=True)
    low, high = np.minimum(first, second), np.maximum(first, second)
    keys, pair = np.unique(low * len(methods) + high, return_inverse=True)
    return Codes(
        methods=methods,
        contents=list(contents),
        raters=list(raters),
        first=first,
        second=second,
        rater=rater,
        content=content,
        shown=votes["vote"].to_numpy(float),
        pair=pair,
        turned=np.where(first < second, 1.0, -1.0),
        pairs=np.stack([keys // len(methods), keys % len(methods)], axis=1),
    )
