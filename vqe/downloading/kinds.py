"""A file that has come -> it is of the kind that its name says, and the one with that digest.

What a proxy or a sign-in page sends in place of a file has a length and status 200 like the file.
"""

import hashlib
from pathlib import Path

from vqe.downloading.connection import DownloadError

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))  # PyTorch before 1.6
TORCH = (ZIP, *PICKLES)
STARTS = {  # by suffix; the first bytes that a file of that kind may have
    ".gz": (GZIP,),
    ".tgz": (GZIP,),
    ".zip": (ZIP,),
    **dict.fromkeys((".ckpt", ".pth", ".pt"), TORCH),
}
CHUNK_BYTES = 1 << 20


def check_kind(path: Path, name: str, url: str) -> None:
    """Hold a file's first bytes against the kind that its name says.

    Args:
        path: of the file as it lies here.
        name: that it has, or is to have.
        url: where it came from, for the message.

    Raises:
        DownloadError: they are those of something else.
    """
    with path.open("rb") as file:
        start = file.read(64)
    suffix = Path(name).suffix.lower()
    if suffix == ".safetensors":  # the length of a JSON object, then the object
        right = int.from_bytes(start[:8], "little") <= path.stat().st_size and start[8:9] == b"{"
    else:
        right = suffix not in STARTS or start.startswith(STARTS[suffix])
    if not right:
        raise DownloadError(
            f"expected a file of the kind {suffix}, got one that starts with {start[:20]!r} "
            f"({path}, from {url}). A proxy or a sign-in page may have answered: open the URL in "
            "a browser, and put the file into the data folder by hand"
        )


def check_digest(path: Path, sha256: str | None, url: str) -> None:
    """Hold a file against its SHA-256; None checks nothing.

    Raises:
        DownloadError: they differ.
    """
    if sha256 is None:
        return
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            digest.update(data)
    if digest.hexdigest() != sha256.lower():
        raise DownloadError(
            f"expected SHA-256 {sha256}, got {digest.hexdigest()} ({path}, from {url}). If the "
            "file has a new version, change its digest in the config (conf/download.yaml)"
        )
