"""The challenge's folders, which files count as videos and pictures, and where they lie."""

import os
from collections.abc import Collection
from pathlib import Path

from vqe.schema import SUBSETS

LAYOUT = """\
train/supervised/synthetic/video_XXXX/{x,y}/*.jpg
train/supervised/real/video_XXXX_{x,y}.mp4
train/unsupervised/video_XXXX_x.mp4
test/supervised/synthetic/video_XXXX/{x,y}/*.jpg
test/unsupervised/video_XXXX_x.mp4"""

FOLDERS = {subset: Path(*subset.split("_")) for subset in SUBSETS}  # train_x -> train/x
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
MAX_PIXELS = 2**26  # of a picture or frame, 8192x8192; what claims more is a bad file
PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


def find_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """List the files of these suffixes in a folder and all below it, sorted, hidden ones left out.

    Folders behind links are entered too, but each once: a link back up ends there, and what two
    links lead to is listed under the first.

    Args:
        folder: where to look.
        suffixes: with the dot, in small letters.
    """
    found, entered = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = (Path(place, name) for name in names if not name.startswith("."))
        found += [p for p in shown if p.suffix.lower() in suffixes and p.is_file()]
    return sorted(found)


def show_name(path: str | Path) -> str:
    """Return a path that can be printed: bytes that are no UTF-8 become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
