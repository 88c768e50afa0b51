"""State dict of a file -> held against a module's own; tensors -> a digest that tells damage."""

import hashlib
import pickle
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from vqe.finite import find_non_finite, list_names

DIGEST = "tensors_sha256"  # key beside the tensors, in a checkpoint and in safetensors' metadata
SHOWN_KEYS = 10
# What a damaged or foreign file makes the reader raise.
READ_ERRORS = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, EOFError, OverflowError),
    OSError,  # of torch, which seeks to places that a damaged file names
    *(pickle.UnpicklingError, struct.error, AssertionError, SafetensorError),
)


def read_weights(path: Path, classes: Sequence[Any] = ()) -> tuple[Any, str | None]:
    """Read a file of weights onto the CPU, without running code from it; it raises `READ_ERRORS`.

    Args:
        path: safetensors, or what `torch.save` wrote.
        classes: that such a file may hold beside tensors and plain containers.

    Returns:
        What it holds, and the digest that was written beside it, if one was.
    """
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            digest = (file.metadata() or {}).get(DIGEST)
        return load_file(path), digest
    with torch.serialization.safe_globals(list(classes)):
        return torch.load(path, map_location="cpu", weights_only=True), None


def digest_tensors(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the names, kinds, shapes and bytes of all tensors in a nested dict."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_walk(content, ""), key=lambda pair: pair[0]):
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _walk(content: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name, content
        return
    pairs: Any = ()
    if isinstance(content, Mapping):
        pairs = content.items()
    elif isinstance(content, list | tuple):
        pairs = enumerate(content)
    for key, value in pairs:
        yield from _walk(value, f"{name}/{key}")


def check_digest(content: Mapping[str, Any], expected: str | None, source: str) -> None:
    """See that tensors are those that were written; a file without a digest is taken as it is.

    Raises:
        ValueError: they are not.
    """
    if expected is not None and digest_tensors(content) != expected:
        raise ValueError(
            f"expected the tensors that were written into {source}, got others: the file is "
            "damaged. Get it again, or take another one"
        )


def check_state(
    state: Mapping[str, Any],
    own: Mapping[str, Tensor],
    source: str,
    *,
    what: str,
    advice: str,
) -> None:
    """Hold a file's state dict against a module's: names, kinds, shapes and finite values.

    Args:
        state: of the file.
        own: of the module.
        source: the file.
        what: whose keys they should be.
        advice: the error's last sentence.

    Raises:
        ValueError: they differ, or a value is not finite.
    """
    shared = [key for key in own if key in state]
    wrong = {key: reason for key in shared if (reason := _compare(state[key], own[key]))}
    lists = {
        "missing": [key for key in own if key not in state],
        "unexpected": [str(key) for key in state if key not in own],
        "misshapen": [f"{key} ({reason})" for key, reason in sorted(wrong.items())],
        "not finite": find_non_finite({key: state[key] for key in shared if key not in wrong}),
    }
    found = [
        f"{len(keys)} {problem}: {list_names(keys, SHOWN_KEYS)}"
        for problem, keys in lists.items()
        if keys
    ]
    if found:
        raise ValueError(
            f"expected the {len(own)} keys of {what}, got {'; '.join(found)} ({source}). {advice}"
        )


def _compare(value: Any, expected: Tensor) -> str | None:
    """Say what is wrong with a value, None if it can be loaded."""
    if not isinstance(value, Tensor):
        return f"expected a tensor, got {type(value).__name__}"
    if value.layout != torch.strided or value.is_quantized:
        return f"expected a plain tensor, got one of {value.layout} and {value.dtype}"
    if value.shape != expected.shape:
        return f"expected {list(expected.shape)}, got {list(value.shape)}"
    if value.is_floating_point() != expected.is_floating_point() or value.is_complex():
        return f"expected {expected.dtype}, got {value.dtype}"
    return None
