"""What differs between PyAV 17.1, 18 and 19: how a file is opened, how a fraction is read."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

# From 19 on tags are always read and written as UTF-8, and bytes that are none come back as they
# were; before, that has to be asked for, or such a tag makes the file unreadable.
MAJOR = int(av.__version__.split(".")[0])
EXACT_TAGS = {"metadata_errors": "surrogateescape"} if MAJOR < 19 else {}


def open_container(path: str | Path, mode: str = "r", **options: Any) -> Any:
    """Open a media file; its tags are read and written byte by byte, whatever their encoding.

    Args:
        path: the file. One with a colon needs its folder, or ffmpeg takes "a:b.mp4" for a protocol.
        mode: "r" or "w".
        options: `av.open`'s own.

    Returns:
        PyAV's input or output container, a context manager.

    Raises:
        FFmpegError: the library fails on it.
    """
    return av.open(str(path), mode, **EXACT_TAGS, **options)


def read_fraction(value: Any) -> Fraction | None:
    """Return a stream's rate or time base as a fraction, None where it is unset.

    PyAV gives a Fraction or None up to 18, and from 19 on a rational of its own which is 0/1 where
    it is unset.
    """
    return Fraction(value.numerator, value.denominator) if value else None
