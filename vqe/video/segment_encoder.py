"""Pictures on standard input -> closed segments of encoded packets: the process behind a video.

It is a process of its own for the reason that `encoder.py` gives: the same pictures give the same
bits, whatever was encoded before. So a video that was cut off and goes on becomes what it would
have been. What comes in: for each picture its time stamp and duration as two 64-bit numbers, then
its planes as they lie in memory; CLOSE and a number end a segment. What goes out: a file a segment.
"""

import json
import os
import struct
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import av
import av.error

HEAD = struct.Struct("<qq")  # time stamp and duration; or CLOSE and the segment's number
TAIL = struct.Struct("<q")  # length of the index before it
CLOSE = -(2**63)
GLOBAL_HEADER = 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER
COLOURS = ("colorspace", "color_range", "color_primaries", "color_trc")


@dataclass(frozen=True)
class EncoderSettings:
    """All that decides how pictures are encoded; plain values, to travel as JSON."""

    codec: str  # FFmpeg's name of the encoder
    options: dict[str, str]
    pix_fmt: str
    width: int
    height: int
    time_base: str  # a fraction
    rate: str  # a fraction
    colour: tuple[int, int, int, int]  # matrix, range, primaries, transfer by ITU-T H.273
    pixel_shape: str | None  # a fraction
    global_header: bool  # the container keeps the stream's header apart

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "EncoderSettings":
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**values | {"colour": tuple(values["colour"])})

    def apply(self, context: av.VideoCodecContext) -> None:
        """Set up an encoder that is not open yet."""
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pix_fmt
        context.time_base = Fraction(self.time_base)
        context.framerate = Fraction(self.rate)
        for name, value in zip(COLOURS, self.colour, strict=True):
            setattr(context, name, value)
        if self.pixel_shape is not None:
            context.sample_aspect_ratio = Fraction(self.pixel_shape)
        if self.global_header:
            context.flags |= GLOBAL_HEADER
        context.options = self.options
        context.thread_type = "AUTO"
        context.thread_count = 0


class SegmentFile:
    """Packets of one encoder from its first picture to its last, in a file that appears whole."""

    def __init__(self, settings: EncoderSettings, folder: Path) -> None:
        self._context = av.CodecContext.create(settings.codec, "w")
        settings.apply(self._context)
        self._part = folder / f".{os.getpid()}.part"
        self._file = self._part.open("wb")
        self._index: list[tuple[int, int, bool, int]] = []
        self._shown: list[tuple[int, int]] = []

    def encode(self, picture: av.VideoFrame) -> None:
        """Append a picture."""
        self._shown.append((picture.pts, picture.duration))
        self._write(self._context.encode(picture))

    def close(self, path: Path) -> None:
        """Finish the segment and give its file its name."""
        self._write(self._context.encode(None))
        header = bytes(self._context.extradata or b"")
        index = {
            "packets": self._index,
            "last_duration": self._shown[-1][1],
            "header": sha256(header).hexdigest(),
        }
        text = json.dumps(index).encode()
        self._file.write(text + TAIL.pack(len(text)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(path)

    def abort(self) -> None:
        """Leave no file."""
        with suppress(OSError):  # closing writes the rest, which a full disk does not take
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _write(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            self._file.write(memoryview(packet))
            self._index.append((packet.pts, packet.dts, packet.is_keyframe, packet.size))


def encode_segments(raw: BinaryIO, settings: EncoderSettings, folder: Path) -> None:
    """Encode pictures until the input ends; what is not closed then leaves no file."""
    segment: SegmentFile | None = None
    time_base = Fraction(settings.time_base)
    try:
        while head := raw.read(HEAD.size):
            first, second = HEAD.unpack(head)
            if first == CLOSE:
                segment.close(folder / f"{second:06d}.packets")
                segment = None
                print(second, flush=True)
                continue
            picture = av.VideoFrame(settings.width, settings.height, settings.pix_fmt)
            for plane in picture.planes:
                if raw.readinto(memoryview(plane)) < plane.buffer_size:  # type: ignore[attr-defined]
                    return
            picture.pts, picture.duration, picture.time_base = first, second, time_base
            segment = segment or SegmentFile(settings, folder)
            segment.encode(picture)
    finally:
        if segment is not None:
            segment.abort()


if __name__ == "__main__":
    try:
        encode_segments(sys.stdin.buffer, EncoderSettings.from_json(sys.argv[1]), Path(sys.argv[2]))
    except (av.error.FFmpegError, OSError, ValueError) as e:
        sys.exit(getattr(e, "strerror", None) or str(e))
