"""A network -> MACs and milliseconds a frame in torch and in ONNX Runtime, at two sizes."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from measuring import time_in_turn
from torch import nn

from vqe.export.complexity import fuse, measure_complexity
from vqe.export.onnx import CHECK_SIZES, export_onnx

SIZES = {"360p": (360, 640), "720p": (720, 1280)}
SPEED = ("macs_g", *(f"{kind}_ms_{size}" for size in SIZES for kind in ("torch", "onnx")))
THREADS = 2
QUICK_CHECK = ((36, 64), (72, 128))
QUICK_SHRINK = 10  # of the sizes, where figures need not mean anything
CPU = torch.device("cpu")


def measure_speed(network: nn.Module, folder: Path, *, quick: bool) -> dict[str, float]:
    """Return the numbers in `SPEED`: GMACs at 720p, medians of single frames in a row.

    A network with memory goes on from its own state, as in a video; one that can be fused is.
    """
    network = fuse(copy.deepcopy(network).cpu().eval())
    path = folder / "network.onnx"
    export_onnx(network, path, check_sizes=QUICK_CHECK if quick else CHECK_SIZES)
    found = {"macs_g": measure_complexity(network).total_macs_g}
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        for size, (height, width) in SIZES.items():
            shrink = QUICK_SHRINK if quick else 1
            shape = (1, 3, height // shrink, width // shrink)
            frame = torch.rand(shape, generator=torch.Generator().manual_seed(0))
            run = {"torch": run_torch(network, frame), "onnx": run_onnx(path, network, frame)}
            for candidate in run.values():
                candidate()
                candidate()
            repeats = dict.fromkeys(run, 1 if quick else 20)
            for kind, seconds in time_in_turn(run, repeats, CPU).items():
                found[f"{kind}_ms_{size}"] = seconds * 1e3
    finally:
        torch.set_num_threads(threads)
    return found


def run_torch(network: nn.Module, frame: torch.Tensor) -> Callable[[], None]:
    """Return a function that enhances the next frame, [1,3,H,W]."""
    states = [initial_state(network, frame)]

    @torch.inference_mode()
    def run() -> None:
        if states[0]:
            _, states[0] = network(frame, states[0])
        else:
            network(frame)

    return run


def run_onnx(path: Path, network: nn.Module, frame: torch.Tensor) -> Callable[[], None]:
    """Do the same with ONNX Runtime: inputs and outputs are the frame, then the state."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = [node.name for node in session.get_inputs()]
    state = {name: value.numpy() for name, value in initial_state(network, frame).items()}
    feed: dict[str, np.ndarray] = {inputs[0]: frame.numpy()}
    feed |= {name: state[name] for name in inputs[1:]}
    outputs = [node.name for node in session.get_outputs()]

    def run() -> None:
        results = dict(zip(outputs, session.run(None, feed), strict=True))
        feed.update({name: results[f"{name}_next"] for name in inputs[1:]})

    return run


def initial_state(network: nn.Module, frame: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the state before the first frame; empty where a network has no memory."""
    if not hasattr(network, "initial_state"):
        return {}
    return network.initial_state(1, *frame.shape[-2:])
