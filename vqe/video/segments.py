"""RGB planes, one by one -> closed segments of packets in a folder (`SegmentWriter`), and back."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from vqe.files import explain_no_space
from vqe.video.facts import ColourTags
from vqe.video.planes import PictureMaker
from vqe.video.segment_encoder import CLOSE, HEAD, TAIL, EncoderSettings
from vqe.video.source import VideoError
from vqe.video.timed import TimedFrame
from vqe.video.writer import ZEROED_MEMORY

ENCODER = Path(__file__).with_name("segment_encoder.py")


@dataclass(frozen=True)
class Segment:
    """A closed segment's file and what lies in it, packets in the order of decoding."""

    path: Path
    packets: list[tuple[int, int, bool, int]]  # pts, dts, is a key frame, bytes
    last_duration: int
    header: str  # digest of the stream's header

    @classmethod
    def read(cls, path: Path) -> "Segment":
        """Read a segment's index."""
        with path.open("rb") as file:
            file.seek(-TAIL.size, os.SEEK_END)
            (length,) = TAIL.unpack(file.read(TAIL.size))
            file.seek(-TAIL.size - length, os.SEEK_END)
            index = json.loads(file.read(length))
        packets = [tuple(packet) for packet in index["packets"]]
        return cls(path, packets, index["last_duration"], index["header"])


class SegmentWriter:
    """Encode frames into segments, one file each, in a process of its own.

    Args:
        settings: how to encode.
        folder: where the files go, `000000.packets` and so on.
        target: the video that is made of them, for messages.
    """

    def __init__(self, settings: EncoderSettings, folder: Path, target: Path) -> None:
        self._maker = PictureMaker(settings.pix_fmt, ColourTags(*settings.colour))
        self._folder, self._target = folder, target
        # a file, as what encoders say of each segment would fill a pipe
        self._words = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(ENCODER), settings.to_json(), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=os.environ | ZEROED_MEMORY,
        )

    def write(self, frame: TimedFrame) -> None:
        """Append a frame to the segment that is open.

        Raises:
            NoSpaceError: the disk is full.
            VideoError: the encoder fails.
        """
        picture = self._maker.make(frame.planes)
        self._send(HEAD.pack(frame.pts, frame.duration), *picture.planes)

    def close_segment(self, number: int) -> None:
        """End the segment; its file is there on return.

        Raises:
            NoSpaceError: the disk is full.
            VideoError: the encoder fails.
        """
        self._send(HEAD.pack(CLOSE, number))
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            self._fail()

    def close(self) -> None:
        """End the process; a segment that is not closed leaves no file."""
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._words.close()

    def _send(self, *parts: Any) -> None:
        try:
            for part in parts:
                self._process.stdin.write(memoryview(part))
        except OSError:
            self._fail()

    def _fail(self) -> None:
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(words) if line.strip()), "the encoder died")
        if last.strip() == os.strerror(errno.ENOSPC):
            raise explain_no_space(self._folder)
        raise VideoError(self._target, f"cannot be encoded: {last.strip()}")


def iter_packets(segments: list[Segment], time_base: Fraction) -> Iterator[av.Packet]:
    """Yield the packets of consecutive segments as those of one stream.

    Time stamps of decoding are made anew: an encoder that starts again lets them overlap.
    """
    shown = sorted(packet[0] for segment in segments for packet in segment.packets)
    delay = 0
    for segment in segments:
        ranks = {pts: rank for rank, pts in enumerate(sorted(p[0] for p in segment.packets))}
        for number, packet in enumerate(segment.packets):
            delay = max(delay, number - ranks[packet[0]])
    step = min((b - a for a, b in pairwise(shown)), default=1)
    following = dict(pairwise(shown))
    number = 0
    for segment in segments:
        with segment.path.open("rb") as file:
            for pts, _, is_key, size in segment.packets:
                packet = av.Packet(file.read(size))
                late = number - delay
                packet.time_base = time_base
                packet.pts = pts
                packet.dts = shown[late] if late >= 0 else shown[0] + late * step
                packet.duration = following.get(pts, pts + segment.last_duration) - pts
                packet.is_keyframe = is_key
                yield packet
                number += 1
