"""What the networks with memory share: the call, `strength`, the clamp, smoothing over time."""

from torch import Tensor, nn

from vqe.models.crop import Crop

State = dict[str, Tensor]


class StreamingNetwork(nn.Module):
    """A network that sees a video frame by frame and hands what it remembers to the caller.

    A subclass writes `initial_state`, `advance` and `functional_macs`.

    Args:
        strength: share of the change that is made, in [0,1]; 0 gives the input.
        smoothing: weight of the past in predicted parameters, in [0,1).
        scene_cut: mean difference of two thumbnails above which the past is forgotten, in (0,1).

    Raises:
        ValueError: a number is out of its range.
    """

    sees_whole = True

    def __init__(self, *, strength: float, smoothing: float, scene_cut: float) -> None:
        super().__init__()
        if not 0 <= strength <= 1:
            raise ValueError(f"expected strength in [0,1], got {strength}")
        if not 0 <= smoothing < 1:
            raise ValueError(f"expected smoothing in [0,1), got {smoothing}")
        if not 0 < scene_cut < 1:
            raise ValueError(f"expected scene_cut in (0,1), got {scene_cut}")
        self.strength = strength
        self.smoothing = smoothing
        self.scene_cut = scene_cut

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
