"""CSV of rated pairs -> a table of paths and numbers, checked, split by content."""

from pathlib import Path

import numpy as np
import pandas as pd

from vqe.files import read_csv
from vqe.inputs import find_pairs
from vqe.schema import ATTRIBUTES, P

IMAGES = ("img_1", "img_2")
SCORE_COLUMNS = (P, *(f"a_{name.removeprefix('a')}" for name in ATTRIBUTES))  # a_1 is a1
LIMITS = dict.fromkeys(SCORE_COLUMNS, (-1.0, 1.0)) | {P: (0.0, 1.0)}  # the critic's clamps
SHOWN = 5  # errors in one message


def read_pairs(path: Path) -> pd.DataFrame:
    """Read `img_1, img_2, p, a_1 .. a_11`, a pair a row.

    `p` is how likely img_2 looks better than img_1, `a_1` .. `a_11` are the scores of img_2. A
    blank number is unknown and trains nothing. Image paths are relative to the CSV's folder.
    `path` may be the folder of a study, whose rated_pairs.csv is read.

    Returns:
        `img_1`, `img_2` absolute paths as text, float numbers with NaN where blank, and `where`,
        the file and row of each pair for messages.

    Raises:
        FileNotFoundError: there is no such CSV, or an image is missing.
        ValueError: a column is missing, a number is none or out of range, or nothing is known.
    """
    path = find_pairs(path)
    table = read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    missing = [name for name in (*IMAGES, *SCORE_COLUMNS) if name not in table]
    if missing or table.empty:
        got = f"no column {', '.join(missing)}" if missing else "no row"
        raise ValueError(
            f"expected a pair a row of {', '.join((*IMAGES, *SCORE_COLUMNS))}, got {got} ({path})"
        )
    pairs = pd.DataFrame({"where": [f"{path.name}, row {i + 2}" for i in range(len(table))]})
    for name in SCORE_COLUMNS:
        pairs[name] = _read_numbers(table[name], name, path)
    unknown = pairs[list(SCORE_COLUMNS)].isna().all(axis=1)
    if unknown.any():
        raise ValueError(
            f"expected at least one number in each row, got none in {path}, "
            f"rows {_list_rows(unknown)}. Remove them"
        )
    for name in IMAGES:
        pairs[name] = [str((path.parent / image).absolute()) for image in table[name]]
        absent = pd.Series([not Path(image).is_file() for image in pairs[name]])
        if absent.any():
            row = int(np.flatnonzero(absent)[0])
            raise FileNotFoundError(
                f"expected images in column {name} of {path}, got no file for {absent.sum()} of "
                f"{len(absent)}; the first is {table[name][row]!r} in row {row + 2}. "
                "Paths are relative to the CSV"
            )
    return pairs


def split_pairs(
    pairs: pd.DataFrame, hold_out: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split pairs into training and held-out ones, so that no content is in both.

    Pairs whose img_1 lie in one folder are one content, as the frames of a video are; where all
    lie in one folder, pairs of one img_1 are.

    Raises:
        ValueError: there is one content alone.
    """
    content = pairs["img_1"].map(lambda image: str(Path(image).parent))
    if content.nunique() == 1:
        content = pairs["img_1"]
    names = np.random.default_rng(seed).permutation(np.sort(content.unique()))
    if len(names) < 2:
        raise ValueError(
            "expected pairs of at least two contents, one to hold out, got one: "
            f"{names[0]}. Add pairs of other videos"
        )
    count = min(len(names) - 1, max(1, round(hold_out * len(names))))
    held_out = content.isin(names[:count])
    return pairs[~held_out].reset_index(drop=True), pairs[held_out].reset_index(drop=True)


def _read_numbers(texts: pd.Series, name: str, path: Path) -> pd.Series:
    numbers = pd.to_numeric(texts.str.strip().replace("", "nan"), errors="coerce")
    low, high = LIMITS[name]
    blank = texts.str.strip() == ""
    wrong = ~blank & ~numbers.between(low, high)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"expected numbers from {low:g} to {high:g}, or blanks, in column {name}, got "
            f"{texts[row]!r} in row {row + 2} ({path}; rows {_list_rows(wrong)})"
        )
    return numbers


def _list_rows(wrong: pd.Series) -> str:
    rows = (np.flatnonzero(wrong) + 2).tolist()  # as an editor counts, under the header
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return ", ".join(map(str, rows[:SHOWN])) + more
