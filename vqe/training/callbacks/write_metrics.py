"""Per-frame test numbers of all ranks -> the challenge's two CSVs, a row a video."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import LightningModule, Trainer

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

Video = tuple[str, str]  # subset and video_id
FILES = {
    "rmse": (SUPERVISED_CSV, SUPERVISED_COLUMNS),
    "scores": (UNSUPERVISED_CSV, UNSUPERVISED_COLUMNS),
}


class WriteMetrics(FrameCallback):
    """Write the challenge's two CSVs: a row a video, means over its frames.

    A video's numbers are averaged as it ends. Those of all ranks are gathered and rank 0 writes
    once, through a temporary name. The means over videos are logged as `test/rmse`, `test/p`,
    `test/a1` ..., `test/score`.

    The critics' precision, device and weights stand in `critics.json` beside the folder, which
    holds the CSVs alone.

    Args:
        folder: where the CSVs go.

    Attributes:
        means: of each video, what is known of `rmse`, one number, and `scores`, twelve.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.known: dict[Video, dict[str, list[float]]] = {}  # of earlier runs
        self.means: dict[Video, dict[str, list[float]]] = {}
        self._frames: dict[Video, dict[str, list[np.ndarray]]] = {}

    def begin(self, data: VQEDataModule, split: str) -> None:
        """Check that no two videos share a row."""
        check_unique_ids(data.tables[split])
        self.means, self._frames = dict(self.known), {}

    def take(
        self, video: Video, outputs: dict[str, Any], batch: dict[str, Any], split: str
    ) -> None:
        """Keep a batch's numbers, each frame's position in the table first."""
        kept = self._frames.setdefault(video, {name: [] for name in FILES})
        for name, batches in kept.items():
            if outputs[name] is not None:
                index = outputs["index"].cpu().double()[:, None]  # exact for any table
                values = outputs[name].cpu().double().reshape(len(index), -1)
                batches.append(torch.cat([index, values], dim=1).numpy())

    def end_video(self, video: Video) -> None:
        """Average over the video's frames."""
        kept = self._frames.pop(video)
        self.means[video] = {name: average_frames(b) for name, b in kept.items() if b}

    def finish(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Gather, write and log."""
        for video in list(self._frames):  # of a test that was cut short
            self.end_video(video)
        means = _gather(self.means)
        named = write_tables(means, self.folder if trainer.is_global_zero else None)
        if trainer.is_global_zero and any("scores" in numbers for numbers in means.values()):
            write_critics(pl_module.critics.describe(), self.folder)
        pl_module.log_dict({f"test/{n}": v for n, v in named.items()}, sync_dist=True)


def write_critics(description: dict[str, dict], folder: Path) -> None:
    """Write what the scores were made with beside the folder of the CSVs."""
    with complete_or_absent(folder.with_name("critics.json")) as part:
        part.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def write_tables(
    means: Mapping[Video, dict[str, list[float]]], folder: Path | None
) -> dict[str, float]:
    """Write the two CSVs of videos' means; return the means over videos, and the score.

    Args:
        means: as `WriteMetrics.means`.
        folder: where the CSVs go; None writes nothing.
    """
    over_videos: dict[str, float] = {}
    for name, (file, columns) in FILES.items():
        rows = sorted((v[1], numbers[name]) for v, numbers in means.items() if name in numbers)
        if not rows:
            log.warning("%s is not written: no test frame has these numbers", file)
            continue
        values = np.array([numbers for _, numbers in rows]).T.copy()
        table = pd.DataFrame(dict(zip(columns[1:], values, strict=True)))
        over_videos |= table.mean().to_dict()
        if folder is not None:
            table.insert(0, columns[0], [video_id for video_id, _ in rows])
            write_csv(table, folder / file, float_format="%.9g")
    named = {SCORE_OF_COLUMN.get(column, column): value for column, value in over_videos.items()}
    if len(named) == len(SCORE_OF_COLUMN) + 1 and named["rmse"] > 0:
        named["score"] = leaderboard_score(named, named["rmse"])
    return named


def average_frames(batches: list[np.ndarray]) -> list[float]:
    """Average a video's numbers [N,1+C], behind each frame's position, in the table's order."""
    batches = sorted(batches, key=lambda batch: batch[0, 0])
    values = pd.DataFrame(np.concatenate([batch[:, 1:] for batch in batches]))
    return values.groupby(np.zeros(len(values))).mean().iloc[0].tolist()  # it sums carefully


def _gather(means: dict[Video, dict[str, list[float]]]) -> dict[Video, dict[str, list[float]]]:
    """Return this rank's means and those of all others."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return means
    parts: list = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, means)
    return {video: numbers for part in parts for video, numbers in part.items()}
