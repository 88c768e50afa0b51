"""What the networks with memory share: arguments, the call, the clamp, smoothing over time."""

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from vqe.models.crop import Crop
from vqe.models.low_res import shrink

State = dict[str, Tensor]


class LowResContext(NamedTuple):
    """What a network knows of frames before it predicts anything."""

    small: Tensor  # [B,3,low_res,low_res]
    thumbnail: Tensor  # [B,3,grid_size,grid_size], plus 1
    same_scene: Tensor  # [B,1,1,1], 1 where the frame continues the scene of the state, else 0


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

    Attributes:
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
    ) -> None:
        super().__init__()
        if not 0 <= strength <= 1:
            raise ValueError(f"expected strength in [0,1], got {strength}")
        if not 0 <= smoothing < 1:
            raise ValueError(f"expected smoothing in [0,1), got {smoothing}")
        if not 0 < scene_cut < 1:
            raise ValueError(f"expected scene_cut in (0,1), got {scene_cut}")
        self.grid_size = grid_size
        self.low_res = low_res
        self.smoothing = smoothing
        self.scene_cut = scene_cut
        self.strength = strength
        sizes = {"grid_size": grid_size, "low_res": low_res, "width": width}
        self.shared: dict[str, Any] = sizes | {"smoothing": smoothing, "scene_cut": scene_cut}

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
        return LowResContext(small, thumbnail, same_scene)

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


def smooth(current: Tensor, last: Tensor, share: Tensor) -> Tensor:
    """Return an exponential mean: the current values and a share of the last ones."""
    return current + share * (last - current)
