"""Uint8 input frames -> what the critics made of them before, kept on disk across runs.

A row is found by the frame's pixels, the critic's weights and its options. Pixels are stronger than
a file's name, size and time stamp: an edited or augmented frame is a new one, while a copied or
renamed file is found again.
"""

import json
import logging
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from vqe.device import bring_to_cpu, count_own_cores

log = logging.getLogger(__name__)
RESULTS_VERSION = 1  # raise it when a change of the critics' code moves their results
DIGEST_BYTES = 20

FILE_NAME = "scores.sqlite"
APPLICATION_ID = 0x76716573  # "vqes", at its place in the header of an SQLite file
LAYOUT = 1  # of the table, in the header too
COLUMNS = {"kind", "key", "value", "crc"}
SIDECARS = ("-journal", "-wal", "-shm")  # what SQLite keeps beside a file
PAGE_BYTES = 16384  # seven feature vectors; the default of 4096 would waste half on one
TIMEOUT_S, POLL_S = 60, 0.005
Result = TypeVar("Result")


@dataclass(frozen=True)
class CacheSpec:
    """How a critic's results are kept.

    Attributes:
        kind: name of the critic in the cache.
        width: numbers a frame.
        weights: their digest.
        options: plain values that, beside weights and pixels, change the results.
    """

    kind: str
    width: int
    weights: str
    options: dict[str, Any] = field(default_factory=dict)

    def make_keys(self, frames: Sequence[bytes], seeds: Sequence[int] | None = None) -> list[bytes]:
        """Join all that the results depend on: the critic, digests of frames, each one's seed."""
        values = [RESULTS_VERSION, self.kind, self.weights, self.options]
        critic = json.dumps(values, sort_keys=True).encode()
        tails = [b""] * len(frames) if seeds is None else [str(seed).encode() for seed in seeds]
        parts = (critic + frame + tail for frame, tail in zip(frames, tails, strict=True))
        return [blake2b(part, digest_size=DIGEST_BYTES).digest() for part in parts]


def digest_weights(critic: nn.Module) -> str:
    """Digest names, shapes, types and values of a critic's state dict."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    for name, value in sorted(critic.state_dict().items()):
        digest.update(f"{name} {list(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def digest_frames(frames_u8_bchw: Tensor) -> list[bytes]:
    """Digest shape and pixels of each uint8 frame, a thread for each frame as far as cores go."""
    frames = np.ascontiguousarray(bring_to_cpu(frames_u8_bchw).numpy())
    shape = str(frames.shape[1:]).encode()

    def digest(frame: np.ndarray) -> bytes:
        digested = blake2b(shape, digest_size=DIGEST_BYTES)
        digested.update(frame)
        return digested.digest()

    threads = min(len(frames), count_own_cores(1))
    if threads < 2:
        return [digest(frame) for frame in frames]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(digest, frames))


@dataclass(frozen=True)
class CacheLookup:
    """What is known of a batch of N input frames, to be completed by what is computed.

    Attributes:
        found: a frame's values [width], None where they are missing.
        keep: takes places among the N and their values [M,width]; None keeps nothing.
        keys: what tells frames apart: of equal ones the first is computed; None: all are.
    """

    found: Sequence[np.ndarray | None]
    keep: Callable[[list[int], np.ndarray], None] | None = None
    keys: Sequence[bytes] | None = None

    @property
    def missing(self) -> list[int]:
        """Places of the frames that are left to compute."""
        return list(self._first_of.values())

    @property
    def _first_of(self) -> dict[bytes | int, int]:
        """The place that is computed, by what tells frames apart."""
        first: dict[bytes | int, int] = {}
        for place, values in enumerate(self.found):
            if values is None:
                first.setdefault(place if self.keys is None else self.keys[place], place)
        return first

    def complete(self, computed: Tensor) -> Tensor:
        """Keep the results [M,width] of the missing frames; return those of all, [N,width]."""
        missing = self.missing
        if missing and self.keep is not None:
            self.keep(missing, computed.detach().float().cpu().numpy())
        if len(missing) == len(self.found):
            return computed
        blank = np.zeros(computed.shape[1], np.float32)
        rows = [blank if values is None else values for values in self.found]
        whole = torch.from_numpy(np.stack(rows)).to(computed.device)
        whole[missing] = computed.float()
        if self.keys is not None:
            first = self._first_of
            places = [first.get(key, place) for place, key in enumerate(self.keys)]
            whole = whole[places]
        return whole


class FeatureCache:
    """Results of frozen critics in one SQLite file that several processes may use at once.

    Every call opens the file for itself, which takes less than a millisecond: a forked process
    shares no connection, and all see it at once when one rebuilds a damaged file. A lock file
    keeps them apart. What cannot be used is moved aside, never deleted; what cannot be written
    (a full disk, a folder without permission) ends the caching with a warning, not the run.

    Args:
        folder: holds `scores.sqlite`; made at the first use.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE_NAME
        self.hits = 0
        self.misses = 0
        self._pending: list[tuple] = []
        self._off = False

    def look_up(
        self, spec: CacheSpec, frames: Sequence[bytes], seeds: Sequence[int] | None = None
    ) -> CacheLookup:
        """Find what a critic made of frames, given their digests and, where it draws, seeds."""
        keys = spec.make_keys(frames, seeds)

        def keep(places: list[int], values: np.ndarray) -> None:
            self.keep(spec.kind, [keys[place] for place in places], values)

        return CacheLookup(self.find(spec.kind, keys, spec.width), keep, keys)

    def find(self, kind: str, keys: Sequence[bytes], width: int) -> list[np.ndarray | None]:
        """Return each key's float32 values [width], None where there are none of that width."""
        found = self._transact(partial(_read_rows, kind, keys, width)) or [None] * len(keys)
        # What is missing twice is computed once.
        misses = len({key for key, v in zip(keys, found, strict=True) if v is None})
        self.hits += len(keys) - misses
        self.misses += misses
        return found

    def keep(self, kind: str, keys: Sequence[bytes], values: np.ndarray) -> None:
        """Note float32 values [N,width], only finite rows; `flush` writes them."""
        for key, row in zip(keys, values, strict=True):
            if np.isfinite(row).all():
                blob = row.astype("<f4").tobytes()
                self._pending.append((kind, key, blob, zlib.crc32(key + blob)))

    def flush(self) -> None:
        """Write what was noted since the last call, in place of what the keys held."""
        rows, self._pending = self._pending, []
        query = "INSERT OR REPLACE INTO scores (kind, key, value, crc) VALUES (?, ?, ?, ?)"
        if rows:
            self._transact(lambda connection: connection.executemany(query, rows))

    def report(self) -> None:
        """Log hits and misses since the last report, rows and size; nothing where unused."""
        if not self.hits + self.misses:
            return
        count = "SELECT count(*) FROM scores"
        row = self._transact(lambda connection: connection.execute(count).fetchone())
        if row is not None:
            log.info(
                "score cache %s: %d hits, %d misses; it holds %d rows, %.1f MB",
                *(self.path, self.hits, self.misses, *row, self.path.stat().st_size / 1e6),
            )
        self.hits = self.misses = 0

    def _transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Do the work on a sound file, rebuilding it once if need be; None where that fails."""
        if self._off:
            return None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{self.path}.lock")
            with lock.acquire(timeout=TIMEOUT_S, poll_interval=POLL_S):
                try:
                    return _run_transaction(self.path, work)
                except sqlite3.OperationalError:
                    raise  # the file is sound, its disk or permissions are not
                except sqlite3.DatabaseError as error:
                    log.warning(
                        "expected a score cache, got a damaged or foreign file: %s (%s). It was "
                        "moved to %s and a new one begun. Delete it if nothing else needs it",
                        *(error, self.path, _move_aside(self.path)),
                    )
                    return _run_transaction(self.path, work)
        except (OSError, NotImplementedError, sqlite3.Error) as error:
            self._off = True
            log.warning(
                "expected to read and write the score cache, got: %s (%s). This process goes on "
                "without it. Check the disk's space and permissions, or set score_cache=null",
                *(error, self.path),
            )
            return None


def _read_rows(
    kind: str, keys: Sequence[bytes], width: int, connection: sqlite3.Connection
) -> list[np.ndarray | None]:
    """Return each key's values, None for a row that is missing or not whole."""
    found: list[np.ndarray | None] = []
    for key in keys:
        query = "SELECT value, crc FROM scores WHERE kind = ? AND key = ?"
        value, crc = connection.execute(query, (kind, key)).fetchone() or (None, None)
        sized = isinstance(value, bytes) and len(value) == 4 * width
        whole = sized and zlib.crc32(key + value) == crc
        found.append(np.frombuffer(value, "<f4") if whole else None)
    return found


def _run_transaction(path: Path, work: Callable[[sqlite3.Connection], Result]) -> Result:
    """Do the work in one transaction, on a file that is checked or made first.

    The checks read no more than the header, however large the file: damage inside a row shows in
    the row's checksum, any other in SQLite's errors.

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
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
            connection.execute(
                "CREATE TABLE scores (kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, "
                "crc INTEGER NOT NULL, PRIMARY KEY (kind, key))"
            )
        result = work(connection)
        connection.execute("COMMIT")
    return result


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(100)
    numbers = tuple(int.from_bytes(header[at : at + 4], "big") for at in (68, 60))
    if not header.startswith(b"SQLite format 3\0") or numbers != (APPLICATION_ID, LAYOUT):
        raise sqlite3.DatabaseError("it is no SQLite file of this program in this layout")


def _check_content(connection: sqlite3.Connection, path: Path) -> None:
    """Check length and columns; SQLite itself misses a cut inside the last page."""
    pages = (connection.execute(f"PRAGMA page_{name}").fetchone()[0] for name in ("count", "size"))
    length = next(pages) * next(pages)
    if path.stat().st_size < length:
        raise sqlite3.DatabaseError(f"it is cut short, {length} bytes were written")
    columns = {row[1].decode() for row in connection.execute("PRAGMA table_info(scores)")}
    if columns != COLUMNS:
        raise sqlite3.DatabaseError(f"its table scores has the columns {sorted(columns)}")


def _move_aside(path: Path) -> Path:
    """Rename a file and what SQLite keeps beside it to the first free name; return that."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged_{number}{path.suffix}")).exists():
        number += 1
    for suffix in ("", *SIDECARS):
        if (found := path.with_name(path.name + suffix)).exists():
            found.replace(aside.with_name(aside.name + suffix))
    return aside
