"""Checkpoint -> enhanced videos and metric CSVs, offline."""

import logging

from omegaconf import DictConfig
from pytorch_lightning import seed_everything
from torch import nn

from vqe.cli import quiet_other_ranks
from vqe.critics.frozen_critics import FrozenCritics
from vqe.data import VQEDataModule
from vqe.inputs import read_network
from vqe.shards import read_shard
from vqe.training.assembly import build_critics, build_data, build_trainer
from vqe.training.callbacks import KeepRecords, RenderVideos, SplitScreen, WriteMetrics
from vqe.training.callbacks.write_metrics import write_critics, write_tables
from vqe.training.checkpoints import load_network
from vqe.training.module import VQEModule
from vqe.training.recording import identify_test, prepare_records

log = logging.getLogger(__name__)


def test(cfg: DictConfig) -> dict[str, float]:
    """Test the network of a checkpoint on the holdout frames.

    Returns:
        Every number logged, such as `test/rmse` and `test/score`; none with `only_videos`.

    Raises:
        ValueError: both `only_csv` and `only_videos` are set, or `strength` does not fit.
    """
    if cfg.only_csv and cfg.only_videos:
        raise ValueError("expected at most one of only_csv and only_videos, got both")
    quiet_other_ranks()
    seed_everything(cfg.seed, workers=True, verbose=False)
    network, network_config = load_network(cfg.checkpoint, read_network(cfg))
    if cfg.strength is not None:
        set_strength(network, cfg.strength)
    if cfg.model_vqe.compiled:
        network.compile()
    log.info("testing %s of %s", network_config["_target_"], cfg.checkpoint)
    critics = None if cfg.only_videos else build_critics(cfg)
    shard = read_shard(cfg.shard)
    trainer = build_trainer(cfg, alone=cfg.shard is not None)
    left_out: tuple[type, ...] = ()
    if cfg.only_csv:
        left_out = (RenderVideos, SplitScreen)
    if cfg.only_videos:
        left_out = (WriteMetrics,)
    if left_out:
        trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, left_out)]
    data = build_data(cfg)
    data.setup("test")
    identity = identify_test(cfg, network, network_config, critics, trainer)
    keeper = prepare_records(cfg.resume, shard, cfg.paths, identity, data, trainer)
    if data.tables["holdout"].empty:
        return finish_known(keeper, data, critics) if trainer.is_global_zero else {}
    trainer.test(VQEModule(network, critics), datamodule=data)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def finish_known(
    keeper: KeepRecords, data: VQEDataModule, critics: FrozenCritics | None
) -> dict[str, float]:
    """Write what a test writes whose videos are all known; return its numbers."""
    log.info("nothing is left to test")
    keeper.begin(data, "holdout")
    keeper.abort()
    metrics = keeper.metrics
    if metrics is None or not metrics.known:
        return {}
    named = write_tables(metrics.known, metrics.folder)
    if any("scores" in numbers for numbers in metrics.known.values()):
        write_critics(critics.describe(), metrics.folder)
    return {f"test/{name}": value for name, value in named.items()}


def set_strength(network: nn.Module, strength: float) -> None:
    """Blend input and output: 0 gives the input, 1 the whole change.

    Raises:
        ValueError: it is not in [0,1], or the network cannot blend.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"expected strength in [0,1], got {strength}")
    if not hasattr(network, "strength"):
        raise ValueError(
            f"expected a network with a strength, got {type(network).__name__}. Set strength=null"
        )
    network.strength = strength
