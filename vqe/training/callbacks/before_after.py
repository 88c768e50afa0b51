"""Validation and test frames -> a picture a stage: input, enhanced and target side by side."""

from pathlib import Path
from typing import Any

import cv2
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torchvision.transforms.v2 import functional as F
from torchvision.utils import make_grid

from vqe.data import VQEDataModule
from vqe.files import complete_or_absent
from vqe.pixels import bgr_hwc_u8
from vqe.training.callbacks.frame_callback import FrameCallback

PICTURES = {"valid": "before_after_valid", "holdout": "before_after_test"}


class BeforeAfter(FrameCallback):
    """Show the first frame of the first videos: input | enhanced | target (black where none).

    Written to `<folder>/before_after_{valid,test}.png` and to TensorBoard by rank 0.

    Args:
        folder: where the pictures go.
        videos: how many videos, one row each.
        height: height in pixels of each frame in the picture.
    """

    splits = tuple(PICTURES)

    def __init__(self, folder: str, *, videos: int = 4, height: int = 240) -> None:
        self.folder = Path(folder)
        self.videos = videos
        self.height = height
        self._rows: dict[tuple[str, str], torch.Tensor] = {}

    def begin(self, data: VQEDataModule, split: str) -> None:
        """Forget the last picture."""
        self._rows = {}

    def take(
        self, video: tuple[str, str], outputs: dict[str, Any], batch: dict[str, Any], split: str
    ) -> None:
        """Keep the first frame if its video is new and there is room."""
        if len(self._rows) < self.videos and video not in self._rows:
            frames = [batch["x"][0], outputs["enhanced_u8"][0], batch["y"][0]]
            height, width = frames[0].shape[-2:]
            size = [self.height, max(1, round(self.height * width / height))]
            row = [F.resize(frame.cpu(), size, antialias=True) for frame in frames]
            self._rows[video] = torch.cat(row, dim=2)

    def finish(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Write the picture, on rank 0."""
        if not self._rows or not trainer.is_global_zero:
            return
        width = max(row.shape[2] for row in self._rows.values())
        rows = [F.pad(row, [0, 0, width - row.shape[2], 0]) for row in self._rows.values()]
        picture = make_grid(torch.stack(rows), nrow=1, padding=4)
        encoded = cv2.imencode(".png", bgr_hwc_u8(picture))[1]
        with complete_or_absent(self.folder / f"{PICTURES[split]}.png") as part:
            encoded.tofile(part)  # imwrite fails on unicode on Windows
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(PICTURES[split], picture, trainer.global_step)
