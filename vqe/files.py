"""Work in progress -> files and folders that are either complete or absent, CSVs among them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


ESCAPE = "backslashreplace"  # of file names that are no UTF-8


@dataclass(frozen=True)
class BadFile:
    """A file or folder that cannot be used, and why."""

    path: Path
    reason: str


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """Hand out a temporary name beside `path`, which becomes `path` if all goes well.

    The folder above is made. What is written may be a file or a folder; whatever ends the work
    early leaves nothing behind, and what was at `path` before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        remove(part)


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds; one that is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_csv(table: pd.DataFrame, path: Path, *, float_format: str | None = None) -> None:
    """Write UTF-8 with line feeds under a temporary name, then rename; the folder is made."""
    with complete_or_absent(path) as part:
        table.to_csv(
            part,
            index=False,
            float_format=float_format,
            encoding="utf-8",
            errors=ESCAPE,
            lineterminator="\n",
        )


def write_rows(columns: Sequence[str], rows: Iterable[Sequence], path: Path) -> None:
    """Write the same as `write_csv` does, row by row: millions need not be in memory."""
    with (
        complete_or_absent(path) as part,
        part.open("w", encoding="utf-8", errors=ESCAPE, newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
