"""A run, a folder or zips -> the metric CSVs and videos in them, and what should not be there."""

import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vqe.packing.findings import Finding, shorten
from vqe.packing.members import CSVS, VIDEO, ZIP_ERRORS, Member, classify, classify_member

MANIFEST, EFFICIENCY, FACT_SHEET = "manifest.json", "efficiency.json", "fact_sheet.md"
PACKED_FILES = (MANIFEST, EFFICIENCY, FACT_SHEET)  # beside the zips
RESULTS, VIDEOS = "results", "videos"  # folders of a run
PART = re.compile(r"videos_(?P<part>[0-9]+)_of_(?P<parts>[0-9]+)\.zip")
EXPECTED = {
    "folder_inside": "all files at the root",
    "system_file": "the submission's own files alone",
    "nested_zip": "the files themselves",
    "foreign_file": f"{', '.join(CSVS)} and video_XXXX.mp4 alone",
    "non_ascii_name": "names in ASCII",
    "double_member": "each name once",
    "link": "files",
    "encrypted": "no password",
    "compression": "members that are stored or deflated",
}


@dataclass
class Submission:
    """What was found.

    Attributes:
        csvs: by name.
        videos: by id.
        zips: paths.
        manifest: the file, None where there is none.
        parts_missing: only some parts of the videos are here.
        findings: about what is where.
    """

    csvs: dict[str, Member] = field(default_factory=dict)
    videos: dict[str, Member] = field(default_factory=dict)
    zips: list[Path] = field(default_factory=list)
    manifest: Path | None = None
    parts_missing: bool = False
    findings: list[Finding] = field(default_factory=list)

    def take(self, member: Member) -> None:
        """Add a CSV or a video; one that is there already is a finding."""
        found, key = self.csvs, member.name
        if member.name not in CSVS:
            found, key = self.videos, member.name.removesuffix(".mp4")
        if key in found:
            where = f"{found[key].shown} and {member.shown}"
            self.findings.append(Finding("double_member", member.name, where, "it once"))
        found.setdefault(key, member)


def is_run(path: Path) -> bool:
    """Whether a folder is what train_vqe.py or test_vqe.py wrote."""
    return (path / RESULTS).is_dir() or (path / VIDEOS).is_dir()


def gather_run(run: Path) -> Submission:
    """Gather the CSVs and videos of a run; what else lies there is left out, with a note."""
    submission = Submission()
    for folder in (run / RESULTS, run / VIDEOS):
        if folder.is_dir():
            names = {path.name: path for path in sorted(folder.iterdir())}
            wrong = {}
            for name, path in names.items():
                kind = classify(name, is_folder=path.is_dir())
                if kind is None:
                    submission.take(Member(name, path))
                elif not name.startswith("."):
                    wrong[name] = kind
            if wrong:
                submission.findings.append(
                    Finding(
                        "left_out",
                        folder.name,
                        shorten([ascii(name) for name in wrong]),
                        EXPECTED["foreign_file"],
                        note=True,
                    )
                )
    return submission


def gather(paths: list[Path]) -> Submission:
    """Gather what zips hold, or a folder of zips, of CSVs and mp4s, or a run.

    Args:
        paths: one folder, or zips.
    """
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        if is_run(folder):
            return gather_run(folder)
        zips = sorted(folder.glob("*.zip"))
        return _gather_packed(folder, zips) if zips else _gather_folder(folder)
    return _gather_zips(paths)


def _gather_packed(folder: Path, zips: list[Path]) -> Submission:
    submission = _gather_zips(zips)
    known = {path.name for path in zips} | set(PACKED_FILES)
    others = [p.name for p in sorted(folder.iterdir()) if p.name not in known]
    for name in (name for name in others if not name.startswith(".")):
        loose = classify(name) is None  # a CSV or a video that was to be in a zip
        kind = "foreign_file" if loose else "left_out"
        found = Finding(kind, ascii(name), "it beside the zips", "zips and their sheets", not loose)
        submission.findings.append(found)
    if (folder / MANIFEST).is_file():
        submission.manifest = folder / MANIFEST
    return submission


def _gather_folder(folder: Path) -> Submission:
    submission = Submission()
    wrong: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        name = classify(path.name, is_folder=path.is_dir())
        if name is None:
            submission.take(Member(path.name, path))
        elif path.name not in PACKED_FILES:
            wrong.setdefault(name, []).append(ascii(path.name))
    submission.findings += _tell_wrong(folder.name or str(folder), wrong)
    return submission


def _gather_zips(paths: list[Path]) -> Submission:
    submission = Submission(zips=paths)
    parts: dict[int, set[int]] = {}
    for path in paths:
        _gather_zip(path, submission)
        if match := PART.fullmatch(path.name):
            parts.setdefault(int(match["parts"]), set()).add(int(match["part"]))
    for count, there in parts.items():
        missing = sorted(set(range(1, count + 1)) - there)
        if missing and len(paths) > 1:
            names = [f"part {part} of {count}" for part in missing]
            submission.findings.append(
                Finding("missing_part", "videos", f"no {shorten(names)}", f"{count} parts")
            )
        submission.parts_missing |= bool(missing)
    return submission


def _gather_zip(path: Path, submission: Submission) -> None:
    """Add a zip's CSVs and videos, and what is wrong with its list of members."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (*ZIP_ERRORS, OSError) as error:
        found = f"{type(error).__name__}: {error}"
        submission.findings.append(Finding("not_a_zip", path.name, found, "a zip that opens"))
        return
    wrong: dict[str, list[str]] = {}
    seen: set[str] = set()
    videos = deflated = 0
    for info in members:
        base = PurePosixPath(info.filename.replace("\\", "/")).name
        for name in classify_member(info, seen):
            wrong.setdefault(name, []).append(ascii(info.filename))
        seen.add(info.filename)
        if base in CSVS or VIDEO.fullmatch(base):
            submission.take(Member(base, path, info.filename))
            videos += base not in CSVS
            deflated += base not in CSVS and info.compress_type != zipfile.ZIP_STORED
    submission.findings += _tell_wrong(path.name, wrong)
    _look_at_whole(path, len(members), videos, deflated, seen, submission)


def _look_at_whole(
    path: Path, members: int, videos: int, deflated: int, seen: set[str], submission: Submission
) -> None:
    if not members:
        found = Finding("nothing_here", path.name, "an empty zip", EXPECTED["foreign_file"])
        submission.findings.append(found)
    if videos and any(PurePosixPath(name).name in CSVS for name in seen):
        found = Finding("mixed_zip", path.name, f"CSVs and {videos} videos", "one kind of files")
        submission.findings.append(found)
    if deflated:
        found = Finding(
            *("compression", path.name, f"{deflated} deflated videos", "videos that are stored"),
            note=True,
        )
        submission.findings.append(found)


def _tell_wrong(file: str, wrong: dict[str, list[str]]) -> list[Finding]:
    return [Finding(name, file, shorten(there), EXPECTED[name]) for name, there in wrong.items()]
