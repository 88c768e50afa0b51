"""The network of a name, ready to run: frames -> enhanced frames, files -> enhanced files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqe.finite import check_frames
from vqe.inference.onnx_runner import OnnxRunner
from vqe.inference.torch_runner import TorchRunner
from vqe.inference.weights import find_weights
from vqe.pixels import from_unit, to_unit

if TYPE_CHECKING:
    from vqe.inference.video_file import VideoOptions, VideoReport

BACKENDS = ("torch", "onnx")


class Enhancer:
    """Enhance the frames of a video one after the other, or whole files.

        enhancer = Enhancer("runs/best.ckpt")
        better = enhancer.frame(rgb_u8)

    Args:
        weights: a checkpoint of `train_vqe.py`, a `network.onnx`, or the name of a shipped
            network; None where `network` needs none.
        backend: torch or onnx; None: onnx for an ONNX file, else torch.
        device: auto (the GPU if there is one), cpu, cuda, cuda:1, ...
        precision: 32, 16 or bf16; PyTorch only.
        strength: share of the change that is made, in [0,1]; None: the network's own.
        compiled: whether torch.compile builds the network, at the first frames; PyTorch only.
        network: config of your own network, or one without parameters.

    Raises:
        FileNotFoundError: there is no such weights.
        ValueError: an option does not fit.
        RuntimeError: onnxruntime is not installed.
    """

    def __init__(
        self,
        weights: str | Path | None,
        *,
        backend: str | None = None,
        device: str = "auto",
        precision: str = "32",
        strength: float | None = None,
        compiled: bool = False,
        network: dict[str, Any] | None = None,
    ) -> None:
        if strength is not None and not 0 <= strength <= 1:
            raise ValueError(f"expected strength in [0,1], got {strength}")
        found = find_weights(weights, network)
        backend = backend or ("onnx" if found.onnx is not None else "torch")
        if backend not in BACKENDS:
            raise ValueError(f"expected backend of {', '.join(BACKENDS)}, got {backend}")
        if backend == "torch" and found.network is None:
            raise ValueError(f"expected backend=onnx for an ONNX file, got torch ({weights})")
        if backend == "onnx" and str(precision) != "32":
            raise ValueError(f"expected precision=32 with backend=onnx, got {precision}")
        if backend == "onnx" and compiled:
            raise ValueError(
                "expected model_vqe.compiled=false with backend=onnx, got true. Set backend=torch"
            )
        self.strength = strength
        self.name = found.name
        self.identity = {
            "weights": found.digest,
            "backend": backend,
            "precision": str(precision),
            "strength": strength,
        }
        if compiled:
            self.identity["compiled"] = True  # left out, as in older records, where it is not
        if backend == "onnx":
            self._runner: OnnxRunner | TorchRunner = OnnxRunner(found.to_onnx(), device=device)
        else:
            self._runner = TorchRunner(
                found.network, device=device, precision=str(precision), compiled=compiled
            )
        self._size: tuple[int, ...] | None = None

    def frame(self, rgb: np.ndarray) -> np.ndarray:
        """Enhance the next frame of a video; `reset` begins another.

        Args:
            rgb: RGB [H,W,3], uint8 or uint16.

        Returns:
            The same shape and type.

        Raises:
            ValueError: another shape or type.
        """
        if rgb.dtype not in (np.uint8, np.uint16) or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(f"expected uint8 or uint16 HxWx3, got {rgb.dtype} {rgb.shape}")
        return from_unit(self.planes(to_unit(rgb)), rgb.dtype)

    def planes(self, planes: np.ndarray) -> np.ndarray:
        """Enhance the next frame, contiguous float32 RGB [3,H,W] in [0,1], as is the result.

        Raises:
            NonFiniteError: the network gave NaN.
        """
        if planes.shape != self._size:
            self.reset()
            self._size = planes.shape
        enhanced = self._runner.run(planes)
        check_frames(enhanced, self.name)
        if self.strength is not None and self.strength < 1:
            enhanced = planes + np.float32(self.strength) * (enhanced - planes)
        return enhanced

    def reset(self) -> None:
        """Forget the frames so far: the next one begins a video."""
        self._size = None
        self._runner.reset()

    def get_state(self) -> dict[str, Any]:
        """Return what the network remembers, tensors by name."""
        return self._runner.get_state()

    def set_state(self, state: dict[str, Any], size: tuple[int, int]) -> None:
        """Continue from what `get_state` returned, with frames of this height and width."""
        self._size = (3, *size)
        self._runner.set_state(state)

    def video(
        self, source: str | Path, target: str | Path, options: VideoOptions | None = None
    ) -> VideoReport:
        """Enhance a video file; see `vqe.inference.video_file.enhance_video`."""
        from vqe.inference.video_file import VideoOptions, enhance_video

        return enhance_video(Path(source), Path(target), self, options or VideoOptions())
