"""Image file -> its width and height, from the first bytes.

The package imagesize takes 2.6 times as long and gives a PNG with a damaged size some other size.
"""

import os
import stat
import struct
import zlib

from PIL import Image

from vqe.layout import MAX_PIXELS

HEAD = 1024  # bytes; most headers end within
PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
JPEG_START = b"\xff\xd8\xff"
READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
# markers that carry a picture's size, without DHT, JPG and DAC, which lie among them
JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_size(path: str) -> tuple[int, int]:
    """Read an image's width and height; what is not plain at first sight is left to Pillow.

    Raises:
        OSError, SyntaxError, ValueError: Pillow's header parsers raise these; it is no file, or
            has more than `MAX_PIXELS`.
    """
    width, height = parse_head(_read_head(path)) or _ask_pillow(path)
    if width * height > MAX_PIXELS:
        raise ValueError(f"expected at most {MAX_PIXELS} pixels, got {width}x{height}")
    return width, height


def _read_head(path: str) -> bytes:
    # over millions of images, file objects and Pillow would take ten times as long
    handle = os.open(path, READ_ONLY)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):  # a pipe would never end
            raise OSError("expected a file, got a pipe or a device")
        return os.read(handle, HEAD)
    finally:
        os.close(handle)


def parse_head(head: bytes) -> tuple[int, int] | None:
    """Return the size, or None where the bytes do not say it beyond doubt."""
    if len(head) < HEAD:  # cut short, perhaps
        return None
    if head.startswith(PNG_START):
        width, height, checksum = struct.unpack_from(">II5xI", head, 16)
        intact = checksum == zlib.crc32(head[12:29])
        return (width, height) if intact and width and height else None
    return _parse_jpeg(head) if head.startswith(JPEG_START) else None


def _parse_jpeg(head: bytes) -> tuple[int, int] | None:
    """Walk from segment to segment up to the frame header."""
    at = 2
    while at + 9 <= len(head):
        start, marker, length, _, height, width = struct.unpack_from(">BBHBHH", head, at)
        if start != 0xFF:
            break
        if marker in JPEG_SIZES:
            return (width, height) if width and height else None
        at += 2 + length
    return None


def _ask_pillow(path: str) -> tuple[int, int]:
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            return image.size
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
