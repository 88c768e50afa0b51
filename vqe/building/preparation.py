"""One video -> a compact list of frames that can be read: what a worker process does."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from vqe.building.discovery import BadVideoError, ChallengeVideo
from vqe.building.extraction import check_pair, extract_video
from vqe.building.frames import FrameList, Size, index_frames
from vqe.building.options import FrameOptions
from vqe.files import BadFile
from vqe.video import VideoError, probe_video
from vqe.video.frame_index import count_frames


@dataclass(frozen=True)
class PreparedVideo:
    """A video whose frames can be read, or what is wrong with it.

    Millions of small strings and tuples would take gigabytes: see `file_names` and `each_size`.
    """

    video: ChallengeVideo
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


def prepare_video(video: ChallengeVideo, options: FrameOptions) -> PreparedVideo:
    """Extract or count what mp4s hold, or list images; bad files are returned, not raised."""
    try:
        if video.mp4s and options.source == "video":
            return _measure_video(video, options.video_fps)
        extracted = bool(video.mp4s) and extract_video(video, options)
        return _pack(video, index_frames(video, options.verify), extracted)
    except BadVideoError as e:
        return PreparedVideo(video, bad=tuple(e.files))


def _pack(video: ChallengeVideo, frames: FrameList, extracted: bool) -> PreparedVideo:
    sizes = frames.sizes[:1] if len(set(frames.sizes)) == 1 else frames.sizes
    names = "/".join(frames.names)
    return PreparedVideo(video, len(frames.names), names, tuple(sizes), extracted)


def _measure_video(video: ChallengeVideo, fps: int) -> PreparedVideo:
    """Count the frames of mp4s that are to stay as they are."""
    shapes, bad = {}, []
    for side, mp4 in sorted(video.mp4s.items()):
        try:
            shapes[side] = measure_mp4(mp4, fps)
        except VideoError as e:
            bad.append(BadFile(mp4, e.reason))
    if bad:
        raise BadVideoError(bad)
    check_pair(video, shapes)
    frames, height, width = shapes["x"]
    return PreparedVideo(video, frames, sizes=((width, height),))


def measure_mp4(path: Path, fps: int) -> tuple[int, int, int]:
    """Count the frames that `iter_frames(path, fps)` yields; return (frames, height, width).

    Raises:
        VideoError: the file cannot be read.
    """
    info = probe_video(path)
    return count_frames(path, fps), info.height, info.width
