"""Checked files -> zips that are the same bytes each time, opened again, and their manifest."""

import json
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqe.files import complete_or_absent
from vqe.packing.gathering import MANIFEST
from vqe.packing.members import CSVS, ZIP_ERRORS, Member, describe_file
from vqe.parallel import map_parallel

METRICS_ZIP = "metrics.zip"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can say
PERMISSIONS = stat.S_IFREG | 0o644
UNIX = 3  # the system that made it, whatever it is
HEADERS_BYTES = 30 + 46  # of a member, its name twice beside them
END_BYTES = 22
MB = 10**6


class PackingError(RuntimeError):
    """A zip does not hold what was checked."""


@dataclass(frozen=True)
class ZipPlan:
    """A zip to write: its name, its members in order, and what a manifest says of each."""

    name: str
    members: tuple[Member, ...]
    entries: Mapping[str, Mapping[str, Any]]
    compression: int


def plan_zips(
    members: Sequence[Member], entries: Mapping[str, Mapping[str, Any]], part_mb: float
) -> list[ZipPlan]:
    """Deal files out to zips: the CSVs into one, the videos in order into parts.

    Args:
        members: CSVs and videos that lie on the disk.
        entries: of the manifest, by name.
        part_mb: the largest size of a zip, in 10^6 bytes.

    Raises:
        ValueError: a video alone is larger.
    """
    csvs = [m for m in members if m.name in CSVS]
    parts: list[list[Member]] = []
    size = limit = int(part_mb * MB) - END_BYTES
    for member in sorted((m for m in members if m.name not in CSVS), key=lambda m: m.name):
        needed = entries[member.name]["bytes"] + HEADERS_BYTES + 2 * len(member.name)
        if needed > limit:
            raise ValueError(
                f"expected part_mb of at least {needed / MB:.1f} for {member.name}, got {part_mb}"
            )
        if size + needed > limit:
            parts.append([])
            size = 0
        parts[-1].append(member)
        size += needed
    digits = len(str(len(parts)))
    named = {
        f"videos_{number:0{digits}d}_of_{len(parts)}.zip": part
        for number, part in enumerate(parts, start=1)
    }
    kinds = [(METRICS_ZIP, csvs, zipfile.ZIP_DEFLATED)] if csvs else []
    kinds += [(name, part, zipfile.ZIP_STORED) for name, part in named.items()]
    return [
        ZipPlan(name, tuple(inside), {m.name: entries[m.name] for m in inside}, compression)
        for name, inside, compression in kinds
    ]


def write_zips(plans: Sequence[ZipPlan], folder: Path) -> dict[str, dict]:
    """Write zips on the backend that is open, then the manifest; return what it holds."""
    zips = {}
    with tqdm(total=len(plans), desc="zipping", unit="zip") as bar:
        for name, entry in map_parallel(write_zip, plans, folder, batch_size=1):
            zips[name] = entry
            bar.update()
    text = json.dumps({"format": 1, "zips": zips}, indent=1) + "\n"
    with complete_or_absent(folder / MANIFEST) as part:
        part.write_text(text, encoding="ascii", newline="\n")
    return zips


def write_zip(plan: ZipPlan, folder: Path) -> tuple[str, dict]:
    """Write a zip, read it again, and return its name and its entry in the manifest.

    Raises:
        PackingError: it does not hold what was checked.
    """
    path = folder / plan.name
    with complete_or_absent(path) as part:
        with zipfile.ZipFile(part, "w") as archive:
            for member in plan.members:
                _add(archive, member, plan.compression)
        check_zip(part, plan.entries)
        entry = describe_file(part)
    return plan.name, {**entry, "files": {m.name: dict(plan.entries[m.name]) for m in plan.members}}


def _add(archive: zipfile.ZipFile, member: Member, compression: int) -> None:
    info = zipfile.ZipInfo(member.name, LONG_AGO)
    info.compress_type = compression
    info.external_attr = PERMISSIONS << 16
    info.create_system = UNIX
    info.file_size = member.file.stat().st_size  # more than 2 GiB gets a zip64 header
    with member.file.open("rb") as source, archive.open(info, "w") as target:
        while block := source.read(1 << 20):
            target.write(block)


def check_zip(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """See that a zip holds these files in this order, byte for byte.

    Raises:
        PackingError: it does not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if names != list(entries):
                raise PackingError(f"expected {list(entries)} in {path.name}, got {names}")
            for name in names:
                if _digest(archive, name) != entries[name]["sha256"]:
                    raise PackingError(
                        f"expected {name} as it was checked, got other bytes in {path.name}: "
                        "it changed meanwhile, or the disk fails. Pack again"
                    )
    except ZIP_ERRORS as error:
        if isinstance(error, PackingError):
            raise
        raise PackingError(f"expected a zip that opens, got {path.name}: {error}") from error


def _digest(archive: zipfile.ZipFile, name: str) -> str:
    digest = sha256()
    with archive.open(name) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(path: Path) -> dict[str, dict]:
    """Read a manifest: by the zips' names bytes, sha256 and files.

    Raises:
        ValueError: it is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        zips = content["zips"]
        _check_entries(zips)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected a manifest of submission.py, got {path}: {error}") from error
    return zips


def _check_entries(zips: Mapping[str, Any]) -> None:
    for entry in zips.values():
        for one in (entry, *entry["files"].values()):
            int(one["bytes"]), str(one["sha256"])


def compare_manifest(
    zips: Mapping[str, Mapping],
    there: Mapping[str, Mapping],
    entries: Mapping[str, Mapping],
) -> Iterator[tuple[str, str, str]]:
    """Yield (file, found, expected) of all that is not as a manifest says.

    Args:
        zips: of the manifest.
        there: the zips as they are.
        entries: of the files in them, as they are.
    """
    for name in sorted(set(there) - set(zips)):
        yield name, "it beside the others", "the manifest's zips alone"
    listed: dict[str, Mapping] = {}
    for name, entry in zips.items():
        listed |= entry["files"]
        if name not in there:
            yield name, "no such file", "each of the manifest's zips"
        elif there[name]["sha256"] != entry["sha256"]:
            yield name, "other bytes", "those that were packed"
    for file in sorted(set(listed) | set(entries)):
        found, expected = entries.get(file, {}), listed.get(file, {})
        if found.get("sha256") != expected.get("sha256"):
            yield file, _show_digest(found), _show_digest(expected)


def _show_digest(entry: Mapping) -> str:
    return f"SHA-256 {entry['sha256'][:12]}.." if entry else "no such file"
