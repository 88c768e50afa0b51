"""One video -> its frames on disk and their list: what a worker process does."""

from dataclasses import dataclass

from vqe.building.extraction import extract_video
from vqe.building.frames import index_frames
from vqe.building.layout import BadFile, BadVideoError, SourceVideo


@dataclass(frozen=True)
class PreparedVideo:
    """A video whose frames lie on disk, or what is wrong with it."""

    video: SourceVideo
    names: list[str]  # of the files in x/, and in y/ where there is one
    sizes: list[tuple[int, int]]  # width, height
    extracted: bool = False  # now, by this run
    bad: tuple[BadFile, ...] = ()


def prepare_video(video: SourceVideo, fps: int) -> PreparedVideo:
    """Extract what is missing and list the frames; bad files are returned, not raised."""
    try:
        extracted = bool(video.clips) and extract_video(video, fps)
        names, sizes = index_frames(video)
    except BadVideoError as e:
        return PreparedVideo(video, [], [], bad=tuple(e.files))
    return PreparedVideo(video, names, sizes, extracted)
