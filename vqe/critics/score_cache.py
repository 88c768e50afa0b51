"""Uint8 input frames -> what the critics made of them before, kept on disk across runs."""

import logging
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from vqe.critics.score_file import TABLE, TIMEOUT_S, Result, move_aside, run_transaction
from vqe.critics.score_keys import CacheSpec

log = logging.getLogger(__name__)
FILE_NAME = "scores.sqlite"
POLL_S = 0.005


@dataclass(frozen=True)
class CacheLookup:
    """What is known of a batch of N input frames, to be completed by what is computed.

    Attributes:
        found: a frame's values, None where they are missing.
        keep: takes places among the N and values [M,width] to keep; None keeps nothing.
    """

    found: list[np.ndarray | None]
    keep: Callable[[list[int], np.ndarray], None] | None = None

    @property
    def missing(self) -> list[int]:
        """Places of the frames that are left to compute."""
        return [place for place, values in enumerate(self.found) if values is None]

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
        return whole


class ScoreCache:
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

    def find(self, kind: str, keys: Sequence[bytes], width: int) -> list[np.ndarray | None]:
        """Return each key's float32 values [width], None where there are none of that width."""

        def read(connection: sqlite3.Connection) -> list[np.ndarray | None]:
            query = f"SELECT value, crc FROM {TABLE} WHERE kind = ? AND key = ?"
            rows = [connection.execute(query, (kind, key)).fetchone() for key in keys]
            return [_decode(key, row, width) for key, row in zip(keys, rows, strict=True)]

        found = self._transact(read) or [None] * len(keys)
        hits = sum(values is not None for values in found)
        self.hits += hits
        self.misses += len(keys) - hits
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
        query = f"INSERT OR REPLACE INTO {TABLE} (kind, key, value, crc) VALUES (?, ?, ?, ?)"
        if rows:
            self._transact(lambda connection: connection.executemany(query, rows))

    def recall(self, spec: CacheSpec, keys: Sequence[bytes]) -> CacheLookup:
        """Look a batch up, by the keys of its frames; see `make_keys`."""

        def keep(places: list[int], values: np.ndarray) -> None:
            self.keep(spec.kind, [keys[place] for place in places], values)

        return CacheLookup(self.find(spec.kind, keys, spec.width), keep)

    def report(self) -> None:
        """Log hits and misses since the last report, rows and size; nothing where unused."""
        if not self.hits + self.misses:
            return

        def measure(connection: sqlite3.Connection) -> tuple[int, float]:
            rows = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0]
            return rows, self.path.stat().st_size / 1e6

        measured = self._transact(measure)
        if measured is not None:
            log.info(
                "score cache %s: %d hits, %d misses; it holds %d rows, %.1f MB",
                *(self.path, self.hits, self.misses, *measured),
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
                    return run_transaction(self.path, work)
                except sqlite3.OperationalError:
                    raise  # the file is sound, its disk or permissions are not
                except sqlite3.DatabaseError as error:
                    aside = move_aside(self.path)
                    log.warning(
                        "expected a score cache, got a damaged or foreign file: %s (%s). It was "
                        "moved to %s and a new one begun. Delete it if nothing else needs it",
                        *(error, self.path, aside),
                    )
                    return run_transaction(self.path, work)
        except (OSError, NotImplementedError, sqlite3.Error) as error:
            self._off = True
            log.warning(
                "expected to read and write the score cache, got: %s (%s). This process goes on "
                "without it. Check the disk's space and permissions, or set score_cache=null",
                *(error, self.path),
            )
            return None


def _decode(key: bytes, row: tuple | None, width: int) -> np.ndarray | None:
    """Return the values of a row, None unless it is whole."""
    if row is None:
        return None
    value, crc = row
    if not isinstance(value, bytes) or len(value) != 4 * width or zlib.crc32(key + value) != crc:
        return None
    return np.frombuffer(value, "<f4")
