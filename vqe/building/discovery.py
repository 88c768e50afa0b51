"""Data folder -> the videos in it by subset, and the files that do not fit the layout."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vqe.files import BadFile
from vqe.layout import FOLDERS, VIDEO_SUFFIXES
from vqe.schema import VIDEO_FILE, VIDEO_FOLDER


class BadVideoError(Exception):
    """A video is unusable; `files` says which of its files are to blame."""

    def __init__(self, files: list[BadFile]):
        super().__init__(files)
        self.files = files


@dataclass(frozen=True)
class ChallengeVideo:
    """One video: its frames are in `folder`/{x,y}, or go there from `mp4s`."""

    subset: str
    video_id: str
    folder: Path
    sides: tuple[str, ...]  # ("x", "y") where there is a target, else ("x",)
    mp4s: dict[str, Path]  # side -> mp4; empty where the frames came as images


def find_videos(source_dir: Path) -> tuple[list[ChallengeVideo], list[BadFile]]:
    """Find the videos of all subsets, sorted, and what lies beside them but has no place.

    Folders and video files under train/ and test/ must fit `LAYOUT`; a video with a misfit is
    left out. Hidden names and other files are passed over.
    """
    videos: list[ChallengeVideo] = []
    bad = list(_find_strays(source_dir))
    for subset, folder in FOLDERS.items():
        if not (source_dir / folder).is_dir():
            continue
        mp4s, folders, misfits = _scan_subset(source_dir / folder)
        bad += misfits
        for video_id in sorted(mp4s.keys() | folders, key=sort_key):
            try:
                videos.append(_make_video(subset, source_dir / folder, video_id, mp4s))
            except BadVideoError as e:
                bad += e.files
    return videos, bad


def sort_key(name: str) -> tuple[int, str]:
    """Sort `frame_10000` behind `frame_9999`."""
    return len(name), name


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))


def _find_strays(source_dir: Path) -> Iterator[BadFile]:
    """Find folders and videos between the root and the subsets, where nobody would read them."""
    subsets = {source_dir / folder for folder in FOLDERS.values()}
    above = {source_dir / up for folder in FOLDERS.values() for up in folder.parents[:-1]}
    for folder in sorted(filter(Path.is_dir, above)):
        for path in _visible(folder):
            is_video = path.suffix.lower() in VIDEO_SUFFIXES
            if is_video or (path.is_dir() and path not in subsets | above):
                names = ", ".join(folder.as_posix() for folder in FOLDERS.values())
                yield BadFile(path, f"expected videos in {names} only. Move it")


def _scan_subset(
    folder: Path,
) -> tuple[dict[str, dict[str, Path]], set[str], list[BadFile]]:
    """Return mp4s by video id and side, the ids that have a folder, and the misfits."""
    mp4s: dict[str, dict[str, Path]] = {}
    folders: set[str] = set()
    bad = []
    for path in _visible(folder):
        if path.is_dir():
            if VIDEO_FOLDER.match(path.name):
                folders.add(path.name)
            else:
                bad.append(BadFile(path, "expected a folder named video_<number>. Rename it"))
        elif match := VIDEO_FILE.match(path.name):
            mp4s.setdefault(match["video_id"], {})[match["side"]] = path
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            bad.append(BadFile(path, "expected video_<number>_{x,y}.mp4. Rename or convert it"))
    return mp4s, folders, bad


def _make_video(
    subset: str, parent: Path, video_id: str, mp4s: dict[str, dict[str, Path]]
) -> ChallengeVideo:
    sides = ("x", "y") if FOLDERS[subset].parts[1] == "supervised" else ("x",)
    folder, own_mp4s = parent / video_id, mp4s.get(video_id, {})
    if own_mp4s:
        found = own_mp4s
        expected = {side: parent / f"{video_id}_{side}.mp4" for side in ("x", "y")}
    else:
        expected = {side: folder / side for side in ("x", "y")}
        found = {side: path for side, path in expected.items() if path.is_dir()}
    files = [
        BadFile(next(iter(found.values()), folder), f"expected {expected[side].name} with it")
        for side in sides
        if side not in found
    ]
    files += [
        BadFile(path, "expected no target among unsupervised videos. Move it")
        for side, path in found.items()
        if side not in sides
    ]
    if files:
        raise BadVideoError(files)
    return ChallengeVideo(subset, video_id, folder, sides, own_mp4s)
