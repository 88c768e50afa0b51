"""What a run found out video by video -> lines on the disk, from which another run goes on.

Every process appends to a file of its own, `<run>/records/<machine>-<process>-<random>.jsonl`: a
head that says what the numbers were made with, then a line for each video, on the disk before the
next one. A line that is not whole, as a kill leaves it, does not count.
"""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vqe.temporary import MACHINE

log = logging.getLogger(__name__)

FOLDER = "records"
AUTO = "auto"


@dataclass(frozen=True)
class Head:
    """What all lines of a file have in common.

    Attributes:
        identity: plain values that decide the numbers: command, weights, options.
        videos: names of all videos of the whole work, those of other processes too.
    """

    identity: dict[str, Any]
    videos: list[str]


@dataclass(frozen=True)
class Record:
    """What is known of a video.

    Attributes:
        video: its name.
        stamp: of the files that it was made from, see `stamp_files`.
        content: plain values.
    """

    video: str
    stamp: str
    content: dict[str, Any]


@dataclass(frozen=True)
class RecordFile:
    """A file of records that was read."""

    path: Path
    head: Head
    records: list[Record]

    @property
    def run(self) -> Path:
        """The folder of the run that wrote it."""
        return self.path.parent.parent


class RecordWriter:
    """Append the records of this process; the file is made, with its head, at once.

    Args:
        run: the run's folder.
        head: see `Head`.
    """

    def __init__(self, run: Path, head: Head) -> None:
        folder = run / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{MACHINE}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self._file = self.path.open("x", encoding="utf-8", newline="\n")
        self._write(asdict(head))

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    @property
    def closed(self) -> bool:
        """Whether nothing can be appended any more."""
        return self._file.closed

    def append(self, record: Record) -> None:
        """Write a record; it is on the disk on return."""
        self._write(asdict(record))

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_records(run: Path) -> list[RecordFile]:
    """Read all files of records in a run's folder, by name; what is not whole is left out."""
    files = []
    for path in sorted((run / FOLDER).glob("*.jsonl")):
        head, *lines = [*_read_lines(path), None]
        if head is not None:
            records = [Record(**line) for line in lines if line is not None]
            files.append(RecordFile(path, Head(**head), records))
    return files


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:  # a kill, or a disk that was full
                return


def find_records(
    resume: str | None, run: Path, runs: Path, identity: dict[str, Any]
) -> list[RecordFile]:
    """Find what earlier runs know that were made with the same weights and options.

    Args:
        resume: `auto`: of all runs below `runs`; a run's folder; None: nothing.
        run: this run's own folder, which may be that of an earlier one.
        runs: the folder that holds the run folders.
        identity: what the records must have been made with.

    Returns:
        Files of records, the newest first.

    Raises:
        FileNotFoundError: the folder named holds no records.
        ValueError: those that it holds were made with something else.
    """
    if resume is None:
        return []
    identity = json.loads(json.dumps(identity))  # as it is read again
    if resume != AUTO:
        found = read_records(Path(resume))
        if not found:
            raise FileNotFoundError(
                f"expected resume=auto, or a run's folder with {FOLDER}/, got {resume}"
            )
        check_same(found, identity)
        return found
    folders = {path.parent.resolve() for path in (*runs.glob(f"*/{FOLDER}"), run / FOLDER)}
    found = [file for folder in folders for file in read_records(folder)]
    found = [file for file in found if file.head.identity == identity]
    return sorted(found, key=lambda f: (f.path.stat().st_mtime_ns, f.path.name), reverse=True)


def check_same(files: Iterable[RecordFile], identity: dict[str, Any]) -> None:
    """See that records were made with these weights and options.

    Raises:
        ValueError: some were not.
    """
    for file in files:
        if changed := list_changes(file.head.identity, identity):
            raise ValueError(
                f"expected records made with the same weights and options, got other "
                f"{', '.join(changed)} ({file.run}). Leave that run out, or repeat it"
            )


def list_changes(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name the values, two levels deep, that differ between two identities."""
    names = []
    for key in sorted(one.keys() | other.keys()):
        pair = one.get(key), other.get(key)
        if pair[0] != pair[1] and all(isinstance(value, dict) for value in pair):
            below = sorted(pair[0].keys() | pair[1].keys())
            names += [f"{key}.{k}" for k in below if pair[0].get(k) != pair[1].get(k)]
        elif pair[0] != pair[1]:
            names.append(key)
    return names


def stamp_files(paths: Iterable[Path], facts: str = "") -> str:
    """Return what tells files from changed ones without reading them: sizes and times.

    Args:
        paths: of files; one that is not there counts as such.
        facts: whatever else the stamp is to depend on.
    """
    digest = hashlib.sha256(facts.encode("utf-8", "surrogateescape"))
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            digest.update(b"absent;")
        else:
            digest.update(f"{found.st_size} {found.st_mtime_ns};".encode())
    return digest.hexdigest()
