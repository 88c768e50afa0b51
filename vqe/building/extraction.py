"""A video's mp4s -> its folder of PNG frames, which appears whole or not at all."""

import json
import os
import shutil
from pathlib import Path

import cv2

from vqe.building.layout import BadFile, BadVideoError, SourceVideo
from vqe.video import VideoError, iter_frames

MARKER = "extraction.json"  # beside x/ and y/: what the frames were made from


def extract_video(video: SourceVideo, fps: int) -> bool:
    """Extract `clips` to `folder`/{x,y}/frame_%04d.png, numbered from 1.

    Args:
        video: a video with mp4s.
        fps: frames per second.

    Returns:
        True if the frames were made now, False if they were there.

    Raises:
        BadVideoError: an mp4 is unreadable, x and y differ in length or size, or the folder
            holds frames of another rate, another file or unknown origin.
    """
    origin = {
        "video_fps": fps,
        "bytes": {side: clip.stat().st_size for side, clip in sorted(video.clips.items())},
    }
    if video.folder.exists():
        _check_origin(video, origin)
        return False
    for stale in video.folder.parent.glob(f".{video.video_id}.*.part"):  # of a killed run
        shutil.rmtree(stale)
    part = video.folder.with_name(f".{video.video_id}.{os.getpid()}.part")
    try:
        frames = _extract_clips(video, part, fps)
        (part / MARKER).write_text(json.dumps(origin | {"frames": frames}), encoding="utf-8")
        part.rename(video.folder)
    except OSError:
        if not video.folder.exists():
            raise
        _check_origin(video, origin)  # a worker that outlived a killed run was faster
        return False
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def _check_origin(video: SourceVideo, origin: dict[str, object]) -> None:
    """Check that the folder holds all frames of the same files at the same rate."""
    advice = "Move the folder away to extract anew, or the mp4 to use the folder as it is"
    marker = video.folder / MARKER
    if not marker.is_file():
        reason = f"expected frames that dataset_builder extracted, got no {MARKER}. {advice}"
        raise BadVideoError([BadFile(video.folder, reason)])
    try:
        known = json.loads(marker.read_text(encoding="utf-8"))
        frames = known.pop("frames")
    except (ValueError, AttributeError, KeyError) as e:
        raise BadVideoError([BadFile(marker, f"cannot be read ({e!r}). {advice}")]) from e
    if known != origin:
        reason = f"expected frames of {json.dumps(origin)}, got {json.dumps(known)}. {advice}"
        raise BadVideoError([BadFile(video.folder, reason)])
    for side in video.sides:
        found = sum(1 for _ in (video.folder / side).glob("frame_*.png"))
        if found != frames:
            reason = f"expected {frames} frames, got {found}. {advice}"
            raise BadVideoError([BadFile(video.folder / side, reason)])


def _extract_clips(video: SourceVideo, part: Path, fps: int) -> int:
    """Write the frames of all sides below `part` and return how many each has."""
    shapes, bad = {}, []
    for side, clip in sorted(video.clips.items()):
        try:
            shapes[side] = _write_frames(clip, part / side, fps)
        except VideoError as e:
            bad.append(BadFile(clip, e.reason))
    if bad:
        raise BadVideoError(bad)
    if len(set(shapes.values())) > 1:
        (n, h, w), (y_n, y_h, y_w) = shapes["x"], shapes["y"]
        reason = f"expected {n} frames of {w}x{h} as in x, got {y_n} of {y_w}x{y_h}"
        raise BadVideoError([BadFile(video.clips["y"], reason)])
    return shapes["x"][0]


def _write_frames(clip: Path, folder: Path, fps: int) -> tuple[int, int, int]:
    """Write a clip's frames and return their number, height and width."""
    folder.mkdir(parents=True)
    # one thread: the videos themselves run in parallel
    for number, frame in enumerate(iter_frames(clip, fps, threads=1), start=1):
        _, png = cv2.imencode(".png", frame)  # imwrite cannot write unicode paths everywhere
        (folder / f"frame_{number:04d}.png").write_bytes(png)
    return number, *frame.shape[:2]
