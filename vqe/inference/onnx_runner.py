"""Planes of consecutive frames -> enhanced planes, by ONNX Runtime."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqe.export.onnx import INPUT, NEXT, OUTPUT

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"


class OnnxRunner:
    """Run an exported network on one frame after the other and hand on what it remembers.

    Args:
        path: a file that `export_onnx` wrote.
        device: auto, cpu, cuda, cuda:1, ...
        threads: of one operation, 0 for one per core.

    Raises:
        RuntimeError: onnxruntime is not installed.
        ValueError: there is no such device, or the file is no such network.
    """

    def __init__(self, path: Path, *, device: str, threads: int = 0) -> None:
        ort = _import_runtime()
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        # threads that wait for work by spinning would take the cores from decoder and encoder
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._ort = ort
        self._kind, self._device_id, providers = _choose_providers(ort, device)
        try:
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its classes are not public
            raise ValueError(f"expected a network of export_onnx, got {path}: {error}") from error
        self._shapes = {i.name: i.shape for i in self._session.get_inputs()}
        if INPUT not in self._shapes:
            raise ValueError(f"expected an input {INPUT!r} in {path}, got {list(self._shapes)}")
        self._path = path
        self._memory = [name for name in self._shapes if name != INPUT]
        self._state: dict[str, Any] | None = None  # OrtValues, where the network runs

    def run(self, planes: np.ndarray) -> np.ndarray:
        """Enhance the next frame.

        Args:
            planes: contiguous float32 RGB [3,H,W] in [0,1].

        Returns:
            The same.

        Raises:
            ValueError: the network was exported for another size.
        """
        frames = planes[None]
        self._check_size(frames.shape)
        if self._state is None:
            self._state = {name: self._make_zeros(name, frames.shape) for name in self._memory}
        enhanced = np.empty_like(frames)
        binding = self._session.io_binding()
        binding.bind_cpu_input(INPUT, frames)
        for name, value in self._state.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_output(name + NEXT, self._kind, self._device_id)
        binding.bind_output(
            OUTPUT, "cpu", 0, np.float32, enhanced.shape, enhanced.__array_interface__["data"][0]
        )
        self._session.run_with_iobinding(binding)
        values = binding.get_outputs()[: len(self._memory)]  # in the order of binding
        self._state = dict(zip(self._memory, values, strict=True))
        return enhanced[0]

    def reset(self) -> None:
        """Forget the frames so far."""
        self._state = None

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return what is remembered, by name; nothing before the first frame."""
        state = self._state or {}
        return {name: torch.from_numpy(value.numpy().copy()) for name, value in state.items()}

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from what `get_state` returned."""
        self._state = {k: self._place(v.numpy()) for k, v in state.items()} if state else None

    def _check_size(self, shape: tuple[int, ...]) -> None:
        wanted = self._shapes[INPUT]
        if any(isinstance(w, int) and w != s for w, s in zip(wanted, shape, strict=True)):
            raise ValueError(
                f"expected frames of {wanted[2]}x{wanted[3]}, which this network was exported "
                f"for, got {shape[2]}x{shape[3]} ({self._path}). Set backend=torch"
            )

    def _make_zeros(self, name: str, shape: tuple[int, ...]) -> Any:
        sizes = dict(zip(("batch", "channels", "height", "width"), shape, strict=True))
        state = [n if isinstance(n, int) else sizes[n] for n in self._shapes[name]]
        return self._place(np.zeros(state, np.float32))

    def _place(self, value: np.ndarray) -> Any:
        return self._ort.OrtValue.ortvalue_from_numpy(value, self._kind, self._device_id)


def _import_runtime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise RuntimeError(
            f"expected the package onnxruntime for backend=onnx, got: {error}. "
            "Do pip install 'vqe[export]'"
        ) from error


def _choose_providers(ort: Any, device: str) -> tuple[str, int, list]:
    kind, _, number = device.partition(":")
    there = ort.get_available_providers()
    if kind == "cpu" or (kind == "auto" and CUDA not in there):
        return "cpu", 0, [CPU]
    if kind not in ("auto", "cuda") or CUDA not in there:
        raise ValueError(
            f"expected a device that ONNX Runtime has ({', '.join(there)}), got {device!r}. "
            "For an NVIDIA GPU: pip install onnxruntime-gpu"
        )
    index = int(number or 0)
    return "cuda", index, [(CUDA, {"device_id": index}), CPU]
