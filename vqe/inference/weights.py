"""A name -> the network it stands for: a checkpoint, an ONNX file, a shipped network, or none."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from torch import nn

from vqe.export.onnx import export_onnx
from vqe.files import complete_or_absent, hash_file
from vqe.inputs import find_network
from vqe.training.checkpoints import load_network

CACHE = "vqe/onnx"  # below the user's folder for caches


@dataclass(frozen=True)
class Weights:
    """A network in one of two forms, and what tells it from every other."""

    name: str
    digest: str
    network: nn.Module | None  # in eval mode
    onnx: Path | None

    def to_onnx(self) -> Path:
        """Return the ONNX file; a network of PyTorch is exported once and kept."""
        if self.onnx is not None:
            return self.onnx
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        path = Path(home) / CACHE / f"{self.digest}.onnx"
        if not path.is_file():
            with complete_or_absent(path) as part:
                export_onnx(self.network, part)
        return path


def find_weights(weights: str | Path | None, network_config: dict[str, Any] | None) -> Weights:
    """Find a network.

    Args:
        weights: a checkpoint of `train_vqe.py`, a `network.onnx`, or the name of a shipped
            network; None for a network without parameters.
        network_config: how to build your own network, or one without parameters.

    Raises:
        FileNotFoundError: there is no such file or name.
        ValueError: the file is no such thing, or nothing is named.
    """
    if weights is None:
        return _build_without(network_config)
    path = find_network(weights, network_config)
    digest = hash_file(path)
    if path.suffix == ".onnx":
        return Weights(str(weights), digest, None, path)
    network, _ = load_network(path, network_config)
    return Weights(str(weights), digest, network.eval(), None)


def _build_without(network_config: dict[str, Any] | None) -> Weights:
    if network_config is None:
        raise ValueError(
            "expected weights=<checkpoint | network.onnx | name>, got null. "
            "model_vqe=identity needs none"
        )
    network = instantiate(network_config, _convert_="all").eval()
    if any(True for _ in network.parameters()):
        raise ValueError(
            f"expected weights=<checkpoint> for {network_config['_target_']}, which has "
            "parameters, got null"
        )
    name = json.dumps(network_config, sort_keys=True)
    return Weights(
        type(network).__name__.lower(), hashlib.sha256(name.encode()).hexdigest(), network, None
    )
