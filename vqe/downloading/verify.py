"""Folder of an archive's subsets -> file and byte counts, held against those published."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from vqe.downloading.connection import DownloadError
from vqe.layout import FOLDERS
from vqe.schema import VIDEO_FILE, VIDEO_FOLDER


@dataclass(frozen=True)
class Counts:
    """What an archive holds.

    Attributes:
        files: number of images or mp4s by subset.
        size_bytes: of all of them together; None is not checked.
    """

    files: Mapping[str, int]
    size_bytes: int | None


def count_files(folder: Path, expected: Counts) -> Counts:
    """Count the published files of every subset of `expected`; what was made of them is no part.

    Args:
        folder: `<data>/train` or `<data>/test`.
        expected: names the subsets and the progress bar's end.
    """
    files, size_bytes = dict.fromkeys(expected.files, 0), 0
    total = sum(expected.files.values())
    with tqdm(desc=f"counting {folder.name}", total=total, unit="file", delay=2) as bar:
        for subset in files:
            for entry in _iter_files(folder / Path(*FOLDERS[subset].parts[1:])):
                files[subset] += 1
                size_bytes += entry.stat().st_size
                bar.update()
    return Counts(files, size_bytes)


def check_counts(found: Counts, expected: Counts, folder: Path, advice: str) -> None:
    """Hold what was found against what is expected.

    Raises:
        DownloadError: they differ; the message names every difference.
    """
    wrong = [
        f"expected {number} files in {FOLDERS[subset].as_posix()}, got {found.files[subset]}"
        for subset, number in expected.files.items()
        if found.files[subset] != number
    ]
    if expected.size_bytes not in (None, found.size_bytes):
        wrong.append(f"expected {expected.size_bytes} bytes in all, got {found.size_bytes}")
    if wrong:
        raise DownloadError(f"{'; '.join(wrong)} ({folder}). {advice}")


def _iter_files(folder: Path) -> Iterator[os.DirEntry]:
    """Find the mp4s in a subset's folder and the images two folders below it."""
    for entry in _scan(folder):
        if VIDEO_FILE.match(entry.name) and entry.is_file():
            yield entry
        elif "synthetic" in folder.name and VIDEO_FOLDER.match(entry.name) and entry.is_dir():
            for side in ("x", "y"):
                images = _scan(Path(entry.path, side))
                yield from (e for e in images if e.name[0] != "." and e.is_file())


def _scan(folder: Path) -> list[os.DirEntry]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return list(entries)
