"""Uint8 frames, a critic's weights and options -> the keys its results are kept under.

Pixels are stronger than a file's name, size and time stamp: an edited or augmented frame is a new
one, while a copied or renamed file is found again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

RESULTS_VERSION = 1  # raise it when a change of the critics' code moves their results
DIGEST_BYTES = 20


def digest_weights(critic: nn.Module) -> str:
    """Digest names, shapes, types and values of a critic's state dict."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    for name, value in sorted(critic.state_dict().items()):
        digest.update(f"{name} {list(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def digest_frames(frames_u8_bchw: Tensor) -> list[bytes]:
    """Digest shape and pixels of each uint8 frame."""
    frames = np.ascontiguousarray(frames_u8_bchw.cpu().numpy())
    shape = str(frames.shape[1:]).encode()
    return [blake2b(shape + frame.tobytes(), digest_size=DIGEST_BYTES).digest() for frame in frames]


@dataclass(frozen=True)
class CacheSpec:
    """How a critic's results are kept.

    Attributes:
        kind: name of the critic in the cache.
        width: numbers a frame.
        options: plain values that, beside weights and pixels, change the results.
    """

    kind: str
    width: int
    options: dict[str, Any] = field(default_factory=dict)


def make_keys(
    spec: CacheSpec, weights: str, frames: Sequence[bytes], seeds: Sequence[int] | None = None
) -> list[bytes]:
    """Join what a critic's results depend on.

    Args:
        spec: names the critic and its options.
        weights: digest of its weights.
        frames: digest of each frame.
        seeds: each frame's identity, where the critic draws from it.
    """
    critic = json.dumps([RESULTS_VERSION, spec.kind, weights, spec.options], sort_keys=True)
    tails = [b""] * len(frames) if seeds is None else [str(seed).encode() for seed in seeds]
    return [
        blake2b(critic.encode() + frame + tail, digest_size=DIGEST_BYTES).digest()
        for frame, tail in zip(frames, tails, strict=True)
    ]
