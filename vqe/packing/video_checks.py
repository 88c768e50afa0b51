"""Rendered videos, each decoded to its end -> what is not as the challenge prescribes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vqe.packing.expectations import SourceVideo
from vqe.packing.findings import Finding
from vqe.packing.members import Member, MemberError, describe_file
from vqe.parallel import map_parallel
from vqe.schema import CHALLENGE_FPS
from vqe.video import VideoError
from vqe.video.inspection import StreamReport, inspect_video
from vqe.video.x264_settings import EncoderSettings

# What ffmpeg -vcodec h264 -pix_fmt yuv420p -crf 18 gives.
CODEC, PROFILE, PIX_FMT, CRF, PRESET = "h264", "High", "yuv420p", 18, "medium"
CONTAINER = "mp4"


@dataclass(frozen=True)
class VideoTask:
    """A video to look at, and its source where that is known."""

    video: str
    member: Member
    source: SourceVideo | None


@dataclass(frozen=True)
class VideoResult:
    """What was found; `entry` is the file's in a manifest."""

    video: str
    entry: dict[str, int | str]
    findings: tuple[Finding, ...]


def check_videos(tasks: Sequence[VideoTask]) -> Iterator[VideoResult]:
    """Look at all videos on the backend that is open; results come as they are ready."""
    return map_parallel(check_video, tasks, in_order=False, batch_size=1)


def check_video(task: VideoTask) -> VideoResult:
    """Decode a video to its end and compare."""
    shown = task.member.shown
    try:
        with task.member.on_disk() as path:
            entry = describe_file(path)
            findings = tuple(_check_file(shown, path, task.source))
    except (MemberError, OSError) as error:
        found = Finding("damaged_member", shown, str(error), "a file that can be read")
        return VideoResult(task.video, {}, (found,))
    return VideoResult(task.video, entry, findings)


def _check_file(shown: str, path: Path, source: SourceVideo | None) -> Iterator[Finding]:
    if path.stat().st_size == 0:
        yield Finding("empty_file", shown, "0 bytes", "an mp4")
        return
    try:
        report = inspect_video(path, fps=CHALLENGE_FPS)
    except VideoError as error:
        yield Finding("unreadable_video", shown, error.reason, "an mp4 that can be decoded")
        return
    yield from compare(shown, report, source)


def compare(shown: str, report: StreamReport, source: SourceVideo | None) -> Iterator[Finding]:
    """Compare what a video holds with what is prescribed, and with its source."""

    def check(name: str, good: bool, found: object, expected: object) -> Iterator[Finding]:
        if not good:
            yield Finding(name, shown, str(found), str(expected))

    names = report.container.split(",")
    yield from check("container", CONTAINER in names, report.container, CONTAINER)
    others = ", ".join(report.other_streams)
    yield from check("other_stream", not others, others, "the video stream alone")
    yield from check("codec", report.codec == CODEC, report.codec, CODEC)
    if report.codec == CODEC:
        yield from check("profile", report.profile == PROFILE, report.profile, PROFILE)
        yield from _check_settings(shown, report.settings)
    yield from check("full_range", not report.full_range, "levels 0..255", "16..235 (limited)")
    pix_fmts = (PIX_FMT, "yuvj420p") if report.full_range else (PIX_FMT,)
    yield from check("pix_fmt", report.pix_fmt in pix_fmts, report.pix_fmt, PIX_FMT)
    yield from check("rotation", not report.rotated, "a display matrix that turns", "none")
    yield from check("interlaced", not report.interlaced, "fields", "whole frames")
    shape = report.pixel_shape
    yield from check("pixel_aspect", shape in (None, 1), f"pixels of {shape}", "square pixels")
    yield from check("frame_rate", report.rate == CHALLENGE_FPS, _show_rate(report), CHALLENGE_FPS)
    if report.rate == CHALLENGE_FPS:
        found = f"frame {report.off_grid} beside its place"
        yield from check("uneven_frames", report.off_grid is None, found, "a frame each 1/30 s")
    found = f"another size or format at frame {report.changed}"
    yield from check("changing_frames", report.changed is None, found, "one throughout")
    yield from _check_length(shown, report, source)


def _check_length(
    shown: str, report: StreamReport, source: SourceVideo | None
) -> Iterator[Finding]:
    if report.error is not None:
        found = f"after frame {report.frames}: {report.error}"
        yield Finding("unreadable_tail", shown, found, "frames to the file's end")
    if source is None:
        return
    padded = tuple(side + side % 2 for side in (source.width, source.height))
    if (report.width, report.height) != padded:
        found = f"{report.width}x{report.height}"
        yield Finding("frame_size", shown, found, f"{padded[0]}x{padded[1]}, as the source's")
    if report.error is None and report.frames != source.frames:
        expected = f"{source.frames}, as the source's"
        yield Finding("frame_count", shown, f"{report.frames} frames", expected)


def _check_settings(shown: str, settings: EncoderSettings | None) -> Iterator[Finding]:
    if settings is None:
        found = Finding("no_settings", shown, "no words of x264", f"x264 and crf {CRF}")
        yield replace(found, note=True)
        return
    if settings.crf != CRF:
        found_crf = settings.rate_control if settings.crf is None else f"crf {settings.crf:g}"
        yield Finding("crf", shown, found_crf, f"crf {CRF}")
    if settings.preset != PRESET:
        preset = settings.preset or "settings of no preset"
        yield Finding("preset", shown, preset, f"{PRESET}, which is x264's own", note=True)


def _show_rate(report: StreamReport) -> str:
    return "none" if report.rate is None else f"{float(report.rate):.6g}"
