"""A file -> the names and facts beside it: `<name>.part`, and `<name>.download.json`.

The latter says which version of a file the bytes are from, while they come and when all have come.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from vqe.files import complete_or_absent


@dataclass(frozen=True)
class RemoteFile:
    """One version of a file on a server.

    Attributes:
        url: where it is.
        size_bytes: its length.
        validator: its ETag, or else when it was last modified; None if the server says neither.
    """

    url: str
    size_bytes: int
    validator: str | None


def get_part(path: Path) -> Path:
    """Return where a file is while it is fetched: one name for all runs, to be continued."""
    return path.with_name(f"{path.name}.part")


def get_sidecar(path: Path) -> Path:
    """Return where the facts of a file are."""
    return path.with_name(f"{path.name}.download.json")


def count_bytes(path: Path) -> int:
    """Return the size of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def read_sidecar(path: Path) -> RemoteFile | None:
    """Read the facts of `path`, None if there are none that can be read."""
    try:
        return RemoteFile(**json.loads(get_sidecar(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_sidecar(path: Path, remote: RemoteFile) -> None:
    """Write the facts of `path`, before its first byte."""
    with complete_or_absent(get_sidecar(path)) as temporary:
        temporary.write_text(json.dumps(asdict(remote)), encoding="utf-8")
