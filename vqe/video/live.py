"""A stream that comes once, from a pipe or a camera -> frames and packets, and out again."""

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from typing import BinaryIO, TypeAlias

import av
import av.error
from av.container import InputContainer, OutputContainer

from vqe.video.encoders import CONTAINERS
from vqe.video.facts import ColourTags, read_facts
from vqe.video.other_streams import OtherStreams, keep_video_tags
from vqe.video.planes import PictureMaker
from vqe.video.pyav import EXACT_TAGS
from vqe.video.segment_encoder import EncoderSettings
from vqe.video.source import VideoError, file_start, find_stream
from vqe.video.timed import Cut, TimedFrame, convert

Item: TypeAlias = TimedFrame | av.Packet


class LiveInput:
    """Frames of the first video stream, and packets of the others, as they come.

    Args:
        container: open for reading.
        name: of it, for messages.
        restart: whether time begins with the first frame; a camera's clock does not.

    Attributes:
        facts: of the video.
        others: the other streams.

    Raises:
        VideoError: there is no video.
    """

    def __init__(self, container: InputContainer, name: str, *, restart: bool = False) -> None:
        self.name = name
        self._container = container
        self._stream = find_stream(container, name)
        self._stream.thread_type = "AUTO"
        self._waiting: deque[av.Packet] = deque()
        self._restart = restart
        pictures = self._decode()
        first = next(pictures, None)
        if first is None:
            raise VideoError(name, "expected at least one frame, got none")
        self.facts = read_facts(container, self._stream, first)
        self.others = OtherStreams(container, self._stream)
        self._pictures = chain([first], pictures)

    def read(self, cut: Cut) -> Iterator[Item]:
        """Yield the wanted frames, and the other streams' packets between them."""
        origin = 0 if self._restart else file_start(self._container, self._stream)
        for frame in convert(self.name, self._pictures, self.facts, cut, origin=origin):
            yield from self._take_waiting()
            yield frame
        yield from self._take_waiting()

    def _take_waiting(self) -> Iterator[av.Packet]:
        while self._waiting:
            yield self._waiting.popleft()

    def _decode(self) -> Iterator[av.VideoFrame]:
        start = None
        try:
            for packet in self._container.demux():
                if packet.stream_index != self._stream.index:
                    if packet.size:
                        self._waiting.append(packet)
                    continue
                for picture in packet.decode():
                    if start is None:
                        start = picture.pts if self._restart else 0
                    picture.pts -= start
                    yield picture
        except av.error.FFmpegError as error:
            raise VideoError(self.name, f"cannot be read: {error.strerror}") from error


class LiveOutput:
    """Encode frames and pass packets on, in one pass.

    Args:
        container: open for writing.
        settings: how frames are encoded.
        others: of the input.
    """

    def __init__(
        self, container: OutputContainer, settings: EncoderSettings, others: OtherStreams
    ) -> None:
        self._container = container
        self._maker = PictureMaker(settings.pix_fmt, ColourTags(*settings.colour))
        self._time_base = Fraction(settings.time_base)
        self._stream = container.add_stream(settings.codec, rate=Fraction(settings.rate))
        settings.apply(self._stream.codec_context)
        self._stream.metadata.update(keep_video_tags(others.video.metadata))
        self._others = others
        others.add_to(container)
        container.start_encoding()

    def write(self, item: Item) -> None:
        """Append a frame or a packet."""
        if isinstance(item, av.Packet):
            if self._others.redirect(item):
                self._container.mux(item)
            return
        picture = self._maker.make(item.planes)
        picture.pts, picture.time_base = item.pts, self._time_base
        picture.duration = item.duration
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


class OneWay:
    """A pipe as a file that cannot be searched."""

    def __init__(self, raw: BinaryIO) -> None:
        if raw.readable():
            self.read = raw.read
        else:
            self.write = raw.write


@contextmanager
def open_pipe_in(raw: BinaryIO | None = None) -> Iterator[InputContainer]:
    """Open standard input: nut, y4m, matroska, mpegts, ...

    Raises:
        VideoError: it is none of them.
    """
    try:
        container = av.open(OneWay(raw or sys.stdin.buffer), **EXACT_TAGS)
    except av.error.FFmpegError as error:
        raise VideoError("standard input", f"cannot be read: {error.strerror}") from error
    with container:
        yield container


@contextmanager
def open_live_out(target: object, container: str, name: str) -> Iterator[OutputContainer]:
    """Open a path or a pipe for one pass; `container` is a key of `CONTAINERS`, or v4l2.

    Raises:
        VideoError: it cannot be written.
    """
    options = {"strict": "-1"} if container == "y4m" else {}  # for more than eight bits
    try:
        with av.open(
            target, "w", format=CONTAINERS.get(container, container), container_options=options
        ) as output:
            yield output
    except (av.error.FFmpegError, BrokenPipeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(name, f"cannot be written: {reason}") from error


@contextmanager
def open_camera(device: str, size: tuple[int, int] | None) -> Iterator[InputContainer]:
    """Open a webcam by Video4Linux.

    Raises:
        VideoError: there is no such camera, or it is in use.
    """
    options = {} if size is None else {"video_size": f"{size[0]}x{size[1]}"}
    try:
        container = av.open(device, format="v4l2", options=options)
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(
            device,
            f"expected a camera, got: {getattr(error, 'strerror', None) or error}. "
            "Set camera.input to one of /dev/video*",
        ) from error
    with container:
        yield container
