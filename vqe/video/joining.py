"""Closed segments and their source -> one video with all the source's other streams."""

import errno
import logging
from collections.abc import Iterator
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import av
import av.error
from av.container import OutputContainer

from vqe.files import complete_or_absent, explain_no_space
from vqe.video.encoders import CONTAINERS
from vqe.video.other_streams import OtherStreams, keep_video_tags, needs_free_tags
from vqe.video.pyav import open_container, read_fraction
from vqe.video.segment_encoder import EncoderSettings
from vqe.video.segments import Segment, iter_packets
from vqe.video.source import VideoError, open_video
from vqe.video.timed import Cut

log = logging.getLogger(__name__)
MISSING_SECONDS = 1  # at the end, before a file is said to be cut short


def join_segments(
    segments: list[Segment],
    settings: EncoderSettings,
    source: Path,
    target: Path,
    *,
    container: str,
    cut: Cut,
) -> list[str]:
    """Write the target, which appears whole or not at all; nothing is encoded here.

    Args:
        segments: all of them, in order.
        settings: what they were encoded with.
        source: whose other streams, tags and chapters are copied.
        target: the file to make.
        container: a key of `CONTAINERS`.
        cut: what was cut from the source.

    Returns:
        What the container cannot hold, in words.

    Raises:
        VideoError: the source cannot be read, or the target not be written.
    """
    with complete_or_absent(target) as part, open_video(source) as (original, video):
        others = OtherStreams(original, video, start=cut.start, end=cut.end)
        options = _container_options(CONTAINERS[container], original.metadata)
        try:
            with open_container(
                part.absolute(), "w", format=CONTAINERS[container], container_options=options
            ) as output:
                _write(segments, settings, others, output)
        except (av.error.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            if error.errno == errno.ENOSPC:
                reason = explain_no_space(target.parent)
            raise VideoError(target, f"cannot be written: {reason}") from error
        if cut.end is None and original.duration:
            shown = max(pts for segment in segments for pts, *_ in segment.packets)
            last = max(others.last, shown * Fraction(settings.time_base)) + cut.start
            missing = Fraction((original.start_time or 0) + original.duration, av.time_base) - last
            if missing > MISSING_SECONDS:
                log.warning(
                    "%s: ends %.1f s before its header says; it may be cut short", source, missing
                )
    return others.lost


def _write(
    segments: list[Segment],
    settings: EncoderSettings,
    others: OtherStreams,
    output: OutputContainer,
) -> None:
    stream = output.add_stream(settings.codec, rate=Fraction(settings.rate))
    settings.apply(stream.codec_context)
    if stream.codec_context.codec.canonical_name == "hevc" and output.format.name in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # without it, Apple's players refuse
    stream.metadata.update(keep_video_tags(others.video.metadata))
    stream.disposition = others.video.disposition
    others.add_to(output)
    output.start_encoding()
    header = sha256(bytes(stream.codec_context.extradata or b"")).hexdigest()
    if any(segment.header != header for segment in segments):
        raise VideoError(segments[0].path, "expected segments of one encoder. Remove their folder")
    for packet in _by_time(iter_packets(segments, Fraction(settings.time_base)), others.packets()):
        if packet.stream is None or packet.stream_index < 0:
            packet.stream = stream
        output.mux(packet)


def _by_time(video: Iterator[av.Packet], others: Iterator[av.Packet]) -> Iterator[av.Packet]:
    """Merge packets so that those of one time lie together: players need not search."""
    ahead, last = next(video, None), Fraction(0)
    for packet in others:
        if packet.dts is not None:
            last = packet.dts * read_fraction(packet.time_base)
        while ahead is not None and ahead.dts * read_fraction(ahead.time_base) <= last:
            yield ahead
            ahead = next(video, None)
        yield packet
    if ahead is not None:
        yield ahead
        yield from video


def _container_options(container: str, tags: dict[str, str]) -> dict[str, str]:
    if container in ("mp4", "mov"):
        free = "+use_metadata_tags" if needs_free_tags(tags) else ""
        return {"movflags": f"+faststart{free}"}
    return {"mpegts_copyts": "1"} if container == "mpegts" else {}
