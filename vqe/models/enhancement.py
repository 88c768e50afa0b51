"""Frames or clips -> enhanced ones, by a network of frames, one with memory or one of clips.

A network with memory has `initial_state(batch, height, width)`; it is called frame by frame,
`network(frames, state) -> (enhanced, state)`. One that says `takes_clips = True` is called with
clips [B,T,3,H,W] and returns the same shape. Any other is called with frames [B,3,H,W]. One that
says `sees_whole = True` is told where a crop was cut from, by the argument `crop`.
"""

import torch
from torch import nn

from vqe.models.crop import Crop
from vqe.models.streaming import State


def enhance(network: nn.Module, frames: torch.Tensor, crop: Crop | None = None) -> torch.Tensor:
    """Enhance frames or clips that each begin anew; the shape stays.

    Args:
        network: of any kind.
        frames: RGB [0,1] [B,3,H,W], or clips [B,T,3,H,W].
        crop: where the frames were cut from; networks that see no more than a crop do without.
    """
    if takes_clips(network):
        return network(frames if frames.ndim == 5 else frames[:, None]).reshape(frames.shape)
    if not getattr(network, "sees_whole", False):
        crop = None
    if frames.ndim == 4:
        return network(frames) if crop is None else network(frames, crop=crop)
    if has_memory(network):
        state = network.initial_state(len(frames), *frames.shape[-2:])
        return enhance_sequence(network, frames, state, crop)[0]
    flat = frames.flatten(0, 1)
    done = network(flat) if crop is None else network(flat, crop=crop.flatten(frames.shape[1]))
    return done.reshape(frames.shape)


def enhance_sequence(
    network: nn.Module, clips: torch.Tensor, state: State, crop: Crop | None = None
) -> tuple[torch.Tensor, State]:
    """Enhance clips [B,T,3,H,W] frame by frame, from a state on; return the last state too."""
    done = []
    for time, frames in enumerate(clips.unbind(1)):
        options = {} if crop is None else {"crop": crop.at(time)}
        enhanced, state = network(frames, state, **options)
        done.append(enhanced)
    return torch.stack(done, dim=1), state


class VideoEnhancer:
    """Enhance videos, each in batches of consecutive frames; batches of several may take turns."""

    def __init__(self) -> None:
        self.begin()

    def begin(self, lanes: int = 1) -> None:
        """Forget all videos; remember so many from here on, those that were seen last."""
        self._lanes = lanes
        self._states: dict[tuple[int, ...], State] = {}  # by video and size, the last seen behind

    def enhance(self, network: nn.Module, frames: torch.Tensor, video: int) -> torch.Tensor:
        """Enhance the next frames, RGB [0,1] [B,3,H,W], of a video that has this number."""
        if not has_memory(network):
            return enhance(network, frames[None])[0]
        here = (video, *frames.shape[-2:])
        state = self._states.pop(here, None)
        if state is None:
            state = network.initial_state(1, *frames.shape[-2:])
        enhanced, state = enhance_sequence(network, frames[None], state)
        for key in [key for key in self._states if key[0] == video]:
            del self._states[key]  # of another size: the video began anew
        while len(self._states) >= self._lanes:
            del self._states[next(iter(self._states))]
        self._states[here] = {name: value.detach() for name, value in state.items()}
        return enhanced[0]


def flatten_clips(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn a batch of clips, [B,T,...], into one of frames, [B*T,...]; one of frames stays."""
    if batch["x"].ndim != 5:
        return batch
    return {name: values.flatten(0, 1) for name, values in batch.items()}


def takes_clips(network: nn.Module) -> bool:
    """Whether a network is called with clips."""
    return getattr(network, "takes_clips", False)


def has_memory(network: nn.Module) -> bool:
    """Whether a network hands on what it remembers of a video."""
    return hasattr(network, "initial_state")
