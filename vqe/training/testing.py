"""Checkpoint -> enhanced videos and metric CSVs, offline."""

import logging

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import seed_everything
from torch import nn

from vqe.cli import quiet_other_ranks
from vqe.training.assembly import build_critics, build_data, build_trainer
from vqe.training.callbacks import RenderVideos, SplitScreen, WriteMetrics
from vqe.training.checkpoints import load_network
from vqe.training.module import VQEModule

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
    own = OmegaConf.to_container(cfg.model_vqe, resolve=True) if cfg.model_vqe else None
    network, network_config = load_network(cfg.checkpoint, own)
    if cfg.strength is not None:
        set_strength(network, cfg.strength)
    log.info("testing %s of %s", network_config["_target_"], cfg.checkpoint)
    critics = None if cfg.only_videos else build_critics(cfg)
    trainer = build_trainer(cfg)
    left_out: tuple[type, ...] = ()
    if cfg.only_csv:
        left_out = (RenderVideos, SplitScreen)
    if cfg.only_videos:
        left_out = (WriteMetrics,)
    if left_out:
        trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, left_out)]
    trainer.test(VQEModule(network, critics), datamodule=build_data(cfg))
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


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
