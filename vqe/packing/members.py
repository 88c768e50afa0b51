"""A file of a submission, on the disk or in a zip -> what its name says, and its bytes."""

import lzma
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vqe.files import hash_file
from vqe.schema import SUPERVISED_CSV, UNSUPERVISED_CSV

CSVS = (SUPERVISED_CSV, UNSUPERVISED_CSV)
VIDEO = re.compile(r"video_[0-9]+\.mp4")
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
ARCHIVES = (".zip", ".gz", ".tar", ".7z", ".rar", ".tgz", ".bz2", ".xz")
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MAX_MEMBER_BYTES = 2**31  # what unpacks to more is no video of ten seconds
# RuntimeError is an encrypted member, or an unknown compression; IndexError one without a name.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    IndexError,
    RuntimeError,
    ValueError,
    OverflowError,
)


class MemberError(RuntimeError):
    """A member of a zip that cannot be unpacked."""


@dataclass(frozen=True)
class Member:
    """A file of a submission.

    Attributes:
        name: without any folder.
        file: on the disk; of a zip's member the zip.
        inside: the member's name in the zip, None where the file itself is it.
    """

    name: str
    file: Path
    inside: str | None = None

    @property
    def shown(self) -> str:
        """What to call it in findings."""
        return self.name if self.inside is None else f"{self.file.name}/{self.inside}"

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Hand out a path that it can be read from; a zip's member is unpacked for that.

        Raises:
            MemberError: it is damaged.
        """
        if self.inside is None:
            yield self.file
            return
        with tempfile.TemporaryDirectory(prefix="vqe-check-") as folder:
            path = Path(folder) / self.name
            unpack(self.file, self.inside, path)
            yield path


def unpack(archive: Path, inside: str, path: Path) -> None:
    """Write a member of a zip to a path, and check its checksum.

    Raises:
        MemberError: it is damaged, or unpacks to too much.
    """
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(inside) as source,
            path.open("wb") as target,
        ):
            while block := source.read(1 << 20):
                target.write(block)
                if target.tell() > MAX_MEMBER_BYTES:
                    raise MemberError(f"more than {MAX_MEMBER_BYTES} bytes")
    except ZIP_ERRORS as error:
        raise MemberError(str(error) or type(error).__name__) from error


def classify_member(info: zipfile.ZipInfo, seen: set[str]) -> list[str]:
    """Return the names of all that is wrong with a zip's member."""
    name = info.filename.replace("\\", "/")
    system = name.startswith("__MACOSX/")
    parts = PurePosixPath(name)
    base = None if system or info.is_dir() else classify(parts.name)
    tests = {
        "system_file": system or base == "system_file",
        "folder_inside": not system and (info.is_dir() or len(parts.parts) > 1),
        "double_member": info.filename in seen,
        "encrypted": bool(info.flag_bits & 1),
        "compression": info.compress_type not in COMPRESSIONS,
        "link": stat.S_ISLNK(info.external_attr >> 16),
        str(base): base is not None,
    }
    return [kind for kind, is_so in tests.items() if is_so]


def classify(name: str, *, is_folder: bool = False) -> str | None:
    """Return what is wrong with a file of this name, None where it belongs to a submission."""
    if name in SYSTEM_FILES or name.startswith("._") or name == "__MACOSX":
        return "system_file"
    if is_folder:
        return "folder_inside"
    if name in CSVS or VIDEO.fullmatch(name):
        return None
    if not name.isascii():
        return "non_ascii_name"
    return "nested_zip" if name.lower().endswith(ARCHIVES) else "foreign_file"


def describe_file(path: Path) -> dict[str, int | str]:
    """Return a file's entry in a manifest."""
    return {"bytes": path.stat().st_size, "sha256": hash_file(path)}
