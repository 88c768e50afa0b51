"""Config -> data module, network, critics, callbacks and trainer, shared by both entries."""

import functools
import logging
from typing import Any

from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import nn

from vqe.critics import ConstantDOVER
from vqe.critics.feature_cache import FeatureCache
from vqe.critics.frozen_critics import FrozenCritics
from vqe.critics.score_memory import ScoreMemory
from vqe.data import VQEDataModule
from vqe.device import choose_own_device, choose_precision
from vqe.inputs import read_network
from vqe.training.checkpoint_file import CheckpointFile
from vqe.training.checkpoints import keep_config
from vqe.training.module import VQEModule
from vqe.training.quiet import leave_out_host, quiet_lightning

log = logging.getLogger(__name__)
instantiate = functools.partial(hydra_instantiate, _convert_="all")


def build_data(cfg: DictConfig) -> VQEDataModule:
    """Build the data module from `dataset`, `dataloader` and `augmentation`."""
    parts = {"loader": instantiate(cfg.dataloader)}
    if "augmentation" in cfg:  # testing does not augment
        parts["augmentation"] = instantiate(cfg.augmentation)
    return instantiate(cfg.dataset, _partial_=True)(**parts)


def build_critics(cfg: DictConfig) -> FrozenCritics:
    """Build both frozen critics from `model_vqa`, `model_dover` and `score_cache`."""
    augmentation = cfg.get("augmentation")
    drawn = [(augmentation or {}).get(part) for part in ("geometric", "photometric", "noise")]
    always_new = any((*drawn, cfg.get("crop")))
    if cfg.score_cache and always_new:
        log.warning(
            "score_cache: augmentation and crop make every training frame a new one, so that only "
            "validation and test frames are found again. Set augmentation=none crop=null to find "
            "all"
        )
    vqa, dover = instantiate(cfg.model_vqa), instantiate(cfg.model_dover)
    cache: FeatureCache | ScoreMemory | None = None
    if cfg.score_cache:
        cache = FeatureCache(cfg.score_cache)
    elif augmentation is not None and not (always_new or isinstance(dover, ConstantDOVER)):
        cache = ScoreMemory()
    return FrozenCritics(vqa=vqa, dover=dover, cache=cache)


def build_module(cfg: DictConfig) -> VQEModule:
    """Build network, critics, loss, optimizer and scheduler for training.

    Raises:
        ValueError: no network is named.
    """
    network_config = read_network(cfg)
    if network_config is None:
        raise ValueError("expected model_vqe=<a network> to train, got null. Leave it out for nano")
    network = instantiate(network_config)
    if cfg.freeze is not None:
        freeze_part(network, cfg.freeze)
    if cfg.model_vqe.compiled:
        network.compile()  # in place: its weights keep their names, a copy is not compiled
    return VQEModule(
        network=network,
        critics=build_critics(cfg),
        loss=instantiate(cfg.loss),
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler) if cfg.scheduler else None,
        network_config=keep_config(network_config),
        crop=OmegaConf.to_object(cfg.crop) if cfg.crop else None,
    )


def freeze_part(network: nn.Module, name: str) -> None:
    """Keep the weights of one part of a network as they are.

    Raises:
        ValueError: the network has no such part.
    """
    parts = {name: part for name, part in network.named_modules() if name}
    if name not in parts:
        children = ", ".join(name for name, _ in network.named_children())
        raise ValueError(
            f"expected freeze=<a part of {type(network).__name__}>, of {children}, got {name!r}"
        )
    parts[name].requires_grad_(False)


def build_callbacks(cfg: DictConfig) -> list[Callback]:
    """Build every callback named under `callbacks`; one set to null is left out."""
    return [instantiate(callback) for callback in cfg.callbacks.values() if callback]


def build_trainer(cfg: DictConfig, *, alone: bool = False) -> Trainer:
    """Build the trainer with the loggers and callbacks; choose a precision where none is set.

    Args:
        cfg: with `trainer`, `callbacks` and, for training, `logger`.
        alone: this process is one of several that torchrun or SLURM started, and knows nothing of
            the others: it computes on one device.
    """
    quiet_lightning()
    leave_out_host()
    parts: dict[str, Any] = {"callbacks": build_callbacks(cfg), "plugins": [CheckpointFile()]}
    if alone:
        parts["plugins"].append(LightningEnvironment())  # or Lightning would wait for the others
        parts |= {"strategy": "auto", "devices": choose_own_device(cfg.trainer.accelerator)}
    parts["logger"] = [instantiate(logger) for logger in cfg.get("logger", {}).values() if logger]
    if cfg.trainer.precision is None:
        parts["precision"] = choose_precision(cfg.trainer.accelerator)
    return instantiate(cfg.trainer, _partial_=True)(**parts)
