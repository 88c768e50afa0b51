"""Video file -> its decoded pictures in order, each checked; broken files end in `VideoError`."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vqe.video.pyav import open_container, read_fraction


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
    path: str | Path, *, threads: int = 0
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and hand out its container and first video stream.

    Args:
        path: the file.
        threads: decoder threads, 0 for one per core.

    Raises:
        VideoError: there is no such file, or the library fails on it, here or in the block.
    """
    path = Path(path).absolute()  # ffmpeg reads "a:b.mp4" as protocol "a"
    _check_file(path)
    try:
        with open_container(path) as container:
            stream = _find_stream(container, path)
            stream.thread_type = "AUTO"
            stream.thread_count = threads
            yield container, stream
    except av.error.FFmpegError as e:
        raise VideoError(path, f"cannot be read: {e.strerror}. Is the file whole?") from e


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


def _check_file(path: Path) -> None:
    if not path.exists():
        raise VideoError(path, "expected a video, got no such file")
    if not path.is_file():
        raise VideoError(path, "expected a video, got a folder")
    if path.stat().st_size == 0:
        raise VideoError(path, "expected a video, got an empty file")


def _find_stream(container: InputContainer, path: Path) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of a sound file
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    got = " and ".join(kinds) + " only" if kinds else "no stream at all, it may be cut short"
    raise VideoError(path, f"expected a video stream, got {got}")


def file_start(container: InputContainer, stream: VideoStream) -> int:
    """Return the time at which the file starts in the stream's ticks, rounded as ffmpeg does."""
    ticks = Fraction(container.start_time or 0, av.time_base) / read_fraction(stream.time_base)
    return int(ticks + Fraction(1, 2)) if ticks >= 0 else -int(-ticks + Fraction(1, 2))
