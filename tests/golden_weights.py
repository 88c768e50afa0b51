"""Deterministic weights and frames that the golden numbers of both critics were made with."""

import json
import math
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden"
GAINS = {"vqa": 1.7, "dover": 1.0, "dover_mobile": 1.0}


@cache
def golden_numbers() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "golden.npz") as file:
        return {name: file[name] for name in file.files}


@cache
def manifest() -> dict[str, list]:
    return json.loads((GOLDEN / "manifest.json").read_text())


def golden_state(name: str) -> dict[str, torch.Tensor]:
    """Floating-point weights of `vqa`, `dover` or `dover_mobile`; integer keys are left out."""
    return {
        key: torch.from_numpy(_weight(key, shape, GAINS[name]))
        for key, shape, dtype in manifest()[name]
        if dtype.startswith("float")
    }


def _weight(key: str, shape: list[int], gain: float) -> np.ndarray:
    n = np.random.default_rng(zlib.crc32(key.encode()) ^ 0).standard_normal(shape)
    last = key.rsplit(".", 1)[-1]
    if last == "running_var":
        value = 1 + 0.1 * np.abs(n)
    elif last == "gamma" and len(shape) == 1:
        value = 0.5 + 0.1 * n
    elif last in ("running_mean", "gamma", "beta", "bias"):
        value = 0.1 * n
    elif last.endswith("bias_table"):
        value = 0.5 * n
    elif len(shape) == 1:
        value = 1 + 0.1 * n
    else:
        value = gain * n / math.sqrt(math.prod(shape[1:]))
    return value.astype(np.float32)


def image(height: int, width: int, seed: int, count: int) -> np.ndarray:
    """Make `count` smooth, noisy frames as uint8 [count,3,height,width]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    frames = np.empty((count, 3, height, width), np.uint8)
    for i in range(count):
        for c in range(3):
            waves = 80 * np.sin(x / (17 + 5 * c + 3 * i) + y / (23 + 7 * c))
            values = 127.5 + waves + 20 * rng.standard_normal((height, width))
            frames[i, c] = np.clip(np.round(values), 0, 255)
    return frames
