"""One video file -> the enhanced file: decode, network and encoder overlap; a cut run goes on."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2

from vqe.inference.compare import split_screen
from vqe.inference.enhancer import Enhancer
from vqe.inference.overlap import in_background
from vqe.inference.work_folder import WorkFolder, identify_source
from vqe.video.encoders import CONTAINERS, choose_encoder
from vqe.video.facts import VideoFacts, probe_facts
from vqe.video.joining import join_segments
from vqe.video.segment_encoder import EncoderSettings
from vqe.video.segments import SegmentWriter
from vqe.video.timed import Cut, TimedFrame, read_timed

log = logging.getLogger(__name__)
HDR = ("refuse", "passthrough")


@dataclass(frozen=True)
class VideoOptions:
    """How a video is read and written; the defaults keep all that can be kept.

    Attributes:
        codec: FFmpeg's name of an encoder; None chooses by depth and container.
        crf: constant quality by the encoder's scale; None: near transparent.
        preset: of the encoder.
        pix_fmt: of the result; None: 4:2:0 of the source's depth.
        encoder: further options of the encoder, by name.
        cut: which frames.
        hdr: refuse, or passthrough: PQ and HLG are enhanced as if they were gamma.
        compare: left half the input, right half the result.
        segment_seconds: what is lost at most when a run is cut off.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    encoder: dict[str, Any] = field(default_factory=dict)
    cut: Cut = field(default_factory=Cut)
    hdr: str = "refuse"
    compare: bool = False
    segment_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.hdr not in HDR:
            raise ValueError(f"expected hdr of {', '.join(HDR)}, got {self.hdr}")
        if self.segment_seconds <= 0:
            raise ValueError(f"expected segment_seconds > 0, got {self.segment_seconds}")


@dataclass(frozen=True)
class VideoReport:
    """What became of a video."""

    frames: int  # in the result
    resumed: int  # of them, from an earlier run
    lost: tuple[str, ...]  # what the container cannot hold, in words


@dataclass(frozen=True)
class VideoPlan:
    """All that is decided before the first frame."""

    source: Path
    target: Path
    container: str
    facts: VideoFacts
    settings: EncoderSettings
    options: VideoOptions

    @property
    def segment_frames(self) -> int:
        """Frames of a segment."""
        rate = self.options.cut.rate(self.facts)
        return max(1, round(self.options.segment_seconds * rate))

    def restore(self, enhancer: Enhancer, work: WorkFolder, number: int) -> None:
        """Let an enhancer remember what it knew before a segment."""
        enhancer.reset()
        if number > 0:
            enhancer.set_state(work.load_state(number - 1), (self.facts.height, self.facts.width))

    def identify(self, enhancer: Enhancer) -> dict[str, Any]:
        """Return all that decides the result, for the journal."""
        return {
            "source": identify_source(self.source),
            "network": enhancer.identity,
            "encoder": asdict(self.settings),
            "frames": {k: str(v) for k, v in asdict(self.options.cut).items()},
            "compare": self.options.compare,
            "segment_frames": self.segment_frames,
            "libraries": {"av": av.__version__, "ffmpeg": av.ffmpeg_version_info},
        }


def plan_video(source: Path, target: Path, options: VideoOptions) -> VideoPlan:
    """Look at a video and decide how its result is encoded.

    Raises:
        VideoError: the source cannot be read.
        ValueError: an option or the source does not fit.
    """
    container = target.suffix.lower().lstrip(".")
    if container not in CONTAINERS:
        raise ValueError(
            f"expected output of {', '.join(CONTAINERS)}, got {target.name}. Set container=mkv"
        )
    if target.exists() and source.samefile(target):
        raise ValueError(f"expected output to be another file than input, got {target}")
    facts = probe_facts(source)
    check_hdr(facts, options.hdr, source)
    settings = choose_encoder(
        facts,
        container=container,
        time_base=options.cut.time_base(facts),
        rate=options.cut.rate(facts),
        codec=options.codec,
        crf=options.crf,
        preset=options.preset,
        pix_fmt=options.pix_fmt,
        options=options.encoder,
    )
    if facts.width % 2 or facts.height % 2:
        log.warning(
            "%s: %dx%d is odd, so it is encoded as %s; codec=libvpx-vp9 plays in more places",
            *(source, facts.width, facts.height, settings.pix_fmt),
        )
    return VideoPlan(source, target, container, facts, settings, options)


def check_hdr(facts: VideoFacts, hdr: str, source: Path) -> None:
    """Refuse what the networks never saw, or say so.

    Raises:
        ValueError: the video is HDR and that was not allowed.
    """
    if facts.colour.hdr is None:
        return
    if hdr == "refuse":
        raise ValueError(
            f"expected standard dynamic range, got {facts.colour.hdr} ({source}). Convert it to "
            "BT.709 first, or set hdr=passthrough to enhance its code values as they are"
        )
    log.warning(
        "%s: %s is enhanced as if it were gamma; its tags stay, mastering metadata is lost",
        *(source, facts.colour.hdr),
    )


def enhance_video(
    source: Path,
    target: Path,
    enhancer: Enhancer,
    options: VideoOptions,
    on_frames: Callable[[int, int | None], None] = lambda done, total: None,
) -> VideoReport:
    """Enhance a video; all else in the file is copied.

    The target appears whole or not at all. A run that is cut off leaves `.<target>.parts` beside
    it, from which the same call goes on.

    Args:
        source: the video.
        target: its suffix names the container.
        enhancer: of the network; it begins anew here.
        options: how.
        on_frames: called with frames done and in all (None where that is not known).

    Raises:
        VideoError: the source cannot be read, or the target not be written.
        ValueError: an option or the source does not fit.
    """
    plan = plan_video(source, target, options)
    work = WorkFolder(target)
    with work.hold(plan.identify(enhancer)):
        number = None if work.complete else work.count_resumable()
        resumed = sum(len(segment.packets) for segment in work.read_segments())
        if resumed:
            log.info("%s: goes on after %d frames", target, resumed)
        if number is not None:
            frames = read_timed(plan.source, plan.facts, options.cut, skip=resumed)
            plan.restore(enhancer, work, number)
            total = options.cut.count(plan.facts)
            encode_frames(
                plan, work, enhancer, frames, number, lambda n: on_frames(resumed + n, total)
            )
            work.set_complete()
        return finish_video(plan, work, resumed)


def finish_video(plan: VideoPlan, work: WorkFolder, resumed: int) -> VideoReport:
    """Join the segments and all else to the target, and remove the work folder."""
    segments = work.read_segments()
    lost = join_segments(
        segments,
        plan.settings,
        plan.source,
        plan.target,
        container=plan.container,
        cut=plan.options.cut,
    )
    work.clear()
    for stream in lost:
        log.warning("%s: %s cannot hold %s", plan.target, plan.container, stream)
    return VideoReport(sum(len(s.packets) for s in segments), resumed, tuple(lost))


def encode_frames(
    plan: VideoPlan,
    work: WorkFolder,
    enhancer: Enhancer,
    frames: Iterator[TimedFrame],
    number: int,
    on_frames: Callable[[int], None],
) -> int:
    """Enhance frames and close segment after segment from this number on; return how many."""
    first, length = number, plan.segment_frames

    def enhance_all() -> Iterator[TimedFrame]:
        with closing(in_background(frames, depth=1)) as decoded:
            for count, frame in enumerate(decoded, start=1):
                enhanced = enhancer.planes(frame.planes)
                if plan.options.compare:
                    enhanced = split_screen(frame.planes, enhanced)
                if count % length == 0:  # before the segment is closed, which is further on
                    work.save_state(first + count // length - 1, enhancer.get_state())
                yield TimedFrame(frame.pts, frame.duration, enhanced)

    written = 0
    with (
        single_threads(),
        closing(SegmentWriter(plan.settings, work.path, plan.target)) as writer,
        closing(in_background(enhance_all(), depth=1)) as enhanced,
    ):
        for frame in enhanced:
            writer.write(frame)
            written += 1
            on_frames(written)
            if written % length == 0:
                writer.close_segment(number)
                if number > first:
                    work.drop_state(number - 1)
                number += 1
        if written % length:
            writer.close_segment(number)
    return written


@contextmanager
def single_threads() -> Iterator[None]:
    """Keep OpenCV to one thread a call: the stages overlap, and its waiting threads cost more."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
