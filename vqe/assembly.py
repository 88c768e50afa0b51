"""Config -> data module, network, critics, callbacks and trainer, shared by both entries."""

import functools
import logging
import os
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from torch import nn

from vqe import models
from vqe.critics.pair import FrozenCritics
from vqe.critics.score_cache import ScoreCache
from vqe.data import VQEDataModule
from vqe.module import NETWORK_CONFIG, NETWORK_PREFIX, VQEModule

log = logging.getLogger(__name__)
instantiate = functools.partial(hydra_instantiate, _convert_="all")


def quiet_other_ranks() -> None:
    """Let rank 0 alone report; the others speak up from warnings on."""
    if int(os.environ.get("LOCAL_RANK", 0)) > 0:
        logging.getLogger("vqe").setLevel(logging.WARNING)


def build_data(cfg: DictConfig) -> VQEDataModule:
    """Build the data module from `dataset`, `dataloader` and `augmentation`."""
    parts = {"loader": instantiate(cfg.dataloader)}
    if "augmentation" in cfg:  # testing does not augment
        parts["augmentation"] = instantiate(cfg.augmentation)
    return instantiate(cfg.dataset, _partial_=True)(**parts)


def build_critics(cfg: DictConfig) -> FrozenCritics:
    """Build both frozen critics from `model_vqa`, `model_dover` and `score_cache`."""
    cache = ScoreCache(cfg.score_cache) if cfg.score_cache else None
    augmentation = cfg.get("augmentation") or {}
    drawn = [augmentation.get(part) for part in ("geometric", "photometric", "noise")]
    if cache and any((*drawn, cfg.get("crop"))):
        log.warning(
            "score_cache: augmentation and crop make every training frame a new one, so that only "
            "validation and test frames are found again. Set augmentation=none crop=null to find "
            "all"
        )
    vqa, dover = instantiate(cfg.model_vqa), instantiate(cfg.model_dover)
    return FrozenCritics(vqa=vqa, dover=dover, cache=cache)


def build_module(cfg: DictConfig) -> VQEModule:
    """Build network, critics, loss, optimizer and scheduler for training."""
    return VQEModule(
        network=instantiate(cfg.model_vqe),
        critics=build_critics(cfg),
        loss=instantiate(cfg.loss),
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler) if cfg.scheduler else None,
        network_config=OmegaConf.to_container(cfg.model_vqe, resolve=True),
        crop=OmegaConf.to_object(cfg.crop) if cfg.crop else None,
    )


def build_callbacks(cfg: DictConfig) -> list[Callback]:
    """Build every callback named under `callbacks`; one set to null is left out."""
    return [instantiate(callback) for callback in cfg.callbacks.values() if callback]


def build_trainer(cfg: DictConfig) -> Trainer:
    """Build the trainer with the loggers and callbacks; choose a precision where none is set."""
    parts: dict[str, Any] = {"callbacks": build_callbacks(cfg)}
    parts["logger"] = [instantiate(logger) for logger in cfg.get("logger", {}).values() if logger]
    if cfg.trainer.precision is None:
        parts["precision"] = choose_precision(cfg.trainer.accelerator)
    return instantiate(cfg.trainer, _partial_=True)(**parts)


def choose_precision(accelerator: str) -> str:
    """Return bf16 where the GPU computes it natively, else 16-mixed on a GPU, 32 without one."""
    if accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of a network that `train_vqe.py` wrote, without running code in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such checkpoint.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a checkpoint at {path}, got nothing. train_vqe.py writes them to "
            "<run>/checkpoints/{best,last}.ckpt"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling fails in as many ways as there are files
        raise ValueError(f"expected tensors and plain values in {path}, got: {error}") from error
    if not isinstance(checkpoint, dict) or NETWORK_CONFIG not in checkpoint:
        raise ValueError(
            f"expected a checkpoint of train_vqe.py, got {path} without {NETWORK_CONFIG!r}"
        )
    return checkpoint


def load_network(
    path: Path, config: dict[str, Any] | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of a checkpoint and load its weights; return its config beside it.

    Args:
        path: a checkpoint of `train_vqe.py`.
        config: how to build the network; None builds what the checkpoint names, if that is a
            network of `vqe.models`: a checkpoint does not choose what code runs.
    """
    checkpoint = read_checkpoint(path)
    if config is None:
        config = checkpoint[NETWORK_CONFIG]
        network = _build_known(config, path)
    else:
        network = instantiate(config)
    network.load_state_dict(network_weights(checkpoint))
    return network, config


def read_same_network(path: Path, network_config: dict[str, Any], option: str) -> dict[str, Any]:
    """Read a checkpoint that must hold the network that is trained here.

    Args:
        path: a checkpoint of `train_vqe.py`.
        network_config: what its network must have been built from.
        option: which option named it, for the message.

    Raises:
        ValueError: it holds another network.
    """
    checkpoint = read_checkpoint(path)
    held = checkpoint[NETWORK_CONFIG]
    if held != network_config:
        raise ValueError(
            f"expected a checkpoint of {network_config}, got one of {held} ({path}). "
            f"Set model_vqe to the same, or {option}=null"
        )
    return checkpoint


def network_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the network's weights in a checkpoint, by their names in the network."""
    weights = checkpoint["state_dict"].items()
    return {k[len(NETWORK_PREFIX) :]: v for k, v in weights if k.startswith(NETWORK_PREFIX)}


def _build_known(config: dict[str, Any], path: Path) -> nn.Module:
    target = config.get("_target_", "")
    known = {f"vqe.models.{name}": name for name in models.__all__}
    if target not in known:
        raise ValueError(
            f"expected one of {', '.join(known)}, got {target!r} ({path}). "
            "For a network of your own, name its config: model_vqe=<yours>"
        )
    arguments = {name: value for name, value in config.items() if name != "_target_"}
    try:
        return getattr(models, known[target])(**arguments)
    except TypeError as error:
        raise ValueError(f"expected arguments of {target}, got {arguments} ({path})") from error
