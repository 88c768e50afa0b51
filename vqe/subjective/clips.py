"""Folders of methods and of inputs -> clips that match, copied under blind names."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vqe.scoring import find_videos
from vqe.scoring.pairs import INPUT_SIDE
from vqe.subjective.study import Clip
from vqe.subjective.votes import REFERENCE
from vqe.video import VideoWriter, iter_frames, probe_video

log = logging.getLogger(__name__)
PLAYABLE = {  # what chromium and firefox both show, by codec
    "h264": ("yuv420p",),
    "vp8": ("yuv420p",),
    "vp9": ("yuv420p",),
    "av1": ("yuv420p",),
    "libdav1d": ("yuv420p",),
}
SHOWN = 5  # names in one message


@dataclass(frozen=True)
class Material:
    """A clip of the material.

    Attributes:
        path: the file.
        content: the video's name.
        method: a name, `votes.REFERENCE` for the input.
        fps: frames a second.
        frames: how many.
    """

    path: Path
    content: str
    method: str
    width: int
    height: int
    fps: Fraction
    frames: int
    playable: bool


def name_methods(methods: Mapping[str, str] | Sequence[str]) -> dict[str, Path]:
    """Return folders by method; a folder given alone has its own name.

    Raises:
        ValueError: two have one name, one is the input's, or there is none.
    """
    if isinstance(methods, Mapping):
        named = {str(name): Path(folder) for name, folder in methods.items()}
    else:
        folders = [Path(folder) for folder in methods]
        named = {folder.resolve().name: folder for folder in folders}
        if len(named) < len(folders):
            raise ValueError(
                f"expected folders of different names, got {', '.join(map(str, folders))}. "
                "Name them: methods={<name>:<folder>,<name>:<folder>}"
            )
    if not named or REFERENCE in named:
        raise ValueError(
            f"expected at least one method, none of them called {REFERENCE}, got {list(named)}"
        )
    return named


def find_material(methods: Mapping[str, Path], reference: Path) -> list[Material]:
    """Find every video in every folder and see that all versions of it match.

    Raises:
        FileNotFoundError: a folder, or a version of a video, is missing.
        ValueError: versions differ in size, rate or number of frames.
        VideoError: a file cannot be read.
    """
    folders = {REFERENCE: reference, **methods}
    found = {method: _name_contents(folder) for method, folder in folders.items()}
    everything = sorted(set().union(*found.values()))
    for method, files in found.items():
        missing = [content for content in everything if content not in files]
        if missing:
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            raise FileNotFoundError(
                f"expected the same videos in all folders, got no {', '.join(missing[:SHOWN])}"
                f"{more} in {folders[method]}. Add what is missing or remove it elsewhere"
            )
    material = []
    for content in everything:
        versions = [_probe(found[m][content], content, m) for m in folders]
        _check_versions(versions)
        material += versions
    return material


def copy_clips(
    material: Sequence[Material], folder: Path, random: np.random.Generator, crf: int | None
) -> dict[str, Clip]:
    """Copy clips under names that say nothing; with `crf` all are encoded anew, all alike.

    Returns:
        The clips by their names.

    Raises:
        ValueError: a browser would not play one, and `crf` is None.
    """
    odd = [m for m in material if not m.playable]
    if odd and crf is None:
        raise ValueError(
            "expected clips that browsers play (H.264, VP9 or AV1 in 4:2:0), got "
            f"{len(odd)} others, the first is {odd[0].path}. "
            "Do: encode_crf=8 to encode all clips anew, hardly visibly and all alike"
        )
    folder.mkdir(parents=True, exist_ok=True)
    clips = {}
    for clip in material:
        name = blind_name(random, ".mp4" if crf is not None else clip.path.suffix.lower())
        if crf is None:
            shutil.copyfile(clip.path, folder / name)
        else:
            with VideoWriter(folder / name, fps=clip.fps, crf=crf) as writer:
                for frame in iter_frames(clip.path, None):
                    writer.write(frame)
        clips[name] = describe_clip(clip, clip.method, clip.frames)
    return clips


def describe_clip(clip: Material, method: str, frames: int) -> Clip:
    """Return what the study says of a clip made from another one."""
    return Clip(clip.content, method, round(frames / float(clip.fps), 4), clip.width, clip.height)


def blind_name(random: np.random.Generator, suffix: str) -> str:
    """Return a file name that says nothing of what is in it."""
    return random.bytes(9).hex() + suffix


def _name_contents(folder: Path) -> dict[str, Path]:
    """Return videos by name without suffix and the input's `_x`."""
    named: dict[str, Path] = {}
    for name, path in find_videos(folder).items():
        content = Path(name).with_suffix("").as_posix().removesuffix(INPUT_SIDE)
        if content in named:
            raise ValueError(f"expected one video {content}, got {named[content]} and {path}")
        named[content] = path
    return named


def _probe(path: Path, content: str, method: str) -> Material:
    info = probe_video(path)
    frames = info.frames or sum(1 for _ in iter_frames(path, None))
    playable = info.pix_fmt in PLAYABLE.get(info.codec, ())
    return Material(
        path, content, method, info.width, info.height, Fraction(info.fps), frames, playable
    )


def _check_versions(versions: list[Material]) -> None:
    first = versions[0]
    wanted = f"{first.width}x{first.height}, {first.frames} frames at {float(first.fps):g} fps"
    for clip in versions[1:]:
        got = f"{clip.width}x{clip.height}, {clip.frames} frames at {float(clip.fps):g} fps"
        if got != wanted:
            raise ValueError(
                f"expected {wanted} as in {first.path}, got {got} ({clip.path}). "
                "Render it in the input's size, rate and length"
            )
