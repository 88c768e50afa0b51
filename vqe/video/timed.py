"""Video file -> all its frames as RGB planes, each with its own time stamp."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np

from vqe.video.facts import VideoFacts
from vqe.video.planes import PlaneReader
from vqe.video.reader import picture_format
from vqe.video.source import VideoError, decode_video, file_start, open_video


@dataclass
class TimedFrame:
    """A picture and when it is shown, in ticks of the video's time base."""

    pts: int
    duration: int  # 0 where the video does not say
    planes: np.ndarray  # float32 RGB [3,H,W] in [0,1]


@dataclass(frozen=True)
class Cut:
    """Which frames are wanted.

    Attributes:
        start: seconds from the start of the file.
        end: the same, the first that is not wanted; None for all.
        every: 1 for all frames, N for the first and every N-th after it.
        fps: constant rate to repeat or drop frames to, None to keep them as they are.
    """

    start: Fraction = Fraction(0)
    end: Fraction | None = None
    every: int = 1
    fps: Fraction | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(f"expected 0 <= start < end, got {self.start} and {self.end}")
        if self.every < 1:
            raise ValueError(f"expected every >= 1, got {self.every}")
        if self.fps is not None and self.fps <= 0:
            raise ValueError(f"expected fps > 0, got {self.fps}")

    def time_base(self, facts: VideoFacts) -> Fraction:
        """Return the unit of the wanted frames' time stamps."""
        return facts.time_base if self.fps is None else 1 / self.fps

    def rate(self, facts: VideoFacts) -> Fraction:
        """Return the wanted frames' average rate."""
        return (self.fps or facts.rate) / self.every

    def count(self, facts: VideoFacts) -> int | None:
        """Estimate how many frames are wanted."""
        if facts.frames is None:
            return None
        seconds = facts.frames / facts.rate
        seconds = min(seconds, self.end if self.end is not None else seconds) - self.start
        whole = self.end is None and self.start == 0 and self.fps is None
        frames = facts.frames if whole else max(0, round(seconds * (self.fps or facts.rate)))
        return -(-frames // self.every)


def read_timed(
    path: str | Path, facts: VideoFacts, cut: Cut, *, skip: int = 0, threads: int = 0
) -> Iterator[TimedFrame]:
    """Yield the wanted frames, upright.

    Args:
        path: the file.
        facts: of it.
        cut: which frames; those of a later start are shown that much earlier.
        skip: how many of the wanted frames are left out at the beginning.
        threads: decoder threads, 0 for one per core.

    Raises:
        VideoError: the file cannot be read to its end; the frames before came already.
    """
    with open_video(path, threads=threads) as (container, stream):
        origin = file_start(container, stream)
        pictures = _restore_start(decode_video(container, stream), origin)
        yield from convert(path, pictures, facts, cut, skip=skip, origin=origin)


def convert(
    path: str | Path,
    pictures: Iterator[av.VideoFrame],
    facts: VideoFacts,
    cut: Cut,
    *,
    skip: int = 0,
    origin: int = 0,
) -> Iterator[TimedFrame]:
    """Turn decoded pictures into the wanted frames, as `read_timed` does.

    Args:
        path: the file, for messages.
        pictures: all of them, in order.
        facts: of the file.
        cut: which frames.
        skip: how many of the wanted frames are left out at the beginning.
        origin: where the file starts, in ticks of its time base.
    """
    if cut.fps is not None:
        pictures = _resample(pictures, facts, cut.fps)
    tick = cut.time_base(facts)
    origin_s = origin * facts.time_base
    start = -((-(origin_s + cut.start)) // tick) if cut.start else None
    end = None if cut.end is None else (origin_s + cut.end) / tick
    shift = round(cut.start / tick)
    reader = PlaneReader(facts)
    first, last, wanted = None, None, 0
    for picture in pictures:
        _check_same(path, picture, first := first or picture_format(picture))
        if start is not None and picture.pts < start:
            continue
        if end is not None and picture.pts >= end:
            return
        # a second frame of one time is shown a tick later: no frame is lost
        pts = picture.pts - shift if last is None else max(picture.pts - shift, last + 1)
        last = pts
        wanted += 1
        if (wanted - 1) % cut.every == 0 and (wanted - 1) // cut.every >= skip:
            yield TimedFrame(pts, picture.duration or 0, reader.read(picture))


def _restore_start(pictures: Iterator[av.VideoFrame], origin: int) -> Iterator[av.VideoFrame]:
    for picture in pictures:
        picture.pts += origin
        yield picture


def _check_same(path: str | Path, picture: av.VideoFrame, first: str) -> None:
    if picture_format(picture) != first:
        raise VideoError(
            path,
            f"expected frames of {first} throughout, got {picture_format(picture)} "
            f"at {picture.time:.2f} s. Encode it anew in one size",
        )


def _resample(
    pictures: Iterator[av.VideoFrame], facts: VideoFacts, fps: Fraction
) -> Iterator[av.VideoFrame]:
    """Repeat and drop frames as ffmpeg's fps filter does; time stamps count frames then."""
    first = list(islice(pictures, 1))
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=first[0].width,
        height=first[0].height,
        format=first[0].format.name,
        time_base=facts.time_base,
    )
    sink = graph.add("buffersink")
    graph.link_nodes(source, graph.add("fps", str(fps)), sink).configure()
    for picture in (*first, *pictures):
        graph.push(picture)
        yield from _drain(graph)
    graph.push(None)
    yield from _drain(graph)


def _drain(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            picture = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):  # wants more; or all is out
            return
        picture.duration = 1
        yield picture
