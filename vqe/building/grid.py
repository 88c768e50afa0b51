"""Video file -> how many frames it has at a constant rate, and their size, without decoding it."""

from pathlib import Path

from vqe.video import iter_frames, probe_video
from vqe.video.frame_index import index_frames


def measure_clip(path: Path, fps: int) -> tuple[int, int, int]:
    """Count the frames that `iter_frames(path, fps)` yields; return (frames, height, width).

    All packets are read, which finds a file that was cut short, but pictures are decoded only
    where packets do not tell their times beyond doubt.

    Raises:
        VideoError: the file cannot be read.
    """
    info = probe_video(path)
    index = index_frames(path, fps)
    # decoding also says what is wrong with a video too short for a single frame
    frames = len(index.grid) or sum(1 for _ in iter_frames(path, fps, threads=1))
    return frames, info.height, info.width
