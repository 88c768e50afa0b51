"""A file or folder in the making -> a hidden name of its own beside it, and none of the dead.

The name is `.<name>.<machine>-<process>-<random>.part`: two writers never share one, and the next
writer of the same file sees whose it is and clears up after those that were killed.
"""

import os
import platform
import re
import secrets
import shutil
import time
import zlib
from pathlib import Path

MACHINE = f"{zlib.crc32(platform.node().encode()):08x}"
LONGEST_NAME = 200  # bytes of a name that its temporary name repeats; file systems take 255
LEFT_SECONDS = 24 * 3600  # after which nobody is writing any more, on whatever machine


def name_temporary(path: Path) -> Path:
    """Return a hidden name beside `path` that no other writer has, and clear leftovers of it.

    Nothing of that name is there yet.
    """
    remove_leftovers(path)
    token = f"{MACHINE}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{_shorten(path.name)}.{token}.part")


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files and folders of `path` whose writers are dead."""
    for entry, match in _find(path.parent, re.escape(_shorten(path.name))):
        if _is_left(entry, match["machine"], match["pid"]):
            remove(Path(entry.path))


def clear_folder(folder: Path) -> None:
    """Remove all temporary files and folders in a folder: nobody is at work there any more."""
    for entry, _ in _find(folder, ".+"):
        remove(Path(entry.path))


def _find(folder: Path, name: str) -> list[tuple[os.DirEntry, re.Match]]:
    """Find what is being made under names that match an expression."""
    # version 0.1 had less of a token, or none
    token = r"(\.((?P<machine>[0-9a-f]{8})-)?(?P<pid>\d+)(-[0-9a-f]{8})?)?"
    pattern = re.compile(rf"\.{name}{token}\.part")
    try:
        with os.scandir(folder) as entries:
            return [(entry, match) for entry in entries if (match := pattern.fullmatch(entry.name))]
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds; one that is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _shorten(name: str) -> str:
    return os.fsencode(name)[:LONGEST_NAME].decode(errors="ignore")


def _is_left(entry: os.DirEntry, machine: str | None, pid: str | None) -> bool:
    """Whether nobody is writing any more: dead, or on a machine that cannot be asked, a day ago."""
    if machine is None:
        return True
    if machine == MACHINE and os.name == "posix":
        return not _is_alive(int(pid))
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > LEFT_SECONDS
    except OSError:  # gone by now
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
