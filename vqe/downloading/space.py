"""Sizes of what is to come -> enough free space, or an error before the first byte."""

import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vqe.downloading.connection import DownloadError

log = logging.getLogger(__name__)

BLOCK_BYTES = 4096  # a file's last block is lost in part


@dataclass(frozen=True)
class Need:
    """Disk space that one file takes.

    Attributes:
        fetch_bytes: what is still to be fetched.
        unpack_bytes: what comes out of it; 0 where it is no archive.
        unpack_files: in how many files.
        freed_bytes: what goes when it is unpacked.
    """

    fetch_bytes: int
    unpack_bytes: int = 0
    unpack_files: int = 0
    freed_bytes: int = 0


def count_peak_bytes(needs: Iterable[Need]) -> int:
    """Count the most that is held at any time, when files are made one after the other."""
    held = peak = 0
    for need in needs:
        held += need.fetch_bytes + need.unpack_bytes + need.unpack_files * BLOCK_BYTES
        peak = max(peak, held)
        held -= need.freed_bytes
    return peak


def check_space(folder: Path, needs: Iterable[Need]) -> None:
    """Check that the disk of `folder` has room.

    Raises:
        DownloadError: it has not; the message says how much is missing and where.
    """
    needed, free = count_peak_bytes(needs), shutil.disk_usage(folder).free
    log.info("%.1f GB needed, %.1f GB free in %s", needed / 1e9, free / 1e9, folder)
    if needed > free:
        raise DownloadError(
            f"expected {needed / 1e9:.1f} GB free for archives and what is in them, got "
            f"{free / 1e9:.1f} GB ({folder}). Free {(needed - free) / 1e9:.1f} GB, choose another "
            "data.target_dir, or fetch fewer parts at a time, as with parts=test"
        )
