"""Enhanced test frames -> one h264 video for each unsupervised video, a frame at a time."""

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vqe.pixels import bgr_hwc_u8
from vqe.schema import VIDEO_KEY
from vqe.training.callbacks.holdout import check_unique_ids, holdout_table
from vqe.video import VideoSequence

log = logging.getLogger(__name__)


class RenderVideos(Callback):
    """Stream each unsupervised video's enhanced frames to `<folder>/<video_id>.mp4`.

    Batches arrive video by video (`vqe.data.samplers.VideoBatches`), so that one file is open at a
    time and the memory does not grow with the videos. A file has its name once it is complete.

    Args:
        folder: where the videos go.
        fps: frame rate; the challenge renders at 30.
        crf: x264's quality; the challenge's is 18.
    """

    def __init__(self, folder: str, *, fps: int = 30, crf: int = 18) -> None:
        self.folder = Path(folder)
        self.files = VideoSequence(fps=fps, crf=crf)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the folder and check that no two videos share a name."""
        check_unique_ids(holdout_table(trainer))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.files.written = 0

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Any],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Append the frames of a batch without targets."""
        if outputs["rmse"] is not None:
            return
        video = tuple(holdout_table(trainer)[VIDEO_KEY].iloc[int(outputs["index"][0])])
        frames = map(bgr_hwc_u8, outputs["enhanced_u8"])
        self.files.write(self.folder / f"{video[1]}.mp4", frames)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Complete the last video."""
        self.files.close()
        log.info("wrote %d videos to %s", self.files.written, self.folder)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave no half-written video."""
        self.files.abort()
