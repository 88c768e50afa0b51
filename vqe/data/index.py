"""Frame CSV -> a checked table of frames, filtered by a query or split by video."""

from pathlib import Path

import numpy as np
import pandas as pd

from vqe.schema import FRAME_COLUMNS, SUBSETS, VIDEO_KEY

FIRST_ROW = 2  # line of the first data row, as an editor counts


def read_index(path: Path, query: str | None = None) -> pd.DataFrame:
    """Read a CSV that `dataset_builder.py` wrote.

    Args:
        path: the CSV; its image paths are relative to the folder it lies in.
        query: a pandas query over its columns, such as `subset == "train_unsupervised"`.

    Returns:
        The columns of `FRAME_COLUMNS` (`img_target` is "" where there is none), `row`, the
        line of the CSV, and `csv`, its path, both for error messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: columns, sizes or subsets are wrong, or the query fails or leaves nothing.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a frame CSV at {path}, got nothing. Make it with "
            f"dataset_builder.py --config-name data/all_30fps data.source_dir={path.parent}"
        )
    text = {name: "string" for name in FRAME_COLUMNS if name not in ("h", "w")}
    table = pd.read_csv(path, dtype=text, keep_default_na=False)
    if tuple(table.columns) != FRAME_COLUMNS:
        raise ValueError(
            f"expected columns {','.join(FRAME_COLUMNS)}, got {','.join(table.columns)} ({path}). "
            "Build the CSV again with dataset_builder.py"
        )
    table.insert(0, "row", np.arange(len(table)) + FIRST_ROW)
    _check_sizes(table, path)
    _check_names(table, path)
    for name in VIDEO_KEY:
        table[name] = table[name].astype("category")
    table.attrs["csv"] = str(path)
    return filter_rows(table, query)


def filter_rows(table: pd.DataFrame, query: str | None) -> pd.DataFrame:
    """Keep the rows that a pandas query over `FRAME_COLUMNS` chooses; None keeps all.

    Raises:
        ValueError: the query fails, or nothing is left.
    """
    csv = table.attrs.get("csv")
    if query:
        try:
            table = table.query(query)
        except Exception as error:  # pandas raises whatever its parser meets
            columns = ", ".join(FRAME_COLUMNS)
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


def _check_names(table: pd.DataFrame, path: Path) -> None:
    for column, valid in (("subset", table["subset"].isin(SUBSETS)), *_filled(table)):
        if not valid.all():
            bad = table[~valid].iloc[0]
            what = f"one of {', '.join(SUBSETS)}" if column == "subset" else "a value"
            raise ValueError(
                f"expected {what}, got {bad[column]!r} ({path}, row {bad['row']}, column {column})"
            )


def _filled(table: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    return [(name, table[name].str.len() > 0) for name in ("img_source", "video_id")]
