"""Work in progress -> files and folders that are either complete or absent, CSVs among them."""

from __future__ import annotations

import csv
import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqe.temporary import name_temporary, remove

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class NoSpaceError(OSError):
    """A disk is full, or a quota used up; see `explain_no_space`."""

    def __str__(self) -> str:
        return self.strerror  # without the number before it


ESCAPE = "backslashreplace"  # of file names that are no UTF-8


@dataclass(frozen=True)
class BadFile:
    """A file or folder that cannot be used, and why."""

    path: Path
    reason: str


@contextmanager
def complete_or_absent(
    path: Path, *, overwrite: bool = True, needed_bytes: int | None = None
) -> Iterator[Path]:
    """Hand out a temporary name beside `path`, which becomes `path` if all goes well.

    The folder above is made. What is written may be a file or a folder; whatever ends the work
    early leaves nothing behind, and what was at `path` before stays. Two writers do not meet: each
    has a temporary name of its own, and the last one to finish wins.

    Args:
        path: the file or folder to be.
        overwrite: False keeps what is at `path` by the end.
        needed_bytes: what all of it takes, for the message when the disk is full.

    Raises:
        FileExistsError: there is something at `path`, and `overwrite` is False.
        NoSpaceError: the disk is full.
    """
    with temporary_beside(path, needed_bytes=needed_bytes) as part:
        yield part
        put_in_place(part, path, overwrite=overwrite)


@contextmanager
def temporary_beside(path: Path, *, needed_bytes: int | None = None) -> Iterator[Path]:
    """Hand out a temporary name beside `path`; what is there at the end is removed.

    The folder above is made.

    Raises:
        NoSpaceError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = name_temporary(path)
    try:
        yield part
    except OSError as error:
        if error.errno not in FULL or isinstance(error, NoSpaceError):
            raise
        remove(part)  # first, to say what is free without it
        raise explain_no_space(path.parent, needed_bytes) from error
    finally:
        remove(part)


def put_in_place(part: Path, path: Path, *, overwrite: bool = True) -> None:
    """Give a finished file or folder its name.

    A file's bytes are on the disk before it has the name. Those of a folder need not be: a
    caller that then removes what it was made from calls `os.sync` first.

    Raises:
        FileExistsError: there is something at `path`, and `overwrite` is False.
    """
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if part.is_dir():
        _put_folder(part, path)
        return
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _put_folder(part: Path, path: Path) -> None:
    """Rename a folder; one that has the name gives way, and comes back if that fails."""
    if not path.is_dir():
        part.replace(path)
        return
    old = name_temporary(path)
    path.replace(old)
    try:
        part.replace(path)
    except BaseException:
        old.replace(path)
        raise
    remove(old)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; where the file systems cannot, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def explain_no_space(folder: Path, needed_bytes: int | None = None) -> NoSpaceError:
    """Return the error of a disk that is full for what was to go into a folder.

    Args:
        folder: is there.
        needed_bytes: what all of it takes, None where nobody knows.
    """
    free = shutil.disk_usage(folder).free
    needed = "enough space" if needed_bytes is None else f"{needed_bytes / 1e6:.1f} MB free"
    message = (
        f"expected {needed} for what goes into {folder}, got {free / 1e6:.1f} MB free "
        f"({os.strerror(errno.ENOSPC)}). Free some, or choose another folder"
    )
    return NoSpaceError(errno.ENOSPC, message, str(folder))


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_csv(table: pd.DataFrame, path: Path, *, float_format: str | None = None) -> None:
    """Write UTF-8 with line feeds, complete or absent; the folder is made."""
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


def report_bad_files(
    bad: Sequence[BadFile],
    root: Path,
    path: Path,
    *,
    on_error: str,
    error: type[Exception],
    what: str = "bad files",
    advice: str,
) -> None:
    """List bad files, none too, in a CSV of `path,reason`; then raise an error or warn.

    Args:
        bad: in the order to list them.
        root: the folder that the CSV's paths are relative to.
        path: of the CSV.
        on_error: "raise", else they are left out.
        error: what to raise; its message names every file.
        what: to call them in messages.
        advice: the error's last line, what to do.
    """
    rows = [(file.path.relative_to(root).as_posix(), file.reason) for file in bad]
    write_rows(("path", "reason"), rows, path)
    if rows and on_error == "raise":
        listing = "\n".join(f"  {name}: {reason}" for name, reason in rows)
        raise error(f"{len(rows)} {what} in {root} (also in {path.name}):\n{listing}\n{advice}")
    if rows:
        log.warning("%d %s left out: see %s", len(rows), what, path)


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV by pandas, whose errors get the file's name.

    Raises:
        ValueError: it is empty, no UTF-8 text, or no table.
    """
    import pandas as pd

    try:
        return pd.read_csv(path, **options)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        words = str(error).strip().splitlines()[0]
        raise ValueError(f"expected a CSV in UTF-8, got: {words} ({path})") from error
