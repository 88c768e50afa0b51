"""A path -> one transaction on the SQLite file of a score cache, which is checked or made first.

The checks read no more than the header, however large the file: damage inside a row shows in the
row's checksum, any other in SQLite's errors. Nothing here locks processes out; the caller does.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

APPLICATION_ID = 0x76716573  # "vqes", at its place in the header of an SQLite file
LAYOUT = 1  # of the table, in the header too
TABLE = "scores"
COLUMNS = {"kind", "key", "value", "crc"}
SIDECARS = ("-journal", "-wal", "-shm")  # what SQLite keeps beside a file
PAGE_BYTES = 16384  # seven feature vectors; the default of 4096 would waste half on one
TIMEOUT_S = 60
HEADER_BYTES = 100
Result = TypeVar("Result")


def run_transaction(path: Path, work: Callable[[sqlite3.Connection], Result]) -> Result:
    """Do the work in one transaction.

    Raises:
        sqlite3.DatabaseError: the file is damaged or not ours.
        sqlite3.OperationalError: a subclass; the file could not be read or written.
    """
    exists = path.exists()
    if exists:
        _check_header(path)  # before SQLite opens it, which may write to a foreign database
    with closing(sqlite3.connect(path, timeout=TIMEOUT_S, isolation_level=None)) as connection:
        connection.text_factory = bytes  # a damaged page must not fail as undecodable text
        connection.execute("PRAGMA synchronous = NORMAL")  # waits for the disk less; damage shows
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a file that is new
        connection.execute("BEGIN IMMEDIATE")
        if exists:
            _check_content(connection, path)
        else:
            _create(connection)
        result = work(connection)
        connection.execute("COMMIT")
    return result


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {LAYOUT}")
    connection.execute(
        f"CREATE TABLE {TABLE} (kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, "
        "crc INTEGER NOT NULL, PRIMARY KEY (kind, key))"
    )


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise sqlite3.DatabaseError("it is not an SQLite file")
    layout, application = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
    if application != APPLICATION_ID:
        raise sqlite3.DatabaseError("it is the SQLite file of another program")
    if layout != LAYOUT:
        raise sqlite3.DatabaseError(f"it has layout {layout}, not {LAYOUT}")


def _check_content(connection: sqlite3.Connection, path: Path) -> None:
    """Check length and columns; SQLite itself misses a cut inside the last page."""
    count, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    if path.stat().st_size < count * page_bytes:
        raise sqlite3.DatabaseError(f"it is cut short, {count * page_bytes} bytes were written")
    columns = {row[1].decode() for row in connection.execute(f"PRAGMA table_info({TABLE})")}
    if columns != COLUMNS:
        raise sqlite3.DatabaseError(f"its table {TABLE} has the columns {sorted(columns)}")


def move_aside(path: Path) -> Path:
    """Rename a file and what SQLite keeps beside it to the first free name; return that."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged_{number}{path.suffix}")).exists():
        number += 1
    path.replace(aside)
    for sidecar in SIDECARS:
        beside = path.with_name(path.name + sidecar)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + sidecar))
    return aside
