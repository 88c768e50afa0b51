"""Lightning's hooks -> four short ones, for what looks at validation or test frames."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vqe.data import VQEDataModule


class FrameCallback(Callback):
    """Look at every batch of enhanced frames, each of one video; batches come video by video.

    A subclass writes `begin`, `take`, `end_video`, `finish` and `abort`, or those of them that it
    needs.

    Attributes:
        splits: whose frames are looked at: `valid`, `holdout`.
    """

    splits: tuple[str, ...] = ("holdout",)
    _left: dict[tuple[str, str], int]  # frames of each video that were not taken yet

    def begin(self, data: VQEDataModule, split: str) -> None:
        """Get ready for the first batch."""

    def take(
        self, video: tuple[str, str], outputs: dict[str, Any], batch: dict[str, Any], split: str
    ) -> None:
        """Look at a batch.

        Args:
            video: subset and video_id of its frames.
            outputs: what `VQEModule` returned for it.
            batch: the frames that it was given, uint8 RGB.
            split: whose batch it is.
        """

    def end_video(self, video: tuple[str, str]) -> None:
        """Know that a video's last frame was taken; a test that is cut short ends none."""

    def finish(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Complete what was begun."""

    def abort(self) -> None:
        """Leave nothing half done."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin where validation frames are looked at."""
        self._begin(trainer, "valid")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin where test frames are looked at."""
        self._begin(trainer, "holdout")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Any],
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take a batch of validation frames."""
        self._take(trainer, outputs, batch, "valid")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Any],
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take a batch of test frames."""
        self._take(trainer, outputs, batch, "holdout")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish with the validation frames."""
        if "valid" in self.splits and not trainer.sanity_checking:
            self.finish(trainer, pl_module, "valid")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish with the test frames."""
        if "holdout" in self.splits:
            self.finish(trainer, pl_module, "holdout")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Abort."""
        self.abort()

    def _begin(self, trainer: Trainer, split: str) -> None:
        if split in self.splits:
            self._left = trainer.datamodule.count_frames(split)
            self.begin(trainer.datamodule, split)

    def _take(
        self, trainer: Trainer, outputs: dict[str, Any], batch: dict[str, Any], split: str
    ) -> None:
        if split in self.splits:
            video = trainer.datamodule.video_of(int(outputs["index"][0]), split)
            self.take(video, outputs, batch, split)
            self._left[video] -= len(outputs["index"])
            if not self._left[video]:
                self.end_video(video)
