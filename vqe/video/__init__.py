"""Read and write video: the only place that knows codecs. Pixels cross its border as uint8 BGR."""

from vqe.video.random_access import OpenVideos, VideoFrames
from vqe.video.reader import VideoInfo, iter_frames, probe_video
from vqe.video.source import VideoError
from vqe.video.writer import VideoWriter

__all__ = [
    "OpenVideos",
    "VideoError",
    "VideoFrames",
    "VideoInfo",
    "VideoWriter",
    "iter_frames",
    "probe_video",
]
