"""Fill a critic: checkpoint file or state dict -> loaded module; or seeded random weights.

Reading a file never runs code it holds: tensors, plain containers and the configuration classes of
a Lightning checkpoint are let through, anything else is refused.
"""

import json
import logging
import math
import re
import typing
import zlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig, base, nodes
from safetensors import safe_open
from torch import Tensor, nn

from vqe.inputs import UNTRAINED, explain_source, require_weights
from vqe.state_dict import READ_ERRORS, check_digest, check_state, read_weights

log = logging.getLogger(__name__)

PREFIX = "_model."  # of the tensors in VQA.ckpt
WINDOW_INDEX = "relative_position_index"
# Metadata of the files that train_vqa.py writes.
SIZES = "sizes"  # JSON: widths and depths of the UNetLite
ABOUT = "about"  # what the critic is, for the log

# Gain and bias of the output layers of untrained critics, found by trying real and odd frames.
OUTPUTS = {
    "main_head.13": (0.01, 0.5),
    "aux_head.2": (0.01, 0.5),
    "technical_head.fc_last": (0.02, 0.0),
    "aesthetic_head.fc_last": (0.02, 0.0),
}
GAIN = 1.5

# What omegaconf's containers are made of: they hold values and run nothing when they are built.
CONFIG_CLASSES = [
    *(DictConfig, ListConfig, base.ContainerMetadata, base.Metadata),
    *(nodes.AnyNode, nodes.BooleanNode, nodes.FloatNode, nodes.IntegerNode, nodes.StringNode),
    *(defaultdict, dict, list, int, float, str, bool, typing.Any),
]


def fill_critic(critic: nn.Module, weights: str | None, group: str) -> None:
    """Fill a critic with a file's weights, or with random ones where that is asked for by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no weights are named, or the file does not hold this critic.
    """
    require_weights(weights, group, critic.checkpoint_name)
    if weights == UNTRAINED:
        untrained_(critic)
    else:
        load_weights(critic, weights)


def load_weights(module: nn.Module, source: str | Path | Mapping[str, Tensor]) -> nn.Module:
    """Fill a critic in place, put it in eval mode and return it.

    Args:
        module: `UNetLite` or `DOVER`.
        source: a checkpoint file (`.ckpt`, `.pth`, `.safetensors`), or its content: a state dict,
            plain or under `state_dict`, with or without the prefix `_model.`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or its keys or shapes are not the module's.
    """
    if isinstance(source, Mapping):
        content, name = source, "the state dict"
    else:
        content, name = read_checkpoint(source, module.checkpoint_name), str(source)
    state = content.get("state_dict", content)
    if not isinstance(state, Mapping):
        raise ValueError(f"expected a dict under state_dict, got {type(state).__name__} ({name})")
    state = {str(key).removeprefix(PREFIX): value for key, value in state.items()}
    for key in module.unused_keys:
        state.pop(key, None)
    own = module.state_dict()
    counters = {key: value for key, value in own.items() if not value.is_floating_point()}
    state = counters | state  # they may be missing
    _check_state(state, own, f"{name}, weights of {type(module).__name__}")
    module.load_state_dict(state)
    return module.eval()


def read_checkpoint(path: str | Path, checkpoint_name: str) -> dict:
    """Read a checkpoint file without running code from it.

    Args:
        path: the file.
        checkpoint_name: the published file it should be, a key of `SOURCES`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, holds something else, or holds objects that are refused.
    """
    path = Path(path)
    require_weights(path, "model_vqa", checkpoint_name)
    try:
        content, digest = read_weights(path, CONFIG_CLASSES)
    except READ_ERRORS as error:
        raise ValueError(_explain_failure(path, checkpoint_name, error)) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"expected a dict of tensors, got {type(content).__name__} ({path}). "
            f"{explain_source(checkpoint_name)}"
        )
    check_digest(content, digest, str(path))
    return content


def read_own(path: str | Path) -> tuple[dict[str, Any], str] | None:
    """Read sizes and description of a critic that `train_vqa.py` wrote; None for other files.

    Returns:
        The arguments `widths` and `depths` of `UNetLite`, and what the critic is.
    """
    path = Path(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            held = file.metadata() or {}
        if SIZES not in held:
            return None
        sizes = json.loads(held[SIZES])
        return {name: [int(v) for v in sizes[name]] for name in ("widths", "depths")}, held[ABOUT]
    except READ_ERRORS as error:
        raise ValueError(_explain_failure(path, "VQA.ckpt", error)) from error


def _explain_failure(path: Path, checkpoint_name: str, error: BaseException) -> str:
    reason = re.search(r"WeightsUnpickler error: ([^\n]+?)(?: Please |\n|$)", str(error))
    refused = reason and re.search(r"unsupported|not an allowed|blocked", reason[1], re.IGNORECASE)
    if refused:
        return (
            f"expected tensors and plain configuration, got an object that could run code: "
            f"{reason[1]} ({path}). It was refused and nothing was run. If you trust the file, "
            "load it where it was made, keep its tensors alone with "
            "torch.save(checkpoint['state_dict'], file), and use that file"
        )
    words = str(error).strip().split("\n")[0] or type(error).__name__
    return (
        f"expected the weights {checkpoint_name}, got a file that cannot be read, perhaps cut "
        f"short: {words} ({path}). Get it again. {explain_source(checkpoint_name)}"
    )


def _check_state(state: dict[str, Tensor], own: dict[str, Tensor], name: str) -> None:
    """Hold a state dict against the module's, and the windows' index against its values."""
    check_state(
        *(state, own, name),
        what="the published checkpoint",
        advice="Check that the file belongs to this critic and variant",
    )
    for key, expected in own.items():
        if key.endswith(WINDOW_INDEX) and not torch.equal(state[key].cpu(), expected.cpu()):
            raise ValueError(
                f"expected the index of windows of 8x7x7, got another, misshapen: {key} ({name})"
            )


@torch.no_grad()
def untrained_(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fill a critic with seeded random weights, put it in eval mode and return it.

    Its scores vary from frame to frame inside their range, and mean nothing. The same seed gives
    the same weights, whatever the state of the global generators.
    """
    log.warning(
        "%s is untrained (random weights, seed %d): its scores mean nothing",
        type(module).__name__,
        seed,
    )
    for key, value in module.state_dict().items():
        if not value.is_floating_point():
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()) ^ seed)
        noise = torch.randn(value.shape, generator=generator)
        value.copy_(_random_weight(key, noise))
    return module.eval()


def _random_weight(key: str, noise: Tensor) -> Tensor:
    """Scale noise so that activations keep about their size, and outputs stay inside the clamps."""
    layer, _, kind = key.rpartition(".")
    if layer in OUTPUTS:
        gain, bias = OUTPUTS[layer]
        return torch.full_like(noise, bias) if kind == "bias" else noise * gain
    if kind == "running_var" or (kind in ("weight", "gamma") and noise.ndim == 1):
        return torch.ones_like(noise)
    if kind == "bias" and "_excitation" in layer:  # a gate around zero would let nothing through
        return torch.ones_like(noise)
    if noise.ndim == 1 or kind in ("gamma", "beta") or kind.endswith("bias_table"):
        return 0.1 * noise
    return GAIN * noise / math.sqrt(noise[0].numel())
