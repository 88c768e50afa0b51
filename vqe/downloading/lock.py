"""A data folder -> the same folder, held against other downloads as long as one runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vqe.downloading.connection import DownloadError

LOCK_FILE = ".download.lock"  # the system drops the lock when its process ends


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other downloads out of a folder.

    Raises:
        DownloadError: another one is in it.
    """
    try:
        held = FileLock(folder / LOCK_FILE).acquire(timeout=0)
    except Timeout as error:
        raise DownloadError(
            f"expected no other download, got one that is running into this folder ({folder}). "
            "Wait for its end or stop it; the same command then goes on"
        ) from error
    with held:
        yield
