"""Table or rows -> a CSV file that is either complete or absent."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd


def write_csv(table: pd.DataFrame, path: Path, *, float_format: str | None = None) -> None:
    """Write UTF-8 with line feeds under a temporary name, then rename; the folder is made."""
    with _complete(path) as part:
        table.to_csv(
            part, index=False, float_format=float_format, encoding="utf-8", lineterminator="\n"
        )


def write_rows(columns: Sequence[str], rows: Iterable[Sequence], path: Path) -> None:
    """Write the same as `write_csv` does, row by row: millions need not be in memory."""
    with _complete(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


@contextmanager
def _complete(path: Path) -> Iterator[Path]:
    """Hand out a temporary name beside `path`, which becomes `path` if all goes well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
