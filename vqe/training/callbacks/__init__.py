"""What happens beside the loop: videos, CSVs and pictures are written."""

from vqe.training.callbacks.before_after import BeforeAfter
from vqe.training.callbacks.ema import EMA
from vqe.training.callbacks.keep_records import KeepRecords
from vqe.training.callbacks.record_frames import RecordFrames
from vqe.training.callbacks.render_videos import RenderVideos
from vqe.training.callbacks.report_stages import ReportStages
from vqe.training.callbacks.run_checkpoint import RunCheckpoint
from vqe.training.callbacks.split_screen import SplitScreen
from vqe.training.callbacks.write_metrics import WriteMetrics

__all__ = [
    "EMA",
    "BeforeAfter",
    "KeepRecords",
    "RecordFrames",
    "RenderVideos",
    "ReportStages",
    "RunCheckpoint",
    "SplitScreen",
    "WriteMetrics",
]
