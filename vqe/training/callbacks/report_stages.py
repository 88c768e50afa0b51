"""Decoding, network, critics and encoding -> frames a second of each, and the bottleneck."""

import json
import logging
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vqe.files import complete_or_absent
from vqe.stages import StageClock, show_stages
from vqe.video.sequence import VideoFiles

log = logging.getLogger(__name__)


class ReportStages(Callback):
    """Say, while a test runs and at its end, how fast its stages are and which one is slowest.

    A stage's frames a second are those of its working time alone, of all its workers together; the
    loop waits for decoding and encoding, and computes network and critics itself. Each rank counts
    its own, and rank 0 tells.

    Args:
        path: JSON file of the figures at the end.
        seconds: between two lines in the log.
    """

    def __init__(self, path: str, *, seconds: float = 60.0) -> None:
        self.path = Path(path)
        self.seconds = seconds
        self.frames = 0

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand one clock to all stages."""
        self.clock, self.frames = StageClock(), 0
        pl_module.clock = self.clock
        trainer.datamodule.clock = self.clock
        for callback in trainer.callbacks:
            if isinstance(getattr(callback, "files", None), VideoFiles):
                callback.files.clock = self.clock
        self._waiting_since = self._told = time.perf_counter()

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count how long the batch was waited for."""
        self.clock.add_wait("decode", time.perf_counter() - self._waiting_since)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Any],
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Say how it goes, from time to time."""
        self.frames += len(outputs["index"])
        self._waiting_since = time.perf_counter()
        if self._waiting_since - self._told >= self.seconds:
            self._told = self._waiting_since
            log.info(show_stages(self.clock.describe(self.frames)))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how it went."""
        if self.frames and trainer.is_global_zero:
            facts = self.clock.describe(self.frames)
            log.info(show_stages(facts))
            with complete_or_absent(self.path) as part:
                part.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
