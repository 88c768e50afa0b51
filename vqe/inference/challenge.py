"""A video -> its enhanced frames encoded as the challenge prescribes, bit for bit."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from vqe.inference.enhancer import Enhancer
from vqe.inference.overlap import in_background
from vqe.inference.video_file import VideoReport
from vqe.video import VideoWriter, iter_frames, probe_video
from vqe.video.facts import probe_facts

log = logging.getLogger(__name__)


def render_challenge(
    source: Path,
    target: Path,
    enhancer: Enhancer,
    on_frames: Callable[[int, int | None], None] = lambda done, total: None,
) -> VideoReport:
    """Enhance a video's frames at 30 a second and render them for a submission.

    Decoded as the data set is, encoded as the challenge's ffmpeg command does: H.264, crf 18,
    4:2:0, no sound, no tags. It begins anew after a cut.

    Raises:
        VideoError: the source cannot be read, or the target not be written.
        ValueError: the target is no mp4.
    """
    if target.suffix.lower() != ".mp4":
        raise ValueError(f"expected output .mp4 for codec=challenge, got {target.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    _tell_changes(source)
    enhancer.reset()

    def enhance_all() -> Iterator[np.ndarray]:
        with closing(in_background(iter_frames(source))) as frames:
            for frame_bgr in frames:
                yield enhancer.frame(frame_bgr[:, :, ::-1])[:, :, ::-1]

    with VideoWriter(target) as writer, closing(in_background(enhance_all())) as enhanced:
        for frame_bgr in enhanced:
            writer.write(frame_bgr)
            on_frames(writer.frames, None)
    return VideoReport(writer.frames, 0, ("all but the pictures",))


def _tell_changes(source: Path) -> None:
    """Say what the prescribed rendering resolves: it writes square pixels, upright."""
    facts, shown = probe_facts(source), probe_video(source)
    if facts.turns:
        log.info("%s: is turned upright (%s)", source, ", ".join(facts.turns))
    if (shown.width, shown.height) != (facts.width, facts.height):
        log.info(
            "%s: pixels of shape %s become square: %dx%d becomes %dx%d",
            *(source, facts.pixel_shape, facts.width, facts.height, shown.width, shown.height),
        )
