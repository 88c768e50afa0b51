"""Video file -> what it holds (`probe_video`), its frames as ffmpeg gives them (`iter_frames`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from vqe.video.hardware import CPU, find_planes
from vqe.video.pyav import read_fraction
from vqe.video.source import VideoError, check_grid, decode_video, open_video

# What turns a decoded picture upright, by the signs of its display matrix ((a, b), (c, d)).
UPRIGHT = {
    (1, 0, 0, 1): (),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}


SQUARE_TOLERANCE = 0.01  # of a pixel's width to its height
MAX_RATIO = 4


@dataclass(frozen=True)
class VideoInfo:
    """What a file's video stream holds; width and height as displayed, in square pixels."""

    width: int
    height: int
    fps: Fraction | None  # average, None where the file does not tell
    frames: int | None  # as the container says, None where it does not
    codec: str
    pix_fmt: str
    has_audio: bool


def probe_video(path: str | Path) -> VideoInfo:
    """Read a video's header and first frame.

    Raises:
        VideoError: the file cannot be read.
    """
    with open_video(path) as (container, stream):
        frame = next(decode_video(container, stream))
        width, height = square_size(frame, stream)
        if any(name == "transpose" for name, _ in find_upright_filters(frame, container.name)):
            width, height = height, width
        return VideoInfo(
            width=width,
            height=height,
            fps=read_fraction(stream.average_rate or stream.guessed_rate),
            frames=stream.frames or None,
            codec=stream.codec_context.codec.canonical_name,
            pix_fmt=frame.format.name,
            has_audio=bool(container.streams.audio),
        )


def iter_frames(
    path: str | Path, fps: int | None = 30, *, threads: int = 0, decoder: str = CPU
) -> Iterator[np.ndarray]:
    """Yield a video's frames one by one, bit-identical to `ffmpeg -i path -vf fps=N`.

    Args:
        path: the file.
        fps: the constant rate to repeat or drop frames to, None for every frame as it is.
        threads: decoder and filter threads, 0 for one per core.
        decoder: `cpu`, `cuda` or `auto`, see `vqe.video.hardware`.

    Yields:
        uint8, HxWx3, BGR, turned upright, in square pixels.

    Raises:
        VideoError: the file cannot be read to its end; the frames before came already.
    """
    with open_video(path, threads=threads, decoder=decoder) as (container, stream):
        number = -1
        for number, picture in enumerate(_filter_frames(container, stream, fps, threads)):
            frame = np.ascontiguousarray(picture.to_ndarray())
            if number == 0 and fps is not None:
                # ffmpeg fills the time before a late first frame with that frame
                yield from (frame.copy() for _ in range(picture.pts))
            yield frame
        if number < 0:
            raise VideoError(path, f"lasts less than half a frame at {fps} fps")


def _filter_frames(
    container: InputContainer, stream: VideoStream, fps: int | None, threads: int
) -> Iterator[av.VideoFrame]:
    """Decode and filter: upright, at a constant rate (`pts` counts its frames), BGR."""
    graph = first = None
    for number, frame in enumerate(decode_video(container, stream), start=1):
        if fps is not None:
            check_grid(round((frame.time or 0) * fps), number, container.name)
        if graph is None:
            first = picture_format(frame)
            graph = build_graph(frame, stream, fps, threads)
        elif picture_format(frame) != first:
            raise VideoError(
                container.name,
                f"expected frames of {first} throughout, got {picture_format(frame)} "
                f"at {frame.time:.2f} s. Encode it anew in one size",
            )
        graph.push(frame)
        yield from _drain_graph(graph)
    graph.push(None)
    yield from _drain_graph(graph)


def square_size(frame: av.VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Return width and height at which a stored frame's pixels are square; the longer side grows.

    A ratio within a hundredth of 1 is left alone, as is one that no camera writes.
    """
    ratio = read_fraction(stream.sample_aspect_ratio)
    if not ratio or abs(ratio - 1) < SQUARE_TOLERANCE or not 1 / MAX_RATIO <= ratio <= MAX_RATIO:
        return frame.width, frame.height
    if ratio > 1:
        return _even(frame.width * ratio), frame.height
    return frame.width, _even(frame.height / ratio)


def _even(pixels: Fraction) -> int:
    return max(2, round(pixels / 2) * 2)


def picture_format(frame: av.VideoFrame) -> str:
    """Name size and pixel format of a frame."""
    return f"{frame.width}x{frame.height} {frame.format.name}"


def build_graph(
    frame: av.VideoFrame, stream: VideoStream, fps: int | None, threads: int
) -> av.filter.Graph:
    """Build ffmpeg's own chain; any extra flag would change pixels."""
    graph = av.filter.Graph()
    graph.threads = threads
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=read_fraction(stream.time_base),
    )
    chain = [("format", planes)] if (planes := find_planes(frame)) else []
    if (size := square_size(frame, stream)) != (frame.width, frame.height):
        chain.append(("scale", f"{size[0]}:{size[1]}:flags=bicubic"))
    chain += find_upright_filters(frame, stream.container.name)
    if fps is not None:
        chain.append(("fps", str(fps)))
    chain += [("format", "bgr24"), ("buffersink", "")]
    graph.link_nodes(source, *(graph.add(*node) for node in chain)).configure()
    return graph


def find_upright_filters(frame: av.VideoFrame, path: str) -> tuple[tuple[str, str], ...]:
    """Return name and argument of each filter that turns a decoded picture upright."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return ()
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    signs = tuple(np.sign((a, b, c, d)).tolist())
    if signs not in UPRIGHT:
        raise VideoError(path, f"expected a rotation by quarter turns, got {a, b, c, d}")
    return UPRIGHT[signs]


def _drain_graph(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):  # wants more; or all is out
            return
