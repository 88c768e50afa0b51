"""Safetensors file <-> a shipped network: weights, how to build it, and what it learnt from.

Matrices are kept in float16, the rest in float32. `vqe.inputs.find_shipped` finds a file by name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vqe.files import complete_or_absent
from vqe.finite import check_weights
from vqe.state_dict import DIGEST, check_digest, digest_tensors

SUFFIX = ".safetensors"
NETWORK_CONFIG = "network_config"  # key in a checkpoint and here: how to build the network again
LIMIT_MB = 2.0


@dataclass(frozen=True)
class ShippedNetwork:
    """What a file holds.

    Attributes:
        state: the network's weights by name.
        config: the node `model_vqe` that builds it.
        recipe: how it was trained.
        data: on what, with licences.
        version: of the weights.
    """

    state: dict[str, Tensor]
    config: dict[str, Any]
    recipe: str
    data: str
    version: str


def write_shipped(
    path: str | Path,
    network: nn.Module,
    config: Mapping[str, Any],
    *,
    recipe: str,
    data: str,
    version: str,
) -> None:
    """Write a network as it ships, whole or not at all; the arguments are `ShippedNetwork`'s.

    Raises:
        NonFiniteError: a weight is not finite, perhaps only in float16.
        ValueError: the file would be larger than `LIMIT_MB`.
    """
    state = {}
    for name, value in network.state_dict().items():
        half = value.is_floating_point() and value.ndim > 1
        kept = value.half() if half else value
        state[name] = kept.detach().cpu().contiguous().clone()
    check_weights(state, f"{type(network).__name__} in float16")
    facts = {NETWORK_CONFIG: json.dumps(dict(config)), DIGEST: digest_tensors(state)}
    facts |= {"recipe": recipe, "data": data, "version": version}
    with complete_or_absent(Path(path)) as part:
        save_file(state, part, metadata=facts)
        size = part.stat().st_size / 1e6
        if size > LIMIT_MB:
            raise ValueError(f"expected at most {LIMIT_MB:g} MB, got {size:.2f} ({path})")


def read_shipped(path: str | Path) -> ShippedNetwork:
    """Read a file that `write_shipped` wrote, without running code in it.

    Raises:
        ValueError: it is damaged, or says not how to build its network.
    """
    path = Path(path)
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
        state, config = load_file(path), json.loads(facts.get(NETWORK_CONFIG, "null"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"expected a network in {path}, got a damaged file: {error}") from error
    if config is None:
        raise ValueError(f"expected {NETWORK_CONFIG!r} in the metadata of {path}, got none")
    check_digest(state, facts.get(DIGEST), str(path))
    about = {name: facts.get(name, "") for name in ("recipe", "data", "version")}
    return ShippedNetwork(state, config, **about)
