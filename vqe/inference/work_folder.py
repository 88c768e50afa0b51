"""A target -> the folder beside it that keeps closed segments, until the target is complete."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors.torch import load_file, save

from vqe.files import complete_or_absent, remove
from vqe.video.segments import Segment

log = logging.getLogger(__name__)

HEAD_BYTES = 1 << 20
JOURNAL = "journal.json"
LOCK = ".lock"


class WorkFolder:
    """Segments that are done, the network's state after each, and what all of it was made from.

    Args:
        target: the video in the making.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.parts")

    @contextmanager
    def hold(self, identity: dict[str, Any]) -> Iterator[None]:
        """Keep other processes out; what was made from something else is thrown away.

        Raises:
            ValueError: another process makes this target.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"expected one process to make {self.target}, got a second one. Wait for its end"
            ) from error
        except NotImplementedError:  # some network file systems
            log.warning("%s: the file system has no locks. Start one process a file", self.path)
        try:
            self._begin(identity)
            yield
        finally:
            lock.release()

    def _begin(self, identity: dict[str, Any]) -> None:
        identity = json.loads(json.dumps(identity))  # as it is read again
        journal = self.path / JOURNAL
        if journal.is_file():
            before = json.loads(journal.read_text(encoding="utf-8"))
            changed = [key for key in identity if identity[key] != before.get(key)]
            if not changed and before.keys() == identity.keys():
                self._remove_parts()
                return
            log.warning("%s: starts anew, as this changed: %s", self.target, ", ".join(changed))
        for entry in self.path.iterdir():
            if entry.name != LOCK:
                remove(entry)
        with complete_or_absent(journal) as part:
            part.write_text(json.dumps(identity, indent=1), encoding="utf-8")

    def _remove_parts(self) -> None:
        for part in self.path.glob(".*.part"):
            remove(part)

    def segment(self, number: int) -> Path:
        """Return the path of a segment, whether it is there or not."""
        return self.path / f"{number:06d}.packets"

    def read_segments(self) -> list[Segment]:
        """Return the closed segments from the first on, up to the first that is missing."""
        segments: list[Segment] = []
        while (path := self.segment(len(segments))).is_file():
            segments.append(Segment.read(path))
        return segments

    def count_resumable(self, start: int = 0, end: int | None = None) -> int:
        """Return how many segments from `start` on, up to `end`, need not be made again.

        A video's last segment is a short one without a state: it is made again if it is there and
        the end was not said.
        """
        number = start
        while number != end and self.segment(number).is_file():
            number += 1
        while number > start and not self._state(number - 1).is_file():
            number -= 1
            self.segment(number).unlink()
        return number - start

    def save_state(self, number: int, state: dict[str, Any]) -> None:
        """Keep the network's state after a segment; call it before the segment is closed."""
        with complete_or_absent(self._state(number)) as part:
            part.write_bytes(save(state))  # save_file hides what the system says of a full disk

    def load_state(self, number: int) -> dict[str, Any]:
        """Return the state after a segment."""
        return load_file(self._state(number))

    def drop_state(self, number: int) -> None:
        """Remove a state that no later start needs."""
        self._state(number).unlink(missing_ok=True)

    def _state(self, number: int) -> Path:
        return self.path / f"{number:06d}.safetensors"

    @property
    def complete(self) -> bool:
        """Whether the last segment is there too."""
        return (self.path / "complete").is_file()

    def set_complete(self) -> None:
        """Say that no segment follows."""
        (self.path / "complete").touch()

    def clear(self) -> None:
        """Remove the folder."""
        remove(self.path)


def identify_source(path: Path) -> dict[str, Any]:
    """Return what tells a file from a changed one without reading all of it."""
    facts = path.stat()
    with path.open("rb") as file:
        head = sha256(file.read(HEAD_BYTES)).hexdigest()
    name = os.fspath(path.absolute())
    return {"path": name, "bytes": facts.st_size, "changed": facts.st_mtime_ns, "head": head}
