"""A crop and the whole frame it was cut from: textures of the one, light of the other."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Crop:
    """Where the frames that a network is given lie in larger ones.

    Attributes:
        whole: the full frames, RGB [0,1] `[B,3,H0,W0]`, or `[B,T,3,H0,W0]` beside clips.
        box: `[B,4]`, top, left, height and width of the frames as fractions of the whole.
    """

    whole: Tensor
    box: Tensor

    def at(self, time: int) -> "Crop":
        """Return the crop of one frame of the clips; a whole without time stands for all."""
        return Crop(self.whole[:, time], self.box) if self.whole.ndim == 5 else self

    def flatten(self, frames_per_clip: int) -> "Crop":
        """Return the crop of clips taken as single frames, B * T of them."""
        whole = self.whole
        if whole.ndim == 4:
            whole = whole[:, None].expand(-1, frames_per_clip, -1, -1, -1)
        return Crop(whole.flatten(0, 1), self.box.repeat_interleave(frames_per_clip, dim=0))
