"""Test set and the records of earlier runs -> what is left to test, and who keeps its records."""

import logging
from pathlib import Path
from typing import Any, TypeVar

import av
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from torch import nn

from vqe.critics.frozen_critics import FrozenCritics
from vqe.critics.precision import identify_critic
from vqe.data import VQEDataModule
from vqe.data.index import check_unique_ids
from vqe.records import Head, find_records
from vqe.shards import Shard, deal_out
from vqe.state_dict import digest_tensors
from vqe.training.callbacks import KeepRecords, RenderVideos, WriteMetrics
from vqe.training.callbacks.keep_records import name_video
from vqe.video.hardware import CPU

log = logging.getLogger(__name__)

COMMAND = "test_vqe"
SPLIT = "holdout"
Kind = TypeVar("Kind", bound=Callback)


def identify_test(
    cfg: DictConfig,
    network: nn.Module,
    network_config: dict[str, Any],
    critics: FrozenCritics | None,
    trainer: Trainer,
) -> dict[str, Any]:
    """Return all that decides a test's numbers and pixels, but data and encoding."""
    device = trainer.strategy.root_device
    identity: dict[str, Any] = {
        "command": COMMAND,
        "weights": digest_tensors(network.state_dict()),
        "network": network_config,
        "strength": cfg.strength,
        "device": device.type,
        "precision": str(trainer.precision),
        "eval_batch_size": cfg.dataloader.eval_batch_size,
        "libraries": {"torch": torch.__version__, "av": av.__version__},
    }
    if cfg.model_vqe.compiled:
        identity["compiled"] = True  # rounds otherwise; left out, as in older records, where not
    if cfg.dataset.decoder != CPU:
        identity["decoder"] = cfg.dataset.decoder
    if critics is not None:
        critics.to(device)
        for name, critic in (("model_vqa", critics.vqa), ("model_dover", critics.dover)):
            config = OmegaConf.to_container(cfg[name], resolve=True)
            identity[name] = identify_critic(critic, config)
    return identity


def prepare_records(
    resume: str | None,
    shard: Shard,
    paths: DictConfig,
    identity: dict[str, Any],
    data: VQEDataModule,
    trainer: Trainer,
) -> KeepRecords:
    """Leave what is known, or another shard's, out of the test; the rest will be written down.

    Args:
        resume: see `vqe.records.find_records`.
        shard: whose videos are tested here.
        paths: the config's, with this `run` and all `runs`.
        identity: see `identify_test`.
        data: its test frames are read already; those of other videos are left out.
        trainer: its callbacks are told what is known, and get another one.

    Returns:
        The new callback.
    """
    metrics, rendering = (find_callback(trainer, kind) for kind in (WriteMetrics, RenderVideos))
    table = data.tables[SPLIT]
    if metrics or rendering:
        check_unique_ids(table)
    frames = data.count_frames(SPLIT)
    mine = deal_out(frames, shard.count)[shard.number]
    stamps = dict(data.stamp_videos(SPLIT, set(mine)))
    head = Head(identity, [name_video(video) for video in frames])
    keeper = KeepRecords(Path(paths.run), head, stamps, metrics, rendering)
    unsupervised = table[table["img_target"] == ""]
    rendered = set(zip(unsupervised["subset"], unsupervised["video_id"], strict=True))
    for file in find_records(resume, Path(paths.run), Path(paths.runs), identity):
        for record in file.records:
            keeper.adopt(file.run, record, rendered)
    left = [video for video in mine if video not in keeper.adopted]
    if 0 < len(left) < trainer.world_size:  # every process wants one
        known = sorted(keeper.adopted, key=lambda video: frames[video])
        left += known[: trainer.world_size - len(left)]
    if keeper.adopted or len(mine) < len(frames):
        log.info(
            "%d of %d videos are known, %d are tested", len(mine) - len(left), len(mine), len(left)
        )
    data.keep_videos(SPLIT, set(left))
    trainer.callbacks.append(keeper)
    return keeper


def find_callback(trainer: Trainer, kind: type[Kind]) -> Kind | None:
    """Return the callback of a kind, None if there is none."""
    return next((c for c in trainer.callbacks if isinstance(c, kind)), None)
