"""One video -> a compact list of frames that can be read: what a worker process does."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

from vqe.building.discovery import BadVideoError, SourceVideo
from vqe.building.extraction import check_pair, extract_video
from vqe.building.frames import FrameList, Size, index_frames
from vqe.building.grid import measure_clip
from vqe.building.options import FrameOptions
from vqe.files import BadFile
from vqe.video import VideoError


@dataclass(frozen=True)
class PreparedVideo:
    """A video whose frames can be read, or what is wrong with it.

    Millions of small strings and tuples would take gigabytes: see `file_names` and `each_size`.
    """

    video: SourceVideo
    frames: int = 0
    names: str | None = None  # of the files in x/, joined by "/"; None where mp4s are read
    sizes: tuple[Size, ...] = ()  # width, height: of each frame, or one for all
    extracted: bool = False  # now, by this run
    bad: tuple[BadFile, ...] = ()

    @property
    def file_names(self) -> list[str]:
        """File names of the frames in order."""
        return self.names.split("/")

    @property
    def each_size(self) -> Iterator[Size]:
        """Width and height of frame after frame."""
        return repeat(self.sizes[0], self.frames) if len(self.sizes) == 1 else iter(self.sizes)


def prepare_video(video: SourceVideo, options: FrameOptions) -> PreparedVideo:
    """Extract or count what mp4s hold, or list images; bad files are returned, not raised."""
    try:
        if video.clips and options.source == "video":
            return _measure_video(video, options.video_fps)
        extracted = bool(video.clips) and extract_video(video, options)
        return _pack(video, index_frames(video, options.verify), extracted)
    except BadVideoError as e:
        return PreparedVideo(video, bad=tuple(e.files))


def _pack(video: SourceVideo, frames: FrameList, extracted: bool) -> PreparedVideo:
    sizes = frames.sizes[:1] if len(set(frames.sizes)) == 1 else frames.sizes
    names = "/".join(frames.names)
    return PreparedVideo(video, len(frames.names), names, tuple(sizes), extracted)


def _measure_video(video: SourceVideo, fps: int) -> PreparedVideo:
    """Count the frames of mp4s that are to stay as they are."""
    shapes, bad = {}, []
    for side, clip in sorted(video.clips.items()):
        try:
            shapes[side] = measure_clip(clip, fps)
        except VideoError as e:
            bad.append(BadFile(clip, e.reason))
    if bad:
        raise BadVideoError(bad)
    check_pair(video, shapes)
    frames, height, width = shapes["x"]
    return PreparedVideo(video, frames, sizes=((width, height),))
