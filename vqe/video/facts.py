"""Video file -> what must survive its enhancement: size, depth, colour, shape of pixels, time."""

import logging
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from vqe.video.pyav import read_fraction
from vqe.video.reader import find_upright_filters
from vqe.video.source import HDR_TRANSFERS, VideoError, decode_video, open_video

log = logging.getLogger(__name__)

# ITU-T H.273, as FFmpeg and thus every container numbers them
UNSPECIFIED = 2
RGB, BT709, BT470BG, SMPTE170M = 0, 1, 5, 6
LIMITED, FULL = 1, 2  # 0: not said, which means limited
MATRICES = (BT709, UNSPECIFIED, 4, BT470BG, SMPTE170M, 7, 9, 10)  # those with a formula here


@dataclass(frozen=True)
class ColourTags:
    """How numbers become light; each as the video says it, unspecified stays unspecified."""

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def hdr(self) -> str | None:
        """Name of a transfer that is no television gamma, None for all others."""
        return HDR_TRANSFERS.get(self.transfer)


@dataclass(frozen=True)
class VideoFacts:
    """What a video's pictures are; width, height and pixel shape as displayed upright."""

    width: int
    height: int
    pix_fmt: str
    bits: int  # of a channel
    rgb: bool  # stored as RGB, not as YUV
    colour: ColourTags
    pixel_shape: Fraction | None  # width to height of a pixel, None where nothing is said
    turns: tuple[str, ...]  # filters that turn a decoded picture upright
    time_base: Fraction
    rate: Fraction  # average frames per second
    frames: int | None  # as the container says, else estimated from its duration, else None
    codec: str

    @property
    def deep(self) -> bool:
        """Whether eight bits a channel are too few."""
        return self.bits > 8


def probe_facts(path: str | Path) -> VideoFacts:
    """Read a video's header and first frame.

    Raises:
        VideoError: the file cannot be read.
    """
    with open_video(path) as (container, stream):
        return read_facts(container, stream, next(decode_video(container, stream)))


def read_facts(
    container: av.container.Container, stream: VideoStream, frame: av.VideoFrame
) -> VideoFacts:
    """Gather the facts of an open video and its first frame.

    Raises:
        VideoError: its colours cannot be read.
    """
    filters = find_upright_filters(frame, container.name)
    turned = any(name == "transpose" for name, _ in filters)
    if frame.interlaced_frame:
        log.warning("%s: is interlaced; deinterlace it first for the best result", container.name)
    if any(component.is_alpha for component in frame.format.components):
        log.warning("%s: transparency is left out", container.name)
    shape = read_fraction(stream.sample_aspect_ratio)
    return VideoFacts(
        width=frame.height if turned else frame.width,
        height=frame.width if turned else frame.height,
        pix_fmt=frame.format.name,
        bits=max(component.bits for component in frame.format.components),
        rgb=frame.format.is_rgb,
        colour=_read_colour(frame, container.name),
        pixel_shape=1 / shape if shape and turned else shape,
        turns=tuple(f"{name} {argument}".strip() for name, argument in filters),
        time_base=read_fraction(stream.time_base),
        rate=read_fraction(stream.average_rate)
        or read_fraction(stream.guessed_rate)
        or Fraction(25),
        frames=stream.frames or _estimate_frames(container, stream),
        codec=stream.codec_context.codec.canonical_name,
    )


def _read_colour(frame: av.VideoFrame, path: str) -> ColourTags:
    matrix = int(frame.colorspace)
    if frame.format.is_rgb:
        matrix = RGB
    elif matrix not in MATRICES:
        raise VideoError(
            path,
            f"expected a colour matrix of BT.709, BT.601, BT.2020 or none named, got number "
            f"{matrix} of ITU-T H.273. Convert it first",
        )
    return ColourTags(
        matrix, int(frame.color_range), int(frame.color_primaries), int(frame.color_trc)
    )


def _estimate_frames(container: av.container.Container, stream: VideoStream) -> int | None:
    rate = read_fraction(stream.average_rate)
    if not rate:
        return None
    if stream.duration:
        return round(stream.duration * read_fraction(stream.time_base) * rate)
    duration = getattr(container, "duration", None)
    return round(Fraction(duration, av.time_base) * rate) if duration else None
