"""Video file -> its decoded pictures in order, each checked; broken files end in `VideoError`."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vqe.layout import MAX_PIXELS, show_name
from vqe.video.hardware import (
    ADVICE,
    CPU,
    CUDA,
    DecoderError,
    open_for_decoding,
    require_hardware,
)
from vqe.video.pyav import read_fraction

log = logging.getLogger(__name__)
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # ISO/IEC 23091-2, transfer characteristics
MAX_REPEATS = 300  # points that a frame fills on average: slides change every ten seconds
FREE_POINTS = 9000  # five minutes at 30 a second
DEFAULT_BONUS = 5_000_000  # pixels: what ffmpeg gives the track that is marked as default


class VideoError(RuntimeError):
    """A video that cannot be read or written.

    Args:
        path: the file.
        reason: what is wrong with it, in the library's words where it said anything.
    """

    def __init__(self, path: str | Path, reason: str):
        super().__init__(path, reason)  # as separate arguments, to travel between processes
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@contextmanager
def open_video(
    path: str | Path, *, threads: int = 0, decoder: str = CPU
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and hand out its container and its video stream, the best as ffmpeg sees it.

    Args:
        path: the file.
        threads: decoder threads, 0 for one per core.
        decoder: `cpu`, `cuda` or `auto`, see `vqe.video.hardware`.

    Raises:
        VideoError: there is no such file, or the library fails on it, here or in the block.
        ValueError: there is no such decoder.
    """
    path = Path(path).absolute()  # ffmpeg reads "a:b.mp4" as protocol "a"
    _check_file(path)
    try:
        with open_for_decoding(path, decoder) as container:
            stream = find_stream(container, path)
            require_hardware(stream.codec_context, decoder)
            _warn_of_hdr(path, HDR_TRANSFERS.get(int(stream.codec_context.color_trc)))
            stream.thread_type = "AUTO"
            stream.thread_count = 1 if stream.codec_context.is_hwaccel else threads
            yield container, stream
    except DecoderError as e:
        raise VideoError(path, str(e)) from e
    except av.error.FFmpegError as e:
        raise VideoError(path, describe_failure(e, decoder)) from e


def describe_failure(error: av.error.FFmpegError, decoder: str) -> str:
    """Say what the library failed on, and what may be wrong."""
    if decoder.partition(":")[0] == CUDA:
        return f"cannot be decoded on the GPU: {error.strerror}. {ADVICE}"
    return f"cannot be read: {error.strerror}. Is the file whole?"


def decode_video(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Decode all frames in display order, their `pts` counted from the start of the file.

    Raises:
        VideoError: the file is cut short, a picture is damaged, or there is none.
    """
    path = container.name
    start = file_start(container, stream)
    packets = frames = 0
    for packet in container.demux(stream):
        packets += packet.size > 0
        if packet.is_corrupt:
            raise VideoError(path, f"is cut short or damaged at packet {packets}")
        for frame in packet.decode():
            frames += 1
            if frame.is_corrupt:
                raise VideoError(path, f"is damaged at frame {frames}")
            if frame.pts is None:
                raise VideoError(path, f"has no time stamp at frame {frames}. Convert it to mp4")
            frame.pts -= start
            yield frame
    # a file cut between two packets ends like a whole one, but its index knows better
    expected = len(stream.index_entries)
    if packets < expected:
        raise VideoError(path, f"is cut short: expected {expected} packets, got {packets}")
    if frames == 0:
        raise VideoError(path, "expected at least one frame, got none. Is the file whole?")


def check_grid(points: int, frames: int, path: str | Path) -> None:
    """See that a constant grid is not absurdly longer than the frames that fill it.

    Raises:
        VideoError: the time stamps are damaged.
    """
    if points > MAX_REPEATS * frames + FREE_POINTS:
        raise VideoError(
            path,
            f"expected time stamps of a video, got {frames} frames over {points} points of a "
            "constant rate. Its time stamps are damaged: encode it anew",
        )


def _check_file(path: Path) -> None:
    if show_name(path) != str(path):  # the library takes names in UTF-8 alone
        raise VideoError(show_name(path), "expected a name in UTF-8. Rename the file")
    if not path.exists():
        raise VideoError(path, "expected a video, got no such file")
    if not path.is_file():
        got = "a folder" if path.is_dir() else "a pipe or a device"
        raise VideoError(path, f"expected a video, got {got}")
    if path.stat().st_size == 0:
        raise VideoError(path, "expected a video, got an empty file")


def find_stream(container: InputContainer, path: str | Path) -> VideoStream:
    """Return a container's video stream, the best as ffmpeg sees it.

    Raises:
        VideoError: there is none.
    """
    # not the cover of a sound file
    tracks = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    known = [stream for stream in tracks if stream.codec_context is not None]
    if tracks and not known:
        raise VideoError(path, "expected a codec that FFmpeg knows, got another. Is it whole?")
    if known:
        stream = max(known, key=_rank_track)
        _check_size(path, stream.codec_context.width, stream.codec_context.height)
        return stream
    kinds = sorted({stream.type for stream in container.streams})
    got = " and ".join(kinds) + " only" if kinds else "no stream at all, it may be cut short"
    raise VideoError(path, f"expected a video stream, got {got}")


def _check_size(path: str | Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise VideoError(
            path, f"expected frames of at most {MAX_PIXELS} pixels, got {width}x{height}"
        )


def _rank_track(stream: VideoStream) -> int:
    area = (stream.codec_context.width or 0) * (stream.codec_context.height or 0)
    return area + DEFAULT_BONUS * bool(stream.disposition & Disposition.default)


@lru_cache(maxsize=1 << 16)  # says it once for a file
def _warn_of_hdr(path: Path, transfer: str | None) -> None:
    if transfer:
        log.warning(
            "%s: HDR video (%s), whose levels are taken as those of SDR: it looks flat and grey. "
            "Convert it to SDR first",
            path,
            transfer,
        )


def file_start(container: InputContainer, stream: VideoStream) -> int:
    """Return the time at which the file starts in the stream's ticks, rounded as ffmpeg does."""
    ticks = Fraction(container.start_time or 0, av.time_base) / read_fraction(stream.time_base)
    return int(ticks + Fraction(1, 2)) if ticks >= 0 else -int(-ticks + Fraction(1, 2))
