"""Frames of videos on a constant grid, in any order: the pixels of `iter_frames`."""

import logging
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from vqe.video.frame_index import index_frames
from vqe.video.hardware import CPU
from vqe.video.reader import build_graph, iter_frames, picture_format
from vqe.video.source import VideoError, describe_failure, file_start, open_video

log = logging.getLogger(__name__)
INDEXED_FILES = 4096  # whose indexes a process keeps, 12 bytes a frame
recall_index = lru_cache(maxsize=INDEXED_FILES)(index_frames)

SEEK_GAIN = 8  # frames: fewer are decoded faster than skipped by a seek


class VideoFrames:
    """One file's frames on a constant grid; frame i is the i-th that `iter_frames` yields.

    Decoding starts at the key frame before, or goes on where it stopped if that is nearer. A file
    whose time stamps do not say which frame is which is decoded from its start.

    Args:
        path: the file.
        fps: frames per second of the grid.
        threads: decoder threads, 0 for one per core.
        decoder: `cpu`, `cuda` or `auto`, see `vqe.video.hardware`.

    Attributes:
        seeks: how often decoding began at another place, the first time included.

    Raises:
        VideoError: the file cannot be read.
    """

    def __init__(self, path: str | Path, fps: int, *, threads: int = 1, decoder: str = CPU) -> None:
        self.path = Path(path)
        self.fps = fps
        self.seeks = 0
        self._threads = threads
        self._decoder = decoder
        self._index = recall_index(self.path.absolute(), fps)
        self._open = ExitStack()
        self._decoded: Iterator[av.VideoFrame] | None = None
        self._next = 0  # position of the frame that `_decoded` gives next
        self._graph: av.filter.Graph | None = None
        self._format = ""
        self._whole: Iterator[np.ndarray] | None = None  # from the start, where that must be
        self._held: tuple[int, np.ndarray | None] = (-1, None)  # the last frame read
        self._timed = True  # the index tells which frame is which
        if self._index.doubt:
            self._mistrust(self._index.doubt)

    def read(self, number: int) -> np.ndarray:
        """Return frame `number` of the grid: uint8, HxWx3, BGR, upright, not to be written to.

        Raises:
            VideoError: there is no such frame, or the file cannot be read up to it.
        """
        if self._timed:
            try:
                return self._read_by_time(number)
            except av.error.FFmpegError as e:
                raise VideoError(self.path, describe_failure(e, self._decoder)) from e
            except _UnexpectedFrame as e:
                self._mistrust(str(e))
        return self._read_from_start(number)

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self._decoded = self._whole = self._graph = None
        self._held = (-1, None)
        self._open.close()

    def _mistrust(self, reason: str) -> None:
        log.debug("%s: %s, so it is decoded from its start", self.path, reason)
        self.close()
        self._timed = False

    def _read_by_time(self, number: int) -> np.ndarray:
        if not 0 <= number < len(self._index.grid):
            raise self._no_such(number, len(self._index.grid))
        wanted = int(self._index.grid[number])
        if wanted != self._held[0]:
            if self._is_far(wanted):
                self._seek(wanted)
            self._held = (wanted, self._convert(self._decode_up_to(wanted)))
        return self._held[1]

    def _is_far(self, wanted: int) -> bool:
        if self._decoded is None or wanted < self._next:
            return True
        return self._key_before(wanted)[1] - self._next > SEEK_GAIN

    def _key_before(self, wanted: int) -> tuple[int, int]:
        """Return the number of the last key frame up to a frame, and its position."""
        key = int(np.searchsorted(self._index.key_times, self._index.times[wanted], "right")) - 1
        return key, int(self._index.key_positions[key])

    def _seek(self, wanted: int) -> None:
        if self._decoded is None:
            self._container, self._stream = self._open.enter_context(
                open_video(self.path, threads=self._threads, decoder=self._decoder)
            )
            self._start = file_start(self._container, self._stream)
        key = self._key_before(wanted)[0]
        # some files can be entered only at their start
        for time in self._index.key_times[[key, 0]].tolist():
            self._container.seek(time + self._start, stream=self._stream)
            packets = self._container.demux(self._stream)
            first = next(packets)
            position = self._find_key(first)
            if position is not None and position <= wanted:
                self.seeks += 1
                self._next = position
                self._decoded = self._decode(chain([first], packets))
                return
        raise _UnexpectedFrame(f"no seek leads to a key frame before frame {wanted + 1}")

    def _find_key(self, packet: av.Packet) -> int | None:
        if packet.pts is None or not packet.is_keyframe:
            return None
        time = packet.pts - self._start
        key = int(np.searchsorted(self._index.key_times, time))
        known = key < len(self._index.key_times) and self._index.key_times[key] == time
        return int(self._index.key_positions[key]) if known else None

    def _decode(self, packets: Iterator[av.Packet]) -> Iterator[av.VideoFrame]:
        for packet in packets:
            if packet.is_corrupt:
                raise VideoError(self.path, f"is damaged at {packet.pts} ticks")
            yield from packet.decode()

    def _decode_up_to(self, wanted: int) -> av.VideoFrame:
        times = self._index.times
        for frame in self._decoded:
            if frame.is_corrupt:
                raise VideoError(self.path, f"is damaged at frame {self._next + 1}")
            time = None if frame.pts is None else frame.pts - self._start
            # open group of pictures: what is shown before its key frame is not whole
            if time is not None and time < times[self._next]:
                continue
            if time != times[self._next]:
                reason = f"frame {self._next + 1} is shown at {time}, not at {times[self._next]}"
                raise _UnexpectedFrame(reason)
            self._next += 1
            if self._next > wanted:
                return frame
        raise _UnexpectedFrame(f"decoding ended at frame {self._next} of {len(times)}")

    def _convert(self, frame: av.VideoFrame) -> np.ndarray:
        if self._graph is None:
            self._graph = build_graph(frame, self._stream, None, self._threads)
            self._format = picture_format(frame)
        elif picture_format(frame) != self._format:
            got = picture_format(frame)
            reason = f"expected frames of {self._format} throughout, got {got}"
            raise VideoError(self.path, f"{reason}. Encode it anew in one size")
        self._graph.push(frame)
        return np.ascontiguousarray(self._graph.pull().to_ndarray())

    def _read_from_start(self, number: int) -> np.ndarray:
        if self._whole is None or number < self._held[0]:
            self.seeks += 1
            self._whole = iter_frames(
                self.path, self.fps, threads=self._threads, decoder=self._decoder
            )
            self._held = (-1, None)
        while self._held[0] < number:
            frame = next(self._whole, None)
            if frame is None:
                self._whole = None
                raise self._no_such(number, self._held[0] + 1)
            self._held = (self._held[0] + 1, frame)
        return self._held[1]

    def _no_such(self, number: int, count: int) -> VideoError:
        return VideoError(
            self.path, f"expected a frame {number} at {self.fps} fps, got {count} frames from 0 on"
        )


class _UnexpectedFrame(Exception):
    """What is decoded is not what the index says."""


class OpenVideos:
    """The videos that a process reads from; the one unused for longest is closed first.

    Travels to other processes without its open files.

    Args:
        size: files open at a time; a pair of x and y is two.
        threads: decoder threads of each, 0 for one per core.
        decoder: of each, see `vqe.video.hardware`.
    """

    def __init__(self, size: int = 4, *, threads: int = 1, decoder: str = CPU) -> None:
        if size < 1:
            raise ValueError(f"expected at least 1 open video, got {size}")
        self.size = size
        self.threads = threads
        self.decoder = decoder
        self._videos: OrderedDict[tuple[str, int], VideoFrames] = OrderedDict()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {"size": self.size, "threads": self.threads, "decoder": self.decoder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        OpenVideos.__init__(self, **state)

    def read(self, path: str | Path, fps: int, number: int) -> np.ndarray:
        """Return frame `number` of a file's grid, as `VideoFrames.read` does."""
        if self._process != os.getpid():  # forked: a file's place is shared with the parent
            self.__setstate__(self.__getstate__())
        key = (str(path), fps)
        video = self._videos.pop(key, None) or VideoFrames(
            path, fps, threads=self.threads, decoder=self.decoder
        )
        try:
            frame = video.read(number)
        except VideoError:
            video.close()
            raise
        self._videos[key] = video
        if len(self._videos) > self.size:
            self._videos.popitem(last=False)[1].close()
        return frame

    def close(self) -> None:
        """Close all files."""
        while self._videos:
            self._videos.popitem()[1].close()
