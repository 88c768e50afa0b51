"""A video's image folders -> the names and sizes of its frames, x and y matched by name."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vqe.building.discovery import BadVideoError, ChallengeVideo, sort_key
from vqe.building.extraction import ADVICE, Extraction, read_extraction
from vqe.building.headers import read_size
from vqe.files import BadFile

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
Size = tuple[int, int]


@dataclass(frozen=True)
class FrameList:
    """A video's frames: file names in order, and width and height of each."""

    names: list[str]
    sizes: list[Size]


def index_frames(video: ChallengeVideo, verify: str) -> FrameList:
    """List a video's frames in order with their sizes.

    Frames that `dataset_builder` extracted, and whose number and bytes are still those it
    recorded, are not opened. Of others the headers are read, as `verify` says.

    Raises:
        BadVideoError: a frame is unreadable, lacks its partner or differs from it in size.
    """
    bytes_of = {side: _list_images(video.folder / side) for side in video.sides}
    record = _read_record(video)
    if record and video.mp4s:
        _check_count(video, bytes_of, record)
    names = list(bytes_of["x"])
    _check_names(video, bytes_of)
    if record and record.describes({side: list(b.values()) for side, b in bytes_of.items()}):
        return FrameList(names, [record.size] * len(names))
    return FrameList(names, _read_sizes(video, bytes_of, verify))


def _read_record(video: ChallengeVideo) -> Extraction | None:
    try:
        return read_extraction(video.folder)
    except BadVideoError:
        if video.mp4s:
            raise
        return None  # without the mp4s they are images like any other


def _list_images(folder: Path) -> dict[str, int]:
    """Return the bytes of each image by name, in order; none where there is no folder."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                found.append((len(name), name, _count_bytes(entry)))  # as `sort_key` does
    return {name: size for _, name, size in sorted(found)}


def _count_bytes(entry: os.DirEntry) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a broken link: opening it will say so
        return 0


def _check_count(video: ChallengeVideo, bytes_of: dict[str, dict], record: Extraction) -> None:
    bad = [
        BadFile(video.folder / side, f"expected {record.frames} frames, got {len(found)}. {ADVICE}")
        for side, found in bytes_of.items()
        if len(found) != record.frames
    ]
    if bad:
        raise BadVideoError(bad)


def _check_names(video: ChallengeVideo, names: dict[str, dict]) -> None:
    """Check that x/ holds images and each has its partner."""
    if not names["x"]:
        reason = f"expected images ({', '.join(IMAGE_SUFFIXES)}), got none"
        raise BadVideoError([BadFile(video.folder / "x", reason)])
    if "y" not in video.sides or names["x"].keys() == names["y"].keys():
        return
    bad = []
    for side, other in (("x", "y"), ("y", "x")):
        if missing := sorted(names[other].keys() - names[side].keys(), key=sort_key):
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            reason = f"expected every image of {other}/, got no {', '.join(missing[:3])}{more}"
            bad.append(BadFile(video.folder / side, reason))
    raise BadVideoError(bad)


def _read_sizes(video: ChallengeVideo, bytes_of: dict[str, dict], verify: str) -> list[Size]:
    """Return the size of each frame in x, after comparing with y where there is one."""
    names = list(bytes_of["x"])
    sizes: dict[str, dict[str, Size]] = {}
    bad: list[BadFile] = []
    for side in video.sides:
        sizes[side] = {}
        folder = str(video.folder / side)
        for number, name in enumerate(names):
            if verify == "first" and number and bytes_of[side][name]:
                continue
            try:
                sizes[side][name] = read_size(f"{folder}/{name}")  # Path would take half the time
            except (OSError, SyntaxError, ValueError) as e:  # all that header parsers raise
                reason = f"expected a JPEG or PNG image, got {type(e).__name__} from its header"
                bad.append(BadFile(Path(folder, name), reason))
    for name, (width, height) in sizes.get("y", {}).items():
        if (expected := sizes["x"].get(name, (width, height))) != (width, height):
            reason = f"expected {expected[0]}x{expected[1]} as in x, got {width}x{height}"
            bad.append(BadFile(video.folder / "y" / name, reason))
    if bad:
        raise BadVideoError(bad)
    return [sizes["x"].get(name, sizes["x"][names[0]]) for name in names]
