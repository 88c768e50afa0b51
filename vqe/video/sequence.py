"""Batches of frames of several videos -> a file for each, encoded beside the caller's work."""

import queue
import threading
import time
from pathlib import Path

import torch

from vqe.device import bring_to_cpu
from vqe.pixels import bgr_hwc_u8
from vqe.stages import StageClock
from vqe.video.writer import VideoWriter

READY = 2  # batches that wait for an encoder, a file: the memory is bounded by it
ENDING = 1  # files whose last frame was written, and whose encoders go on beside those of others
POLL_SECONDS = 0.1
STAGE = "encode"


class VideoFiles:
    """Write videos whose frames come in order, those of several videos in turn.

    Each open file has a thread that feeds an encoder's process. A file has its name once it is
    complete. What an encoder fails at is raised at the next call.

    Args:
        crf: x264's quality.

    Attributes:
        written: complete files.
        clock: told how long the encoders work and are waited for.
    """

    def __init__(self, *, crf: int) -> None:
        self.crf = crf
        self.written = 0
        self.clock = StageClock()
        self._open: dict[Path, _Feeder] = {}
        self._ending: dict[Path, _Feeder] = {}
        self._most = 0

    def write(self, path: Path, frames: torch.Tensor, *, fps: int) -> None:
        """Append frames, uint8 RGB [B,3,H,W], to the file of this path, which has this rate."""
        self.collect()
        if path not in self._open:
            self._wait_for_all_but(ENDING)
            self._open[path] = _Feeder(VideoWriter(path, fps=fps, crf=self.crf), self.clock)
            self._most = max(self._most, len(self._open))
            self.clock.add(STAGE, workers=self._most)
        self._open[path].put(bring_to_cpu(frames))

    def end(self, path: Path) -> None:
        """Know that a file's last frame was written; one that is not open has none."""
        if path in self._open:
            feeder = self._open.pop(path)
            self._ending[path] = feeder
            feeder.put(None)

    def collect(self) -> None:
        """See which files are complete by now.

        Raises:
            VideoError: an encoder failed.
            NoSpaceError: the disk is full.
        """
        for path, feeder in list(self._ending.items()):
            if not feeder.thread.is_alive():
                self._finish(path, feeder)

    def is_ending(self, path: Path) -> bool:
        """Whether a file's last frame was written, and it is not complete yet."""
        return path in self._ending

    def close(self) -> None:
        """Complete all files."""
        for path in list(self._open):
            self.end(path)
        self._wait_for_all_but(0)

    def abort(self) -> None:
        """Leave no half-written file; one that has all its frames is completed."""
        for feeder in self._open.values():
            feeder.abort()
        for feeder in self._ending.values():
            feeder.thread.join()
        self._open, self._ending = {}, {}

    def _wait_for_all_but(self, count: int) -> None:
        """Complete files that are ending, the first ones first, until so many are left."""
        with self.clock.wait(STAGE):
            for path, feeder in list(self._ending.items())[: max(0, len(self._ending) - count)]:
                feeder.thread.join()
                self._finish(path, feeder)

    def _finish(self, path: Path, feeder: "_Feeder") -> None:
        del self._ending[path]
        feeder.check()
        self.written += 1


class _Feeder:
    """A thread that hands frames to an encoder as fast as it takes them."""

    def __init__(self, writer: VideoWriter, clock: StageClock) -> None:
        self.writer, self.clock = writer, clock
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._batches: queue.Queue[torch.Tensor | None] = queue.Queue(READY)
        self._error: BaseException | None = None
        self._stopped = threading.Event()
        self.thread.start()

    def put(self, frames: torch.Tensor | None) -> None:
        """Hand over frames, None after the last ones; wait while the encoder has enough."""
        with self.clock.wait(STAGE):
            while self.thread.is_alive():
                try:
                    self._batches.put(frames, timeout=POLL_SECONDS)
                except queue.Full:
                    continue
                break
        self.check()

    def check(self) -> None:
        """Raise what the encoder failed at."""
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """Leave no file."""
        self._stopped.set()
        self.writer.interrupt()
        self.thread.join()
        self.writer.abort()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                start = time.perf_counter()
                try:
                    frames = self._batches.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    continue
                finally:
                    begun = time.perf_counter()
                    self.clock.add(STAGE, waited=begun - start)
                self._encode(frames)
                count = 0 if frames is None else len(frames)
                self.clock.add(STAGE, frames=count, busy=time.perf_counter() - begun)
                if frames is None:
                    return
        except BaseException as error:  # handed over, whatever it is
            self._error = error
            self.writer.abort()

    def _encode(self, frames: torch.Tensor | None) -> None:
        if frames is None:
            self.writer.close()
            return
        for frame in frames:
            if self._stopped.is_set():
                return
            self.writer.write(bgr_hwc_u8(frame))
