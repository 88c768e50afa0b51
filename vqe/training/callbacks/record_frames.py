"""Test frames -> frames.csv.gz, the numbers of each frame, and provenance.json, what made them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import LightningModule, Trainer

from vqe.critics.frozen_critics import FrozenCritics
from vqe.data import VQEDataModule
from vqe.files import complete_or_absent
from vqe.losses.errors import rmse
from vqe.pixels import LUMA_BT601, dequantise
from vqe.provenance import describe_process
from vqe.schema import FRAMES_CSV, FRAMES_NUMBERS, PROVENANCE_JSON, SCORES
from vqe.state_dict import digest_tensors
from vqe.training.callbacks.frame_callback import FrameCallback

SIGNIFICANT = "%.6g"
RATES = "rates"  # of the videos, in provenance.json

Batch = tuple[tuple[str, str], np.ndarray]  # subset and video_id; place in the table and numbers


class RecordFrames(FrameCallback):
    """Keep each test frame's numbers, for curves over time: `report.py` reads them.

    A row is a frame: subset, video_id, frame (from 0), then `FRAMES_NUMBERS`, empty where a frame
    has none: RMSE of input and enhanced frame in challenge range where there is a target; the mean
    luma (BT.601, 8-bit levels) of input, enhanced and target; the raw scores of the enhanced frame,
    and `input_p`, `input_a1`, .. of the input held against itself.

    Args:
        folder: where both files go.
        input_scores: score the inputs, too, which doubles what the critics cost.
    """

    def __init__(self, folder: str, *, input_scores: bool = False) -> None:
        self.folder = Path(folder)
        self.input_scores = input_scores
        self._critics: FrozenCritics | None = None
        self._kept: list[Batch] = []
        self._rates: dict[tuple[str, str], int] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take note of the critics."""
        self._critics = pl_module.critics if self.input_scores else None
        super().on_test_start(trainer, pl_module)

    def begin(self, data: VQEDataModule, split: str) -> None:
        """Forget the last test."""
        self._kept, self._rates = [], data.rates(split)

    def take(
        self, video: tuple[str, str], outputs: dict[str, Any], batch: dict[str, Any], split: str
    ) -> None:
        """Measure a batch."""
        x, target = batch["x"], batch["y"] if outputs["rmse"] is not None else None
        columns = [outputs["index"][:, None]]  # exact in float64 for any table
        if target is None:
            columns += [_blank(x, 2)]
        else:
            before = rmse(dequantise(x), dequantise(target))
            columns += [torch.stack([before, outputs["rmse"]], dim=1)]
        for frames in (x, outputs["enhanced_u8"], target):
            columns += [_blank(x, 1) if frames is None else _mean_luma(frames)[:, None]]
        scores = outputs["scores"]
        columns += [_blank(x, len(SCORES)) if scores is None else scores]
        if scores is None or self._critics is None:
            columns += [_blank(x, len(SCORES))]
        else:
            columns += [self._critics(x, x, batch["seed"]).clamped]
        values = torch.cat([column.double().cpu() for column in columns], dim=1)
        self._kept.append((video, values.numpy()))

    def finish(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Gather the frames of all ranks and write, on rank 0."""
        kept = _gather(self._kept)
        self._kept = []
        if not trainer.is_global_zero or not kept:
            return
        first: dict[tuple[str, str], float] = {}  # place in the table: one order for all ranks
        for video, values in kept:
            first[video] = min(values[:, 0].min(), first.get(video, np.inf))
        kept.sort(key=lambda pair: first[pair[0]])  # batches of a video stay in order of time
        with complete_or_absent(self.folder / FRAMES_CSV) as part:
            _build_table(kept).to_csv(
                part,
                index=False,
                float_format=SIGNIFICANT,
                encoding="utf-8",
                lineterminator="\n",
                compression={"method": "gzip", "mtime": 0},
            )
        facts = describe_process() | {"network": _describe_network(pl_module)}
        device = pl_module.device
        on = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        facts["machine"] |= {"computed_on": on}
        facts[RATES] = {"/".join(video): rate for video, rate in self._rates.items()}
        with complete_or_absent(self.folder / PROVENANCE_JSON) as part:
            part.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _gather(kept: list[Batch]) -> list[Batch]:
    """Return this rank's batches and those of all others."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return kept
    parts: list = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, kept)
    return [batch for part in parts for batch in part]


def _mean_luma(frames_u8: torch.Tensor) -> torch.Tensor:
    """Return the mean luma of uint8 RGB frames [B,3,H,W] in levels from 0 to 255, [B]."""
    means = frames_u8.float().mean((2, 3))
    return means @ means.new_tensor(LUMA_BT601)


def _blank(frames: torch.Tensor, count: int) -> torch.Tensor:
    return torch.full((len(frames), count), torch.nan)


def _build_table(kept: list[Batch]) -> pd.DataFrame:
    """Return a row a frame; a video's frames are numbered in order of time."""
    values = np.concatenate([values for _, values in kept])
    table = pd.DataFrame(values, columns=["index", *FRAMES_NUMBERS])
    for place, name in enumerate(("subset", "video_id")):
        table.insert(place, name, [video[place] for video, values in kept for _ in values])
    numbers = table.groupby(["subset", "video_id"], sort=False).cumcount()
    table.insert(2, "frame", numbers)
    return table.drop(columns="index")


def _describe_network(pl_module: LightningModule) -> dict[str, Any]:
    network = pl_module.network
    return {
        "name": type(network).__name__,
        "parameters": sum(p.numel() for p in network.parameters()),
        "strength": getattr(network, "strength", None),
        "tensors_sha256": digest_tensors(network.state_dict()),
    }
