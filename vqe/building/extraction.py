"""A video's mp4s -> its folder of frames, which appears whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from vqe.building.discovery import BadVideoError, ChallengeVideo
from vqe.building.options import FrameOptions
from vqe.files import BadFile, complete_or_absent
from vqe.video import VideoError, iter_frames

MARKER = "extraction.json"  # beside x/ and y/: what the frames were made from
ADVICE = "Move the folder away to extract anew, or the mp4 to use the folder as it is"


@dataclass(frozen=True)
class Extraction:
    """What a folder of extracted frames records about itself."""

    frames: int  # of each side
    origin: dict[str, object]  # the mp4s, the rate and the format they were made from and in
    size: tuple[int, int] | None  # width, height
    frame_bytes: dict[str, int]  # of all frames of a side

    def describes(self, found: dict[str, list[int]]) -> bool:
        """Tell whether files of these bytes, by side, are the frames that were written."""
        return self.size is not None and all(
            len(sizes) == self.frames and all(sizes) and sum(sizes) == self.frame_bytes.get(side)
            for side, sizes in found.items()
        )


def extract_video(video: ChallengeVideo, options: FrameOptions) -> bool:
    """Extract `mp4s` to `folder`/{x,y}/frame_%04d.png (or jpg), numbered from 1.

    Args:
        video: a video with mp4s.
        options: rate and format.

    Returns:
        True if the frames were made now, False if they were there.

    Raises:
        BadVideoError: an mp4 is unreadable, x and y differ in length or size, or the folder
            holds frames of another rate, format or file, or of unknown origin.
    """
    origin = {
        "video_fps": options.video_fps,
        "bytes": {side: mp4.stat().st_size for side, mp4 in sorted(video.mp4s.items())},
        **options.encoding,
    }
    if video.folder.exists():
        _check_origin(video, origin)
        return False
    try:
        with complete_or_absent(video.folder, overwrite=False) as part:
            (part / MARKER).write_text(json.dumps(origin | _extract_mp4s(video, part, options)))
    except FileExistsError:
        _check_origin(video, origin)  # a cluster's worker that outlived a killed run was faster
        return False
    return True


def read_extraction(folder: Path) -> Extraction | None:
    """Read the record of extracted frames, None where there is none.

    Raises:
        BadVideoError: the record is damaged.
    """
    marker = folder / MARKER
    if not marker.is_file():
        return None
    try:
        # those of version 0.1 lack the format, which was png, and what follows it
        known = {"frame_format": "png"} | json.loads(marker.read_text(encoding="utf-8"))
        frames, size = known.pop("frames"), known.pop("size", None)
        return Extraction(
            frames=frames,
            size=tuple(size) if size else None,
            frame_bytes=known.pop("frame_bytes", {}),
            origin=known,
        )
    except (ValueError, TypeError, AttributeError, KeyError) as e:
        raise BadVideoError([BadFile(marker, f"cannot be read ({e!r}). {ADVICE}")]) from e


def _check_origin(video: ChallengeVideo, origin: Mapping[str, object]) -> None:
    """Check that the folder holds frames of the same files at the same rate in this format."""
    record = read_extraction(video.folder)
    if record is None:
        reason = f"expected frames that dataset_builder extracted, got no {MARKER}. {ADVICE}"
        raise BadVideoError([BadFile(video.folder, reason)])
    if record.origin != origin:
        got = json.dumps(record.origin)
        reason = f"expected frames of {json.dumps(origin)}, got {got}. {ADVICE}"
        raise BadVideoError([BadFile(video.folder, reason)])


def _extract_mp4s(video: ChallengeVideo, part: Path, options: FrameOptions) -> dict[str, object]:
    """Write the frames of all sides below `part` and return what to record of them."""
    shapes, frame_bytes, bad = {}, {}, []
    for side, mp4 in sorted(video.mp4s.items()):
        try:
            shapes[side], frame_bytes[side] = _write_frames(mp4, part / side, options)
        except VideoError as e:
            bad.append(BadFile(mp4, e.reason))
    if bad:
        raise BadVideoError(bad)
    check_pair(video, shapes)
    frames, height, width = shapes["x"]
    return {"frames": frames, "size": [width, height], "frame_bytes": frame_bytes}


def check_pair(video: ChallengeVideo, shapes: dict[str, tuple[int, int, int]]) -> None:
    """Check that the mp4s of x and y agree in (frames, height, width)."""
    if len(set(shapes.values())) > 1:
        (n, h, w), (y_n, y_h, y_w) = shapes["x"], shapes["y"]
        reason = f"expected {n} frames of {w}x{h} as in x, got {y_n} of {y_w}x{y_h}"
        raise BadVideoError([BadFile(video.mp4s["y"], reason)])


def _write_frames(
    mp4: Path, folder: Path, options: FrameOptions
) -> tuple[tuple[int, int, int], int]:
    """Write an mp4's frames; return their number, height and width, and the bytes of all."""
    folder.mkdir(parents=True)
    suffix, settings = f".{options.frame_format}", _encoder_settings(options)
    total = 0
    # one thread: the videos themselves run in parallel
    for number, frame in enumerate(iter_frames(mp4, options.video_fps, threads=1), start=1):
        # imwrite cannot write unicode paths everywhere
        _, data = cv2.imencode(suffix, frame, settings)
        total += (folder / f"frame_{number:04d}{suffix}").write_bytes(data)
    return (number, *frame.shape[:2]), total


def _encoder_settings(options: FrameOptions) -> list[int]:
    if options.frame_format == "jpg":
        return [cv2.IMWRITE_JPEG_QUALITY, options.jpg_quality]
    # against the default filter, the pixel to the left: 0-30 % fewer bytes in as little time
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # OpenCV 4.12
        return [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    return []
