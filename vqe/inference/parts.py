"""One long video -> enhanced part by part, each in a process of its own, and joined.

A part's network sees some frames before the part's first one, so that it remembers what it would
have seen: `warmup` frames. What is left of the difference is measured in docs/enhance.md.
"""

import functools
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import joblib

from vqe.inference.enhancer import Enhancer
from vqe.inference.video_file import (
    VideoOptions,
    VideoPlan,
    VideoReport,
    encode_frames,
    finish_video,
    plan_video,
)
from vqe.inference.work_folder import WorkFolder
from vqe.video.timed import TimedFrame, read_timed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnhancerSpec:
    """How to build an enhancer, in a form that travels between processes."""

    arguments: str  # JSON

    @classmethod
    def make(cls, **arguments: Any) -> "EnhancerSpec":
        """Take what `Enhancer` takes."""
        return cls(json.dumps(arguments, sort_keys=True))

    def build(self) -> Enhancer:
        """Build it, or return the one that this process has built."""
        return _build(self.arguments)


@functools.lru_cache(maxsize=4)
def _build(arguments: str) -> Enhancer:
    return Enhancer(**json.loads(arguments))


def enhance_in_parts(
    source: Path,
    target: Path,
    specs: list[EnhancerSpec],
    options: VideoOptions,
    *,
    parts: int,
    warmup: int,
    on_frames: Callable[[int, int | None], None] = lambda done, total: None,
) -> VideoReport:
    """Enhance a video by joblib's workers, which see the same paths; it goes on after a cut.

    Args:
        source: the video.
        target: its suffix names the container.
        specs: networks, dealt out in turn: one for each device.
        options: how.
        parts: into how many the video is cut; they have whole segments.
        warmup: frames that a part's network sees before its first one.
        on_frames: called with frames done and in all after each part.

    Raises:
        VideoError: the source cannot be read, or the target not be written.
        ValueError: an option or the source does not fit.
    """
    if warmup < 0:
        raise ValueError(f"expected parallel.warmup >= 0, got {warmup}")
    plan = plan_video(source, target, options)
    total = options.cut.count(plan.facts)
    borders = cut_parts(total, plan.segment_frames, parts)
    enhancer = specs[0].build()
    work = WorkFolder(target)
    identity = plan.identify(enhancer) | {"parts": borders, "warmup": warmup}
    with work.hold(identity):
        resumed = sum(len(s.packets) for s in work.read_segments())
        if not work.complete:
            ends = [*borders[1:], None]
            calls = (
                joblib.delayed(enhance_part)(plan, specs[k % len(specs)], start, end, warmup)
                for k, (start, end) in enumerate(zip(borders, ends, strict=True))
            )
            done = 0
            for frames in joblib.Parallel(return_as="generator_unordered")(calls):
                done += frames
                on_frames(done, total)
            work.set_complete()
        return finish_video(plan, work, resumed)


def cut_parts(frames: int | None, segment_frames: int, parts: int) -> list[int]:
    """Return the first segment of each part; one part where the length is not known."""
    segments = -(-(frames or 0) // segment_frames)
    parts = max(1, min(parts, segments))
    return [segments * part // parts for part in range(parts)]


def enhance_part(
    plan: VideoPlan, spec: EnhancerSpec, start: int, end: int | None, warmup: int
) -> int:
    """Enhance segments from `start` up to `end` (None: to the last); return their frames."""
    enhancer, work, length = spec.build(), WorkFolder(plan.target), plan.segment_frames
    number = start + work.count_resumable(start, end)
    if number == end:
        return (end - start) * length
    first = number * length
    if number > start:  # goes on after a cut
        plan.restore(enhancer, work, number)
        warmup = 0
    else:
        enhancer.reset()
    skip = max(0, first - warmup)
    frames = read_timed(plan.source, plan.facts, plan.options.cut, skip=skip)
    with closing(frames):
        for frame in islice(frames, first - skip):
            enhancer.planes(frame.planes)
        wanted = frames if end is None else _take(frames, (end - number) * length)
        written = encode_frames(plan, work, enhancer, wanted, number, lambda done: None)
    return (number - start) * length + written


def _take(frames: Iterator[TimedFrame], count: int) -> Iterator[TimedFrame]:
    yield from islice(frames, count)
