"""Video file -> how many frames it has at a constant rate, and their size, without decoding it."""

from pathlib import Path

from vqe.video import probe_video
from vqe.video.frame_index import count_frames


def measure_clip(path: Path, fps: int) -> tuple[int, int, int]:
    """Count the frames that `iter_frames(path, fps)` yields; return (frames, height, width).

    Raises:
        VideoError: the file cannot be read.
    """
    info = probe_video(path)
    return count_frames(path, fps), info.height, info.width
