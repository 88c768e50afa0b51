"""Any video -> an enhanced one. `Enhancer("<weights>").frame(rgb)` and `.video(path, path)`."""

from vqe.inference.enhancer import Enhancer
from vqe.inference.video_file import VideoOptions, VideoReport, enhance_video

__all__ = ["Enhancer", "VideoOptions", "VideoReport", "enhance_video"]
