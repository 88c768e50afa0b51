"""Tar archive -> a folder that appears whole and checked, or not at all.

Only files and folders are ever made. A link becomes a copy of the file that it names, which must
be out already: no link stands on disk for a later member to go through. What a member takes is
counted before it is written, see `Allowance`.
"""

import gzip
import json
import logging
import lzma
import os
import shutil
import tarfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from tqdm import tqdm

from vqe.downloading.connection import DownloadError
from vqe.downloading.sidecar import get_sidecar, read_sidecar
from vqe.downloading.verify import Counts, check_counts, count_files
from vqe.files import put_in_place, temporary_beside

log = logging.getLogger(__name__)

MARKER = "download.json"  # in the unpacked folder: the archive's facts and counts
SUBSET_FOLDERS = frozenset({"supervised", "unsupervised"})
CHUNK_BYTES = 1 << 20
MAX_DEPTH = 64  # folders of a member's name; the challenge has 5
MAX_HEADER_BYTES = 1 << 20  # of a long name or attributes, which the library reads in one go
GROWTH = 10  # of an archive of unknown contents: pictures and videos do not shrink
SLACK_BYTES, SLACK_MEMBERS = 100_000_000, 100_000  # what is no picture or video: tables, folders
# What a damaged archive makes the readers raise; recursion ends thousands of headers in a row.
READ_ERRORS = (
    *(tarfile.TarError, EOFError, ValueError, RecursionError),
    *(zlib.error, lzma.LZMAError, gzip.BadGzipFile),
)
# What a name raises that an earlier member has as a file, or as a folder.
TAKEN_ERRORS = (FileExistsError, NotADirectoryError, IsADirectoryError)


@dataclass
class Allowance:
    """What an archive may still become: each member is counted before it is written.

    Attributes:
        size_bytes: of files, copies that links become among them.
        members: files and folders.
    """

    size_bytes: int
    members: int

    @classmethod
    def of(cls, archive: Path, expected: Counts) -> "Allowance":
        """Allow what is expected, twice the number for folders and tables, and some slack."""
        known = expected.size_bytes
        size_bytes = archive.stat().st_size * GROWTH if known is None else known
        members = 2 * sum(expected.files.values())
        return cls(size_bytes + SLACK_BYTES, members + SLACK_MEMBERS)

    def take(self, member: tarfile.TarInfo, size_bytes: int, archive: Path) -> None:
        """Count a member.

        Raises:
            DownloadError: it is more than what is left.
        """
        self.size_bytes -= size_bytes
        self.members -= 1
        if self.size_bytes < 0 or self.members < 0:
            raise _refuse(member, archive, "far more than the archive should hold")


class _ShortHeaders(tarfile.TarInfo):
    """A member whose name and attributes fit into memory."""

    LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.SOLARIS_XHDTYPE)

    def _proc_member(self, archive):
        long = self.type in (*self.LONG, tarfile.XHDTYPE, tarfile.XGLTYPE)
        if long and not 0 <= self.size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


def unpack_archive(archive: Path, folder: Path, expected: Counts) -> Counts:
    """Unpack an archive, check its counts and put it in place.

    Args:
        archive: a tar file, compressed in any way Python reads.
        folder: `<data>/train` or `<data>/test`, absent or empty; takes the folder of the archive
            that holds supervised/ and unsupervised/, however deep it lies.
        expected: what it should hold.

    Raises:
        DownloadError: the archive is damaged, has a member that is no plain file or folder inside
            it, or does not hold what is expected, or far more. Nothing of it stays.
        NoSpaceError: the disk is full; nothing of it stays either.
    """
    with temporary_beside(folder, needed_bytes=expected.size_bytes) as unpacking:
        _unpack(archive, unpacking, expected)
        found = _find_subsets(unpacking, archive)
        counts = count_files(found, expected)
        check_counts(
            counts,
            expected,
            folder,
            f"Nothing was put there. If {archive} is damaged, remove it with its "
            f"{get_sidecar(archive).name} to fetch it anew; if the challenge has a new version, "
            "change its counts in the config (conf/download.yaml)",
        )
        remote = read_sidecar(archive)
        marker = {
            "archive": asdict(remote) if remote else None,
            "files": counts.files,
            "unpacked_bytes": counts.size_bytes,
        }
        (found / MARKER).write_text(json.dumps(marker, indent=2), encoding="utf-8")
        if hasattr(os, "sync"):  # all of it is on the disk before the archive may go
            os.sync()
        put_in_place(found, folder)
    return counts


def read_unpacked_bytes(folder: Path) -> int | None:
    """Read from a folder's marker how many bytes it held when it was unpacked."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))["unpacked_bytes"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _unpack(archive: Path, target: Path, expected: Counts) -> None:
    target.mkdir(parents=True)
    allowance = Allowance.of(archive, expected)
    scale = {"unit": "B", "unit_scale": True, "unit_divisor": 1000}
    name = "its start"
    try:
        with (
            tarfile.open(archive, "r:*", tarinfo=_ShortHeaders) as tar,
            tqdm(desc=f"unpacking {archive.name}", total=expected.size_bytes, **scale) as bar,
        ):
            while (member := tar.next()) is not None:
                name = member.name
                _write_member(tar, member, target, archive, allowance)
                bar.update(member.size)
                tar.members.clear()  # type: ignore[attr-defined] # half a million of them would fill the memory
            while tar.fileobj.read(CHUNK_BYTES):
                pass  # to the end, where the checksum is
    except READ_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DownloadError(
            f"expected a whole tar archive, got: {reason} ({archive}, at {_shorten(name)!r}). "
            f"Remove it with its {get_sidecar(archive).name} to fetch it anew"
        ) from error


def _write_member(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    target: Path,
    archive: Path,
    allowance: Allowance,
) -> None:
    """Write one member below `target`; every folder there is real."""
    path = target / _check_name(member.name, member, archive)
    _ask_library(member, target, archive)
    try:
        if member.isdir():
            allowance.take(member, 0, archive)
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            _open_member(tar, member, target, archive, allowance) as source,
            path.open("xb") as file,
        ):
            shutil.copyfileobj(source, file, CHUNK_BYTES)
    except TAKEN_ERRORS as error:
        raise _refuse(member, archive, "a second member of that name") from error


def _open_member(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    target: Path,
    archive: Path,
    allowance: Allowance,
) -> IO[bytes]:
    if member.isreg():
        allowance.take(member, member.size, archive)
        return tar.extractfile(member)
    if member.islnk() or member.issym():
        linked = _find_linked(member, target, archive)
        allowance.take(member, linked.stat().st_size, archive)
        return linked.open("rb")
    raise _refuse(member, archive, "a device or pipe")


def _find_linked(member: tarfile.TarInfo, target: Path, archive: Path) -> Path:
    """Return the unpacked file that a link names: hard from the top, symbolic from its place."""
    base = PurePosixPath() if member.islnk() else PurePosixPath(member.name).parent
    parts: list[str] = []
    for part in (base / member.linkname).parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        else:
            parts.append(part)
    path = target / _check_name("/".join(parts), member, archive)
    if not path.is_file():
        raise _refuse(member, archive, f"a link to {member.linkname}, no file unpacked before it")
    return path


def _check_name(name: str, member: tarfile.TarInfo, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts
    if outside or PureWindowsPath(name).drive or set(name) & {"\\", "\0"}:
        got = f"a link to {member.linkname}" if member.linkname else "a path"
        raise _refuse(member, archive, f"{got} that leaves the folder")
    if len(path.parts) > MAX_DEPTH:
        raise _refuse(member, archive, f"{len(path.parts)} folders in each other")
    return path


def _ask_library(member: tarfile.TarInfo, target: Path, archive: Path) -> None:
    """Hear what the standard library's `data` filter says of a member, too.

    It cannot stand alone: it takes the slash off absolute names, passes backslashes and drives,
    and makes links; and Python before 3.11.4 (Debian 12 has 3.11.2) comes without it.
    """
    judge = getattr(tarfile, "data_filter", None)
    if judge is None:
        return
    try:
        judge(member, str(target))
    except (tarfile.FilterError, NotADirectoryError) as error:  # a folder of it is a file
        raise _refuse(member, archive, str(error)) from error


def _refuse(member: tarfile.TarInfo, archive: Path, got: str) -> DownloadError:
    return DownloadError(
        f"expected files and folders inside the archive, got {got} ({archive}, member "
        f"{_shorten(member.name)!r}). Nothing of it was kept: trust neither the archive nor its "
        "source"
    )


def _shorten(name: str) -> str:
    """Keep the end of a name that would fill the screen."""
    return name if len(name) <= 200 else f"...{name[-200:]}"


def _find_subsets(unpacked: Path, archive: Path) -> Path:
    """Go down from the top to the folder that holds the subsets."""
    folder = unpacked
    while folder is not None:
        inner = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
        if any(path.name in SUBSET_FOLDERS for path in inner):
            return folder
        folder = inner[0] if len(inner) == 1 else None
    names = " or ".join(sorted(SUBSET_FOLDERS))
    raise DownloadError(f"expected a folder {names}, got none ({archive})")
