"""Video file -> all that a strict reader wants to know of it, every frame decoded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vqe.video.facts import FULL
from vqe.video.pyav import read_fraction
from vqe.video.reader import find_upright_filters
from vqe.video.source import VideoError, decode_video, open_video
from vqe.video.x264_settings import EncoderSettings, read_settings


@dataclass(frozen=True)
class StreamReport:
    """What a video file holds.

    Attributes:
        container: FFmpeg's names of the format, with commas.
        other_streams: kinds of all streams but the video's: audio, subtitle, ...
        profile: of the codec, such as High; None where it has none.
        width: of a stored picture, in pixels.
        height: likewise.
        rate: average frames per second as the file says.
        frames: how many were decoded.
        off_grid: number, from 1, of the first frame that does not stand at its place on a grid of
            the expected rate.
        changed: number of the first frame of another size or pixel format.
        full_range: levels from 0 to 255 instead of 16 to 235.
        rotated: the file tells players to turn the picture.
        pixel_shape: width to height of a pixel, None where nothing is said.
        settings: x264's own, where they stand in the stream.
        error: why the file could not be read to its end.
    """

    container: str
    other_streams: tuple[str, ...]
    codec: str
    profile: str | None
    pix_fmt: str
    width: int
    height: int
    rate: Fraction | None
    full_range: bool
    rotated: bool
    interlaced: bool
    pixel_shape: Fraction | None
    settings: EncoderSettings | None
    frames: int = 0
    off_grid: int | None = None
    changed: int | None = None
    error: str | None = None


def inspect_video(path: str | Path, *, fps: int) -> StreamReport:
    """Decode a video to its end, in one thread.

    Args:
        path: the file.
        fps: frames per second of the grid that the frames should stand on.

    Raises:
        VideoError: not even the first frame can be read.
    """
    with open_video(path, threads=1) as (container, stream):
        frames = decode_video(container, stream)
        first = next(frames)
        report = _describe(container, stream, first)
        counts: dict[str, Any] = {}
        error = None
        try:
            _count_frames(stream, first, frames, fps, counts)
        except VideoError as problem:
            error = problem.reason
        except av.error.FFmpegError as problem:
            error = f"cannot be decoded: {problem.strerror}"
    return replace(report, **counts, error=error)


def _describe(container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> StreamReport:
    user_data = first.side_data.get("SEI_UNREGISTERED")
    return StreamReport(
        container=container.format.name,
        other_streams=tuple(sorted(s.type for s in container.streams if s is not stream)),
        codec=stream.codec_context.codec.canonical_name,
        profile=stream.codec_context.profile,
        pix_fmt=first.format.name,
        width=first.width,
        height=first.height,
        rate=read_fraction(stream.average_rate),
        full_range=int(first.color_range) == FULL or first.format.name.startswith("yuvj"),
        rotated=_is_rotated(first, container.name),
        interlaced=bool(first.interlaced_frame),
        pixel_shape=read_fraction(stream.sample_aspect_ratio),
        settings=None if user_data is None else read_settings(bytes(user_data)),
    )


def _is_rotated(frame: av.VideoFrame, path: str) -> bool:
    try:
        return bool(find_upright_filters(frame, path))
    except VideoError:  # by an odd angle
        return True


def _count_frames(
    stream: VideoStream,
    first: av.VideoFrame,
    others: Iterator[av.VideoFrame],
    fps: int,
    counts: dict[str, Any],
) -> None:
    """Count frames into `counts`, which holds those so far where an error ends it."""
    tick = read_fraction(stream.time_base)
    kind = (first.width, first.height, first.format.name)
    for number, frame in enumerate(chain((first,), others), start=1):
        counts["frames"] = number
        if abs(frame.pts * tick - Fraction(number - 1, fps)) > tick:
            counts.setdefault("off_grid", number)
        if (frame.width, frame.height, frame.format.name) != kind:
            counts.setdefault("changed", number)
