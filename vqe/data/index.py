"""Frame CSV -> a checked table of frames, filtered by a query or split by video."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from vqe.files import read_csv
from vqe.inputs import require_csv
from vqe.layout import MAX_PIXELS
from vqe.schema import FRAME_COLUMNS, SUBSETS, VIDEO_COLUMNS, VIDEO_KEY

FIRST_ROW = 2  # line of the first data row, as an editor counts
PLAIN_NAME = re.compile(r"[^/\\\x00-\x1f]{1,200}")
OUTSIDE = r"^(?:[/\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)"
NO_VIDEO = -1  # frame and fps of a row that names an image file


def read_index(
    path: Path, query: str | None = None, *, allow_outside: bool = False
) -> pd.DataFrame:
    """Read a CSV that `dataset_builder.py` wrote.

    Args:
        path: the CSV; its image paths are relative to the folder it lies in.
        query: a pandas query over its columns, such as `subset == "train_unsupervised"`.
        allow_outside: take image paths that lead out of that folder, too.

    Returns:
        The columns of `FRAME_COLUMNS` (`img_target` is "" where there is none) and `VIDEO_COLUMNS`
        (`NO_VIDEO` where the row names an image file), `row`, the line of the CSV, and in `attrs`
        `csv`, its path, both for error messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: columns, sizes, names or subsets are wrong, or the query fails or leaves
            nothing.
    """
    require_csv(path)
    table = _read_csv(path)
    table.insert(0, "row", np.arange(len(table), dtype=np.int32) + FIRST_ROW)
    _check_sizes(table, path)
    _check_names(table, path)
    if not allow_outside:
        _check_inside(table, path)
    _check_grid(table, path)
    table.attrs["csv"] = str(path)
    return filter_rows(table, query)


def _read_csv(path: Path) -> pd.DataFrame:
    kinds = dict.fromkeys(("img_source", "img_target"), "string") | dict.fromkeys(
        VIDEO_KEY, "category"
    )
    empty = {name: [""] for name in VIDEO_COLUMNS}
    table = read_csv(path, dtype=kinds, keep_default_na=False, na_values=empty)
    if tuple(table.columns) not in (FRAME_COLUMNS, (*FRAME_COLUMNS, *VIDEO_COLUMNS)):
        raise ValueError(
            f"expected columns {','.join(FRAME_COLUMNS)}, with {','.join(VIDEO_COLUMNS)} behind "
            f"them where rows name videos, got {','.join(table.columns)} ({path}). "
            "Build the CSV again with dataset_builder.py"
        )
    return table


def filter_rows(table: pd.DataFrame, query: str | None) -> pd.DataFrame:
    """Keep the rows that a pandas query over the CSV's columns chooses; None keeps all.

    Raises:
        ValueError: the query fails, or nothing is left.
    """
    csv = table.attrs.get("csv")
    if query:
        try:
            table = table.query(query)
        except Exception as error:  # pandas raises whatever its parser meets
            columns = ", ".join((*FRAME_COLUMNS, *VIDEO_COLUMNS))
            raise ValueError(
                f"expected a pandas query over {columns}, got {query!r} ({error})"
            ) from error
    if table.empty:
        raise ValueError(
            f"expected frames, got none ({csv}, query {query!r}). Widen the query or build the CSV"
        )
    return table.reset_index(drop=True)


def split_videos(
    table: pd.DataFrame, fraction: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut whole videos off a table, the same share of each subset.

    Args:
        table: frames as `read_index` returns them.
        fraction: share of the videos to cut off, in (0, 1); at least one of each subset that
            has two videos or more.
        seed: the same seed cuts the same videos, whatever the order of the rows.

    Returns:
        The frames that remain and those cut off.

    Raises:
        ValueError: the fraction is out of range, or no video can be spared.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"expected dataset.valid_fraction in (0, 1), got {fraction}")
    videos = table[VIDEO_KEY].astype(str).drop_duplicates().sort_values(VIDEO_KEY)
    random = np.random.default_rng(seed)
    cut = []
    for _, members in videos.groupby("subset", sort=True):
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        cut += [members.iloc[i] for i in sorted(random.permutation(len(members))[:count])]
    if not cut:
        raise ValueError(
            f"expected a subset with two videos or more to cut a validation set from, got "
            f"{len(videos)} ({table.attrs.get('csv')}). Name a CSV: dataset.valid=test_minimal.csv"
        )
    keys = pd.MultiIndex.from_frame(pd.DataFrame(cut))
    is_cut = pd.MultiIndex.from_frame(table[VIDEO_KEY].astype(str)).isin(keys)
    return table[~is_cut].reset_index(drop=True), table[is_cut].reset_index(drop=True)


def group_videos(table: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """Return the positions of each video's frames, int32, in time order, by `VIDEO_KEY`.

    Images follow each other by name, a longer one behind a shorter one (frame_10000 behind
    frame_9999); frames of a video file by their number.
    """
    frames = table["frame"].to_numpy()
    paths = table["img_source"].to_numpy(dtype=object)
    videos = table.groupby(VIDEO_KEY, observed=True, sort=True).indices
    return {
        key: np.array(
            sorted(positions, key=lambda i: (frames[i], len(paths[i]), paths[i])), np.int32
        )
        for key, positions in videos.items()
    }


def cut_sizes(table: pd.DataFrame, positions: np.ndarray) -> list[np.ndarray]:
    """Cut positions where the size of the frames changes."""
    h, w = (table[name].to_numpy()[positions] for name in ("h", "w"))
    changes = np.flatnonzero((np.diff(h) != 0) | (np.diff(w) != 0)) + 1
    return np.split(positions, changes)


def _check_sizes(table: pd.DataFrame, path: Path) -> None:
    for name in ("h", "w"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        bad = table[~(numbers >= 1) | (numbers % 1 != 0)]
        if len(bad):
            raise ValueError(
                f"expected a size in pixels, got {bad[name].iloc[0]!r} ({path}, row "
                f"{bad['row'].iloc[0]}, column {name}). Build the CSV again with dataset_builder.py"
            )
        table[name] = numbers.astype("int32")
    large = table[table["h"].astype("int64") * table["w"] > MAX_PIXELS]
    if len(large):
        bad = large.iloc[0]
        raise ValueError(
            f"expected frames of at most {MAX_PIXELS} pixels, got {bad['w']}x{bad['h']} ({path}, "
            f"row {bad['row']})"
        )


def _check_names(table: pd.DataFrame, path: Path) -> None:
    for column, valid in (("subset", table["subset"].isin(SUBSETS)), *_filled(table)):
        if not valid.all():
            bad = table[~valid].iloc[0]
            what = f"one of {', '.join(SUBSETS)}" if column == "subset" else "a value"
            raise ValueError(
                f"expected {what}, got {bad[column]!r} ({path}, row {bad['row']}, column {column})"
            )
    _check_ids(table, path)


def _filled(table: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    return [(name, table[name].str.len() > 0) for name in ("img_source", "video_id")]


def _check_ids(table: pd.DataFrame, path: Path) -> None:
    """Check that a video_id is a plain file name: rendered videos are called by it."""
    names = table["video_id"].cat.categories.astype(str)
    bad = [name for name in names if not PLAIN_NAME.fullmatch(name) or name in (".", "..")]
    if bad:
        row = table.loc[table["video_id"] == bad[0], "row"].iloc[0]
        raise ValueError(
            f"expected a video_id without slashes, such as video_0001, got {bad[0]!r} ({path}, "
            f"row {row})"
        )


def _check_inside(table: pd.DataFrame, path: Path) -> None:
    """Check that images are named by paths within the data folder."""
    for column in ("img_source", "img_target"):
        outside = table[column].str.contains(OUTSIDE, regex=True)
        if outside.any():
            bad = table[outside].iloc[0]
            raise ValueError(
                f"expected a path within {path.parent}, got {bad[column]!r} ({path}, row "
                f"{bad['row']}, column {column}). If you trust the CSV, set "
                "dataset.allow_outside=true"
            )


def _check_grid(table: pd.DataFrame, path: Path) -> None:
    """Check that a row has both of `VIDEO_COLUMNS` or neither; make them whole numbers."""
    for name in VIDEO_COLUMNS:
        if name not in table:
            table[name] = np.float32("nan")
    is_video = table[list(VIDEO_COLUMNS)].notna().any(axis=1)
    for name, least in zip(VIDEO_COLUMNS, (0, 1), strict=True):
        numbers = pd.to_numeric(table[name], errors="coerce")
        bad = table[is_video & (~(numbers >= least) | (numbers % 1 != 0))]
        if len(bad):
            raise ValueError(
                f"expected a whole number from {least} on (frame and fps both, or neither), got "
                f"{bad[name].iloc[0]!r} ({path}, row {bad['row'].iloc[0]}, column {name}). "
                "Build the CSV again with dataset_builder.py"
            )
        table[name] = numbers.fillna(NO_VIDEO).astype("int32")


def check_unique_ids(table: pd.DataFrame) -> None:
    """Check that a video_id stands for one video among the supervised and the unsupervised ones.

    The metric CSVs and the rendered files know a video by its id alone.

    Raises:
        ValueError: two subsets share an id.
    """
    videos = table.assign(supervised=table["img_target"] != "")
    videos = videos[[*VIDEO_KEY, "supervised"]].astype(str).drop_duplicates()
    twice = videos[videos.duplicated(["supervised", "video_id"])]
    if len(twice):
        subsets = sorted(videos.loc[videos["video_id"] == twice["video_id"].iloc[0], "subset"])
        raise ValueError(
            f"expected each video_id once, got {twice['video_id'].iloc[0]} in {subsets} "
            f"({table.attrs.get('csv')}). Choose one: dataset.holdout_query='subset == "
            f'"{subsets[0]}"\''
        )
