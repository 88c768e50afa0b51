"""Config -> a trained network: checkpoints, test videos, metric CSVs and an ONNX file."""

import logging
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pytorch_lightning import Trainer, seed_everything

from vqe.cli import quiet_other_ranks
from vqe.data import VQEDataModule
from vqe.export.complexity import log_complexity
from vqe.export.onnx import export_onnx
from vqe.models.shipped import SUFFIX
from vqe.training.assembly import build_data, build_module, build_trainer
from vqe.training.checkpoints import (
    NETWORK_CONFIG,
    light_part,
    load_network,
    load_state,
    network_weights,
    read_checkpoint,
    read_same_network,
)
from vqe.training.module import VQEModule
from vqe.training.sweeping import check_direction

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> dict[str, float]:
    """Train, then test the best weights.

    Returns:
        Every number logged last, such as `val/mse`, `test/rmse` and `test/score`.
    """
    quiet_other_ranks()
    seed_everything(cfg.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision(cfg.matmul_precision)
    data, module, trainer = build_data(cfg), build_module(cfg), build_trainer(cfg)
    resume = find_resume(cfg.resume_from, Path(cfg.paths.runs), module.network_config)
    if cfg.init_from and resume is None:
        start_from(cfg.init_from, module)
    log_complexity(module.network)
    if cfg.only_validation:
        trainer.validate(module, datamodule=data, ckpt_path=resume, weights_only=True)
        return _numbers(trainer)
    fit(trainer, module, data, resume)
    numbers = _numbers(trainer)
    best = trainer.checkpoint_callback.best_model_path if trainer.checkpoint_callback else ""
    if cfg.test:
        trainer.test(module, datamodule=data, ckpt_path=best or None, weights_only=True)
        numbers |= _numbers(trainer)
    if cfg.export_onnx and trainer.is_global_zero:
        network = load_network(Path(best), module.network_config)[0] if best else module.network
        export_onnx(network, Path(cfg.paths.run) / "network.onnx")
    return numbers


def fit(trainer: Trainer, module: VQEModule, data: VQEDataModule, resume: Path | None) -> None:
    """Train; a network that has nothing to train is validated as it is."""
    if not any(p.requires_grad for p in module.network.parameters()):
        log.warning("%s has no parameters: nothing to train", type(module.network).__name__)
        trainer.validate(module, datamodule=data)
        return
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)


def start_from(path: str | Path, module: VQEModule) -> None:
    """Give a new training the weights of a checkpoint's or shipped network, and nothing else.

    Of a nano, other networks take what they share with it: light and colour.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the checkpoint holds another network.
    """
    checkpoint = read_checkpoint(path, module.network_config)
    part = light_part(module.network, checkpoint[NETWORK_CONFIG])
    if part is None:
        checkpoint = read_same_network(path, module.network_config, "init_from")
    network, prefix = part or (module.network, "")
    weights = network_weights(checkpoint).items()
    load_state(network, {k[len(prefix) :]: v for k, v in weights if k.startswith(prefix)}, path)
    log.info("starting from the weights of %s", path)


def find_resume(resume_from: str | None, runs: Path, network_config: dict | None) -> Path | None:
    """Find the checkpoint to continue from.

    Args:
        resume_from: a path, None to start anew, or `auto`: the newest `last.ckpt` below `runs`.
        runs: the folder that holds the run folders.
        network_config: what the checkpoint's network must have been built from.

    Raises:
        FileNotFoundError: the path named does not exist.
        ValueError: the checkpoint holds another network.
    """
    if resume_from is None:
        return None
    if resume_from == "auto":
        found = sorted(runs.glob("*/checkpoints/last.ckpt"), key=lambda p: p.stat().st_mtime)
        if not found:
            log.info("nothing to resume below %s: starting anew", runs)
            return None
        resume_from = str(found[-1])
    path = Path(resume_from)
    if path.suffix == SUFFIX:
        raise ValueError(
            f"expected a checkpoint of a training in resume_from, got weights alone ({path}). "
            f"Start a new training from them: init_from={path}"
        )
    read_same_network(path, network_config, "resume_from")
    log.info("resuming from %s", path)
    return path


def _numbers(trainer: Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def pick_objective(numbers: dict[str, float], name: str | None) -> float | None:
    """Return what a sweep optimises, None where no name is given.

    Raises:
        ValueError: no such number was logged; the message lists those that were.
    """
    if name is None:
        return None
    if name not in numbers:
        raise ValueError(
            f"expected sweeper_object to be one of {', '.join(sorted(numbers))}, got {name!r}"
        )
    return numbers[name]


def train_for_sweep(cfg: DictConfig) -> float | None:
    """Train as configured; return what a sweep optimises."""
    check_direction(cfg.sweeper_object, HydraConfig.get().sweeper)
    return pick_objective(train(cfg), cfg.sweeper_object)
