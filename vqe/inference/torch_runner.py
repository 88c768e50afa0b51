"""Planes of consecutive frames -> enhanced planes, by PyTorch."""

import copy

import numpy as np
import torch
from torch import nn

from vqe.device import choose_device
from vqe.export.complexity import fuse
from vqe.models.enhancement import enhance, has_memory

PRECISIONS = {"32": None, "16": torch.float16, "bf16": torch.bfloat16}


class TorchRunner:
    """Run a network on one frame after the other and hand on what it remembers.

    Args:
        network: in eval mode; stays as it is.
        device: auto, cpu, cuda, cuda:1, ...
        precision: 32, 16 or bf16, of what autocast covers.
        compiled: whether torch.compile builds it, at the first frames.

    Raises:
        ValueError: there is no such device or precision.
    """

    def __init__(
        self, network: nn.Module, *, device: str, precision: str, compiled: bool = False
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"expected precision of {', '.join(PRECISIONS)}, got {precision}")
        self.device = choose_device(device)
        self._dtype = PRECISIONS[precision]
        self._network = fuse(copy.deepcopy(network)).eval().to(self.device)
        if compiled:
            self._network.compile()
        self._state: dict[str, torch.Tensor] | None = None

    @torch.inference_mode()
    def run(self, planes: np.ndarray) -> np.ndarray:
        """Enhance the next frame.

        Args:
            planes: contiguous float32 RGB [3,H,W] in [0,1].

        Returns:
            The same.
        """
        frames = torch.from_numpy(planes)[None].to(self.device)
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not None):
            enhanced = self._advance(frames)
        return enhanced[0].float().cpu().numpy()

    def _advance(self, frames: torch.Tensor) -> torch.Tensor:
        if not has_memory(self._network):
            return enhance(self._network, frames)
        if self._state is None:
            self._state = self._network.initial_state(1, *frames.shape[-2:])
        enhanced, self._state = self._network(frames, self._state)
        return enhanced

    def reset(self) -> None:
        """Forget the frames so far."""
        self._state = None

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return what is remembered, by name; nothing before the first frame."""
        state = self._state or {}
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from what `get_state` returned."""
        self._state = {k: v.to(self.device) for k, v in state.items()} if state else None
