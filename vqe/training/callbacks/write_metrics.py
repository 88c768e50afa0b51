"""Per-frame test numbers of all ranks -> the challenge's two CSVs, a row a video."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import LightningModule, Trainer

from vqe.critics.frozen_critics import FrozenCritics
from vqe.data import VQEDataModule
from vqe.data.index import check_unique_ids
from vqe.files import complete_or_absent, write_csv
from vqe.schema import (
    SCORE_OF_COLUMN,
    SUPERVISED_COLUMNS,
    SUPERVISED_CSV,
    UNSUPERVISED_COLUMNS,
    UNSUPERVISED_CSV,
    leaderboard_score,
)
from vqe.training.callbacks.frame_callback import FrameCallback

log = logging.getLogger(__name__)

Batch = tuple[str, np.ndarray]  # video_id, and positions and numbers of its frames


class WriteMetrics(FrameCallback):
    """Write the challenge's two CSVs: a row a video, means over its frames.

    Every rank's numbers are gathered first and rank 0 writes once, through a temporary name. The
    means over videos are logged as `test/rmse`, `test/p`, `test/a1` ..., `test/score`.

    The critics' precision, device and weights stand in `critics.json` beside the folder, which
    holds the CSVs alone.

    Args:
        folder: where the CSVs go.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._batches: dict[str, list[Batch]] = {}

    def begin(self, data: VQEDataModule, split: str) -> None:
        """Check that no two videos share a row."""
        check_unique_ids(data.tables[split])
        self._batches = {"rmse": [], "scores": []}

    def take(
        self, video: tuple[str, str], outputs: dict[str, Any], batch: dict[str, Any], split: str
    ) -> None:
        """Keep a batch's numbers, each frame's position in the table first."""
        for name, kept in self._batches.items():
            if outputs[name] is not None:
                index = outputs["index"].cpu().double()[:, None]  # exact for any table
                values = outputs[name].cpu().double().reshape(len(index), -1)
                kept.append((video[1], torch.cat([index, values], dim=1).numpy()))

    def finish(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Gather, average over each video's frames, write and log."""
        files = {
            "rmse": (SUPERVISED_CSV, SUPERVISED_COLUMNS),
            "scores": (UNSUPERVISED_CSV, UNSUPERVISED_COLUMNS),
        }
        means: dict[str, float] = {}
        for name, (file, columns) in files.items():
            batches = _gather(self._batches[name])
            if not batches:
                log.warning("%s is not written: no test frame has these numbers", file)
                continue
            videos = _average_videos(batches, columns)
            if trainer.is_global_zero:
                write_csv(videos, self.folder / file, float_format="%.9g")
                if name == "scores":
                    _write_critics(pl_module.critics, self.folder.with_name("critics.json"))
            means |= videos.drop(columns="video_i").mean().to_dict()
        named = {SCORE_OF_COLUMN.get(column, column): value for column, value in means.items()}
        if len(means) == len(SCORE_OF_COLUMN) + 1 and named["rmse"] > 0:
            named["score"] = leaderboard_score(named, named["rmse"])
        pl_module.log_dict({f"test/{n}": v for n, v in named.items()}, sync_dist=True)


def _write_critics(critics: FrozenCritics, path: Path) -> None:
    """Write what the scores were made with."""
    with complete_or_absent(path) as part:
        part.write_text(json.dumps(critics.describe(), indent=2) + "\n", encoding="utf-8")


def _gather(kept: list[Batch]) -> list[Batch]:
    """Return this rank's batches and those of all others."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return kept
    parts: list = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, kept)
    return [batch for part in parts for batch in part]


def _average_videos(batches: list[Batch], columns: tuple[str, ...]) -> pd.DataFrame:
    batches = sorted(batches, key=lambda batch: batch[1][0, 0])  # one order, whatever the ranks
    values = pd.DataFrame(np.concatenate([v[:, 1:] for _, v in batches]), columns=columns[1:])
    values.insert(0, columns[0], [video_id for video_id, v in batches for _ in v])
    return values.groupby(columns[0], sort=True, as_index=False).mean()
