"""Video file -> when each frame is shown, where decoding can start, which frame fills which tick.

Read from the packets alone, nothing is decoded.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from vqe.video.pyav import read_fraction
from vqe.video.reader import iter_frames
from vqe.video.source import VideoError, check_grid, file_start, open_video


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """A file's frames in the order they are shown, and the constant grid that they fill.

    Attributes:
        times: [N] int64, when each frame is shown, in the stream's ticks from the file's start.
        key_times: [K] int64, the same for the key frames, rising; one that is decoded and not
            shown is among them.
        key_positions: [K], how many frames are shown before each key frame.
        grid: [M] int32, for each frame of the constant grid the frame it shows; see `map_grid`.
        doubt: why these times may not be those of the decoded frames, None where they are.
    """

    times: np.ndarray
    key_times: np.ndarray
    key_positions: np.ndarray
    grid: np.ndarray
    doubt: str | None = None


def index_frames(path: Path, fps: int) -> FrameIndex:
    """Read a file's index: packets alone, no picture.

    Raises:
        VideoError: the file is cut short or cannot be read.
    """
    with open_video(path, threads=1) as (container, stream):
        start, tick = file_start(container, stream), read_fraction(stream.time_base)
        packets = _read_packets(container, stream)
    doubt = _find_doubt(packets)
    if doubt:
        none = np.empty(0, np.int64)
        return FrameIndex(none, none, none, none.astype(np.int32), doubt)
    shown = sorted((p for p in packets if not p.is_discard), key=lambda p: p.pts)
    times = np.array([p.pts for p in shown], np.int64) - start
    key_times = np.array(sorted(p.pts for p in packets if p.is_keyframe), np.int64) - start
    end = int(times[-1]) + (shown[-1].duration or 0)
    check_grid(round(end * tick * fps), len(times), path)
    grid = map_grid(times, end, tick, fps)
    return FrameIndex(times, key_times, np.searchsorted(times, key_times), grid)


def count_frames(path: Path, fps: int) -> int:
    """Count the frames that `iter_frames(path, fps)` yields: what is shown, not what is stored.

    All packets are read, which finds a file that was cut short, but pictures are decoded only
    where packets do not tell their times beyond doubt.

    Raises:
        VideoError: the file cannot be read.
    """
    index = index_frames(path, fps)
    # decoding also says what is wrong with a video too short for a single frame
    return len(index.grid) or sum(1 for _ in iter_frames(path, fps, threads=1))


def map_grid(times: np.ndarray, end: int, tick: Fraction, fps: int) -> np.ndarray:
    """Tell which frame each frame of a constant grid shows, as ffmpeg's `fps` filter does.

    A frame is shown from the grid's nearest point on until the next frame's; of several that
    fall on one point the last is shown. The time before a late first frame shows that frame.

    Args:
        times: [N], when each frame is shown, in ticks from the file's start, rising.
        end: when the last one ends.
        tick: seconds.
        fps: grid points a second.

    Returns:
        [M] int32, positions in `times`.
    """
    points = _round_half_away(np.append(times, end), tick * fps)
    points[0] = min(points[0], 0)
    points = np.maximum.accumulate(points)
    return np.repeat(np.arange(len(times), dtype=np.int32), np.diff(points))


def _round_half_away(ticks: np.ndarray, factor: Fraction) -> np.ndarray:
    top, bottom = np.abs(ticks) * factor.numerator, factor.denominator
    return np.sign(ticks) * ((2 * top + bottom) // (2 * bottom))


def _read_packets(container: InputContainer, stream: VideoStream) -> list["_Entry"]:
    """Read all packets, without their content; check that they are whole and all there."""
    packets: list[_Entry] = []
    for packet in container.demux(stream):
        if not packet.size:  # the end
            continue
        if packet.is_corrupt:
            reason = f"is cut short or damaged at packet {len(packets) + 1}"
            raise VideoError(container.name, reason)
        packets.append(_Entry(packet))
    expected = len(stream.index_entries)
    if len(packets) < expected:
        reason = f"is cut short: expected {expected} packets, got {len(packets)}"
        raise VideoError(container.name, reason)
    if not packets:
        raise VideoError(container.name, "expected at least one frame, got none")
    return packets


class _Entry:
    """What is kept of a packet."""

    __slots__ = ("duration", "is_discard", "is_keyframe", "pts")
    duration: int | None
    is_discard: bool
    is_keyframe: bool
    pts: int | None

    def __init__(self, packet: av.Packet) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(packet, name))


def _find_doubt(packets: list[_Entry]) -> str | None:
    """Say why the packets' times may not be those of the frames that a decoder gives."""
    if any(p.pts is None for p in packets):
        return "a packet has no time stamp"
    first = packets[0]
    if not first.is_keyframe:
        return "the first packet is no key frame"
    shown = [p.pts for p in packets if not p.is_discard]
    if not shown:
        return "no packet is shown"
    if len(set(shown)) < len(shown):
        return "two packets have one time stamp"
    if any(p.pts < first.pts and not p.is_discard for p in packets):
        return "frames before the first key frame lack what they refer to"
    return None
