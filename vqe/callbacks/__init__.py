"""What happens beside the loop: videos, CSVs and pictures are written."""

from vqe.callbacks.before_after import BeforeAfter
from vqe.callbacks.render_videos import RenderVideos
from vqe.callbacks.write_metrics import WriteMetrics

__all__ = ["BeforeAfter", "RenderVideos", "WriteMetrics"]
