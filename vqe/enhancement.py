"""Frames or clips -> enhanced ones, by a network of frames or one of clips.

A network that says `takes_clips = True` is called with clips [B,T,3,H,W], consecutive frames in
time order, and returns the same shape. One that remembers what it saw has a method `reset_state()`,
called before each clip that begins anew; a longer video comes as clips of B = 1 without a reset
between them. Any other network is called with frames [B,3,H,W].
"""

import torch
from torch import nn


def enhance(network: nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """Enhance RGB [0,1] [B,3,H,W], or clips [B,T,3,H,W] that each begin anew; the shape stays."""
    if not takes_clips(network):
        return network(frames.flatten(0, -4)).reshape(frames.shape)
    reset_state(network)
    enhanced = network(frames if frames.ndim == 5 else frames[:, None])
    reset_state(network)  # or the graph of this step would outlive it
    return enhanced.reshape(frames.shape)


class VideoPass:
    """Enhance videos one after the other, each in batches of consecutive frames."""

    def __init__(self) -> None:
        self._last: tuple[int, ...] | None = None

    def begin(self) -> None:
        """Forget the last video."""
        self._last = None

    def enhance(self, network: nn.Module, frames: torch.Tensor, video: int) -> torch.Tensor:
        """Enhance the next frames, RGB [0,1] [B,3,H,W], of a video that has this number."""
        if not takes_clips(network):
            return network(frames)
        here = (video, *frames.shape[-2:])
        if here != self._last:
            reset_state(network)
        self._last = here
        return network(frames[None])[0]


def flatten_clips(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn a batch of clips, [B,T,...], into one of frames, [B*T,...]; one of frames stays."""
    if batch["x"].ndim != 5:
        return batch
    return {name: values.flatten(0, 1) for name, values in batch.items()}


def takes_clips(network: nn.Module) -> bool:
    """Whether a network is called with clips."""
    return getattr(network, "takes_clips", False)


def reset_state(network: nn.Module) -> None:
    """Let a network forget the frames it saw, if it can remember any."""
    if hasattr(network, "reset_state"):
        network.reset_state()
