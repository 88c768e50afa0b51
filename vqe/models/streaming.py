"""What the networks with memory share: arguments, the call, the clamp, smoothing over time."""

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from vqe.models.crop import Crop
from vqe.models.low_res import shrink

State = dict[str, Tensor]
DARK = 0.05  # in [0,1]: below it, changes are relative to this


class LowResContext(NamedTuple):
    """What a network knows of frames before it predicts anything."""

    small: Tensor  # [B,3,low_res,low_res]
    same_scene: Tensor  # [B,1,1,1], 1 where the frame continues the scene of the state, else 0
    share: Tensor  # [B,1,1,1], of the past in what is predicted
    remembered: State  # what the next frame's context wants to know of this one


class StreamingNetwork(nn.Module):
    """A network that sees a video frame by frame and hands what it remembers to the caller.

    A subclass writes `initial_state`, `advance` and `functional_macs`. Its constructor names these
    arguments among its own, as its config does, and hands them on.

    Args:
        grid_size: cells, along each side of the frame, of what is predicted.
        low_res: side of the small square copy that it is predicted from, `grid_size` times a power
            of two >= 2.
        width: channels of the first layer; each halving of the resolution doubles them.
        smoothing: weight of the past in what is predicted, in [0,1); 0: each frame stands alone.
        scene_cut: mean difference of two thumbnails above which the past is forgotten, in (0,1).
        strength: share of the change that is made, in [0,1]; 0 gives the input.
        light_change: relative change of the light all over the frame from which on the past counts
            for nothing, above 0; less than that takes a part of its weight. None: smoothing does
            not ask for the light.
        global_halvings: of what our own layers see, before it is read as a whole; 0: not apart.
        encoder: name of a timm network that reads the small copy in place of our own layers.
        encoder_weights: file of its weights, safetensors or a state dict; None: random ones.

    Attributes:
        branch_options: those of its `LowResBranch`.
        shared: all of these but the strength, to build a network within this one from.

    Raises:
        ValueError: a number is out of its range.
    """

    sees_whole = True

    def __init__(
        self,
        *,
        grid_size: int,
        low_res: int,
        width: int,
        smoothing: float,
        scene_cut: float,
        strength: float,
        light_change: float | None = None,
        global_halvings: int = 0,
        encoder: str | None = None,
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= strength <= 1:
            raise ValueError(f"expected strength in [0,1], got {strength}")
        if not 0 <= smoothing < 1:
            raise ValueError(f"expected smoothing in [0,1), got {smoothing}")
        if not 0 < scene_cut < 1:
            raise ValueError(f"expected scene_cut in (0,1), got {scene_cut}")
        if light_change is not None and light_change <= 0:
            raise ValueError(f"expected light_change above 0 or null, got {light_change}")
        self.grid_size = grid_size
        self.low_res = low_res
        self.smoothing = smoothing
        self.scene_cut = scene_cut
        self.strength = strength
        self.light_change = light_change
        self.branch_options: dict[str, Any] = {
            "grid_size": grid_size,
            "low_res": low_res,
            "width": width,
            "global_halvings": global_halvings,
            "encoder": encoder,
            "encoder_weights": encoder_weights,
        }
        over_time = {"smoothing": smoothing, "scene_cut": scene_cut, "light_change": light_change}
        self.shared = self.branch_options | over_time

    def forward(
        self, frames_bchw: Tensor, state: State | None = None, crop: Crop | None = None
    ) -> Tensor | tuple[Tensor, State]:
        """Enhance the next frame of each video of the batch.

        Args:
            frames_bchw: RGB `[B,3,H,W]` in [0,1].
            state: what the call before returned, or `initial_state`; None where there is no video.
            crop: where the frames are parts of larger ones.

        Returns:
            The enhanced frames, clamped to [0,1] in eval mode; with a state, the next one too.
        """
        before = state
        if before is None:
            batch, _, height, width = frames_bchw.shape
            before = self.initial_state(batch, height, width)
        enhanced, after = self.advance(frames_bchw, before, crop)
        enhanced = self._finish(frames_bchw, enhanced)
        return enhanced if state is None else (enhanced, after)

    def _finish(self, frames_bchw: Tensor, enhanced: Tensor) -> Tensor:
        if not self.training:
            enhanced = enhanced.clamp(0, 1)
        if self.strength == 1:
            return enhanced
        blended = frames_bchw + self.strength * (enhanced - frames_bchw)
        return blended if self.training else blended.clamp(0, 1)

    def encode_context(self, frames_bchw: Tensor, state: State, crop: Crop | None) -> LowResContext:
        """Shrink the frames, or the whole ones of a crop, and compare them with the last scene."""
        small = shrink(frames_bchw if crop is None else crop.whole, self.low_res)
        thumbnail = 1 + F.avg_pool2d(small, self.low_res // self.grid_size)
        same_scene = find_same_scene(thumbnail, state["thumbnail"], self.scene_cut)
        share = self.smoothing * same_scene
        remembered = {"thumbnail": thumbnail}
        if self.light_change is not None:
            share = share * (1 - find_light_change(thumbnail, state["light"], self.light_change))
            remembered["light"] = smooth(thumbnail, state["light"], share)
        return LowResContext(small, same_scene, share, remembered)

    def initial_context(self, batch: int, like: Tensor) -> State:
        """Return what a first frame's context looks back on: zeros, `[B,3,g,g]` each.

        `thumbnail` is that of the frame before, `light` the light that was followed so far.
        """
        names = ("thumbnail",) if self.light_change is None else ("thumbnail", "light")
        shape = (batch, 3, self.grid_size, self.grid_size)
        return {name: like.new_zeros(shape) for name in names}

    def initial_state(self, batch: int, height: int, width: int) -> State:
        """Return the state before the first frame: zeros, batch first, by name."""
        raise NotImplementedError

    def advance(self, frames_bchw: Tensor, state: State, crop: Crop | None) -> tuple[Tensor, State]:
        """Return the enhanced frames, of full strength and not clamped, and the next state."""
        raise NotImplementedError


def find_same_scene(thumbnail: Tensor, last: Tensor, scene_cut: float) -> Tensor:
    """Return 1 where a scene continues and 0 where one begins, `[B,1,1,1]`.

    Args:
        thumbnail: of this frame plus 1, `[B,3,h,w]` in [1,2].
        last: of the frame before; zeros, where nothing was seen, are always a cut.
        scene_cut: the mean difference above which a scene begins, below 1.
    """
    change = (thumbnail - last).abs().mean((1, 2, 3), keepdim=True)
    return (change <= scene_cut).to(thumbnail.dtype)


def find_light_change(thumbnail: Tensor, followed: Tensor, light_change: float) -> Tensor:
    """Return how far the light has left what was followed, `[B,1,1,1]` in [0,1].

    Each cell's relative change counts up to `light_change`, and those up and down cancel: light
    changes all cells alike, a person who walks through changes some, and noise none on average.

    Args:
        thumbnail: of this frame plus 1, `[B,3,h,w]`.
        followed: mean of those before, likewise.
        light_change: where a cell's change counts in full.
    """
    relative = (thumbnail - followed) / (followed - 1).clamp(min=DARK)
    counted = (relative / light_change).clamp(-1, 1)
    return counted.mean((2, 3), keepdim=True).abs().mean(1, keepdim=True)


def smooth(current: Tensor, last: Tensor, share: Tensor) -> Tensor:
    """Return an exponential mean: the current values and a share of the last ones."""
    return current + share * (last - current)
