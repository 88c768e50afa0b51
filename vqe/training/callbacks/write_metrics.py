"""Per-frame test numbers of all ranks -> the challenge's two CSVs, a row a video."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from vqe.files import write_csv
from vqe.schema import (
    SCORE_OF_COLUMN,
    SUPERVISED_COLUMNS,
    SUPERVISED_CSV,
    UNSUPERVISED_COLUMNS,
    UNSUPERVISED_CSV,
    leaderboard_score,
)
from vqe.training.callbacks.holdout import check_unique_ids, holdout_table

log = logging.getLogger(__name__)


class WriteMetrics(Callback):
    """Write the challenge's two CSVs: a row a video, means over its frames.

    Every rank's numbers are gathered first and rank 0 writes once, through a temporary name. The
    means over videos are logged as `test/rmse`, `test/p`, `test/a1` ..., `test/score`.

    Args:
        folder: where the CSVs go.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._frames: dict[str, list[np.ndarray]] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that no two videos share a row."""
        check_unique_ids(holdout_table(trainer))
        self._frames = {"rmse": [], "scores": []}

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Any],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's numbers, each frame's position in the table first."""
        for name, kept in self._frames.items():
            if outputs[name] is not None:
                index = outputs["index"].cpu().double()[:, None]  # exact for any table
                values = outputs[name].cpu().double().reshape(len(index), -1)
                kept.append(torch.cat([index, values], dim=1).numpy())

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather, average over each video's frames, write and log."""
        table = holdout_table(trainer)
        files = {
            "rmse": (SUPERVISED_CSV, SUPERVISED_COLUMNS),
            "scores": (UNSUPERVISED_CSV, UNSUPERVISED_COLUMNS),
        }
        means = {}
        for name, (file, columns) in files.items():
            frames = _gather(self._frames[name])
            if not len(frames):
                log.warning("%s is not written: no test frame has these numbers", file)
                continue
            videos = _average_videos(frames, table, columns)
            if trainer.is_global_zero:
                write_csv(videos, self.folder / file, float_format="%.9g")
            means |= videos.drop(columns="video_i").mean().to_dict()
        named = {SCORE_OF_COLUMN.get(column, column): value for column, value in means.items()}
        if len(means) == len(SCORE_OF_COLUMN) + 1 and named["rmse"] > 0:
            named["score"] = leaderboard_score(named, named["rmse"])
        pl_module.log_dict({f"test/{n}": v for n, v in named.items()}, sync_dist=True)


def _gather(kept: list[np.ndarray]) -> np.ndarray:
    """Stack this rank's frames and those of all others."""
    parts = [kept]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, kept)
    arrays = [array for part in parts for array in part]
    return np.concatenate(arrays) if arrays else np.empty((0, 0))


def _average_videos(
    frames: np.ndarray, table: pd.DataFrame, columns: tuple[str, ...]
) -> pd.DataFrame:
    frames = frames[frames[:, 0].argsort(kind="stable")]  # one order, whatever the ranks
    positions = frames[:, 0].astype(int)
    values = pd.DataFrame(frames[:, 1:], columns=columns[1:])
    values.insert(0, columns[0], table["video_id"].astype(str).to_numpy()[positions])
    return values.groupby(columns[0], sort=True, as_index=False).mean()
