"""Checkpoint file <-> the network in it, without running code of the file."""

from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import nn

from vqe import models
from vqe.inputs import find_checkpoint, require_checkpoint
from vqe.models.low_res import LowResBranch
from vqe.models.shipped import NETWORK_CONFIG, SUFFIX, read_shipped
from vqe.state_dict import DIGEST, check_digest, check_state

# No weight in a checkpoint depends on them.
NO_SHAPES = ("smoothing", "scene_cut", "light_change", "strength", "encoder_weights")
NETWORK_PREFIX = "network."  # of its weights' names in a checkpoint


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a checkpoint of Lightning onto the CPU, without running code in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such checkpoint, or damaged.
    """
    require_checkpoint(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling fails in as many ways as there are files
        raise ValueError(f"expected tensors and plain values in {path}, got: {error}") from error
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ValueError(
            f"expected a checkpoint with a dict of tensors under 'state_dict', got {path} with "
            f"{type(state).__name__}. Take one that train_vqe.py wrote"
        )
    check_digest(checkpoint, checkpoint.get(DIGEST), str(path))
    return checkpoint


def read_checkpoint(path: str | Path, network: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read a checkpoint of a network that `train_vqe.py` wrote, without running code in it.

    Args:
        path: the file, or the name of a shipped network, which is brought into the same form.
        network: the config that the name `shipped` stands for; None: nano's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such checkpoint, or damaged.
    """
    path = find_checkpoint(path, network)
    if path.suffix == SUFFIX:
        shipped = read_shipped(path)
        state = {NETWORK_PREFIX + name: value for name, value in shipped.state.items()}
        return {"state_dict": state, NETWORK_CONFIG: shipped.config}
    checkpoint = read_tensors(path)
    if NETWORK_CONFIG not in checkpoint:
        raise ValueError(
            f"expected a checkpoint of train_vqe.py, got {path} without {NETWORK_CONFIG!r}"
        )
    return checkpoint


def load_network(
    path: str | Path, config: dict[str, Any] | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of a checkpoint and load its weights; return its config beside it.

    Args:
        path: a checkpoint of `train_vqe.py`, or the name of a shipped network.
        config: how to build the network; None builds what the checkpoint names, if that is a
            network of `vqe.models`: a checkpoint does not choose what code runs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, of another network, or its weights are not finite.
    """
    checkpoint = read_checkpoint(path, config)
    if config is None:
        config = checkpoint[NETWORK_CONFIG]
        network = build_known(config, path)
    else:
        network = instantiate(config, _convert_="all")
    load_state(network, network_weights(checkpoint), path)
    return network, config


def load_state(network: nn.Module, state: dict[str, Any], path: str | Path) -> None:
    """Give a network the weights of a file.

    Raises:
        ValueError: they are not this network's, or not finite.
    """
    check_network_state(network, state, path)
    network.load_state_dict(state)


def check_network_state(network: nn.Module, state: dict[str, Any], path: str | Path) -> None:
    """See that the weights of a file are a network's and finite.

    Raises:
        ValueError: they are not.
    """
    check_state(
        *(state, network.state_dict(), str(path)),
        what=type(network).__name__,
        advice="Take a checkpoint of this network, from before its training diverged",
    )


def read_same_network(
    path: str | Path, network_config: dict[str, Any], option: str
) -> dict[str, Any]:
    """Read a checkpoint that must hold the network that is trained here.

    Args:
        path: see `read_checkpoint`.
        network_config: what its network must have been built from.
        option: which option named it, for the message.

    Raises:
        ValueError: it holds another network.
    """
    checkpoint = read_checkpoint(path, network_config)
    held = checkpoint[NETWORK_CONFIG]
    if not takes_same_weights(held, network_config):
        raise ValueError(
            f"expected a checkpoint of {network_config}, got one of {held} ({path}). "
            f"Set model_vqe to the same, or {option}=null"
        )
    return checkpoint


def takes_same_weights(held: Any, network_config: Any) -> bool:
    """Say whether two configs build the same network, whatever it does with them over time.

    An argument that is null or 0 is as good as none: older configs lack newer ones.
    """
    if not (isinstance(held, dict) and isinstance(network_config, dict)):
        return held == network_config
    shapes = [
        {k: v for k, v in config.items() if k not in NO_SHAPES and v}
        for config in (held, network_config)
    ]
    return shapes[0] == shapes[1]


def keep_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return what builds a network again: a checkpoint holds its encoder's weights."""
    return config | {"encoder_weights": None} if "encoder_weights" in config else config


def light_part(network: nn.Module, held: Any) -> tuple[nn.Module, str] | None:
    """Find what a network other than nano shares with the nano of a checkpoint.

    Returns the part and its weights' prefix; None: there is none, or it is the whole network.

    Args:
        network: that starts from the checkpoint.
        held: the config in it.
    """
    target = held.get("_target_") if isinstance(held, dict) else None
    if target != "vqe.models.Nano" or isinstance(network, models.Nano):
        return None
    if isinstance(getattr(network, "nano", None), models.Nano):
        return network.nano, ""
    if isinstance(getattr(network, "branch", None), LowResBranch):
        return network.branch, "branch."
    return None


def network_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the network's weights in a checkpoint, by their names in the network."""
    weights = checkpoint["state_dict"].items()
    return {k[len(NETWORK_PREFIX) :]: v for k, v in weights if k.startswith(NETWORK_PREFIX)}


def build_known(config: dict[str, Any], path: str | Path) -> nn.Module:
    """Build a network of `vqe.models` from the config in a file.

    Raises:
        ValueError: the config names something else, or arguments that it does not take.
    """
    target = config.get("_target_") if isinstance(config, dict) else config
    known = {f"vqe.models.{name}": name for name in models.__all__}
    if not isinstance(target, str) or target not in known:
        raise ValueError(
            f"expected one of {', '.join(known)}, got {target!r} ({path}). "
            "For a network of your own, name its config: model_vqe=<yours>"
        )
    arguments = {name: value for name, value in config.items() if name != "_target_"}
    try:
        return getattr(models, known[target])(**arguments)
    except Exception as error:  # numbers out of range fail wherever they are used
        raise ValueError(f"expected arguments of {target}, got {arguments} ({path})") from error
