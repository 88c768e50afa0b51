"""A data folder -> the same folder, held against other commands as long as one writes into it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

LOCK_FILE = ".vqe.lock"  # what counts is who holds it, and the system lets go for the dead


class FolderHeldError(RuntimeError):
    """Another command is writing into the folder."""


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other commands from writing into a folder.

    Raises:
        FolderHeldError: one is, in another process or this one.
    """
    path = folder / LOCK_FILE
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FolderHeldError(
            "expected no other command at work, got a download, synthesis or build that is "
            f"running into this folder ({folder}). Wait for its end or stop it; the same command "
            "then continues"
        ) from None
    except NotImplementedError:  # some network file systems
        log.warning("%s: the file system has no locks. Start one command at a time", folder)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes it on release
            path.unlink()
        lock.release()
