"""Validation and test frames -> a picture a stage: input, enhanced and target side by side."""

from pathlib import Path
from typing import Any

import cv2
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torchvision.transforms.v2 import functional as F
from torchvision.utils import make_grid

from vqe.pixels import bgr_hwc_u8, quantise
from vqe.schema import VIDEO_KEY

STAGES = {"valid": "before_after_valid", "holdout": "before_after_test"}


class BeforeAfter(Callback):
    """Show the first frame of the first videos: input | enhanced | target (black where none).

    Written to `<folder>/before_after_{valid,test}.png` and to TensorBoard by rank 0.

    Args:
        folder: where the pictures go.
        videos: how many videos, one row each.
        height: height in pixels of each frame in the picture.
    """

    def __init__(self, folder: str, *, videos: int = 4, height: int = 240) -> None:
        self.folder = Path(folder)
        self.videos = videos
        self.height = height
        self._rows: dict[tuple, torch.Tensor] = {}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last picture."""
        self._rows = {}

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last picture."""
        self._rows = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Any],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the frame if its video is new."""
        self._keep(trainer, "valid", outputs, batch)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Any],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the frame if its video is new."""
        self._keep(trainer, "holdout", outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the picture."""
        self._write(trainer, "valid")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the picture."""
        self._write(trainer, "holdout")

    def _keep(self, trainer: Trainer, split: str, outputs: dict[str, Any], batch: Any) -> None:
        if len(self._rows) == self.videos or not trainer.is_global_zero:
            return
        table = trainer.datamodule.tables[split]
        video = tuple(table[VIDEO_KEY].iloc[int(outputs["index"][0])])
        if video not in self._rows:
            frames = [quantise(batch["x"][0]), outputs["enhanced_u8"][0], quantise(batch["y"][0])]
            height, width = frames[0].shape[-2:]
            size = [self.height, max(1, round(self.height * width / height))]
            row = [F.resize(frame.cpu(), size, antialias=True) for frame in frames]
            self._rows[video] = torch.cat(row, dim=2)

    def _write(self, trainer: Trainer, split: str) -> None:
        if not self._rows or trainer.sanity_checking:
            return
        width = max(row.shape[2] for row in self._rows.values())
        rows = [F.pad(row, [0, 0, width - row.shape[2], 0]) for row in self._rows.values()]
        picture = make_grid(torch.stack(rows), nrow=1, padding=4)
        self.folder.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(".png", bgr_hwc_u8(picture))[1]
        encoded.tofile(self.folder / f"{STAGES[split]}.png")  # imwrite fails on unicode on Windows
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(STAGES[split], picture, trainer.global_step)
