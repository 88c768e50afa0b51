"""What happens beside the loop: videos, CSVs and pictures are written."""

from vqe.callbacks.before_after import BeforeAfter
from vqe.callbacks.ema import EMA
from vqe.callbacks.render_videos import RenderVideos
from vqe.callbacks.split_screen import SplitScreen
from vqe.callbacks.write_metrics import WriteMetrics

__all__ = ["EMA", "BeforeAfter", "RenderVideos", "SplitScreen", "WriteMetrics"]
