"""Nano: a coarse grid of colour maps, upsampled in two dimensions: real time on two CPU cores.

After M. Gharbi et al., "Deep Bilateral Learning for Real-Time Image Enhancement", SIGGRAPH 2017,
without the axis of brightness, whose look-up costs a CPU most of the frame. In its place each map
has a curve beside its 3x4 affine part: x(1 - x), the step of C. Guo et al., "Zero-Reference Deep
Curve Estimation for Low-Light Image Enhancement" (Zero-DCE), CVPR 2020. Exposure and white
balance, which are gains of linear light, are close to affine on sRGB values; gamma is a curve.
"""

from torch import Tensor, nn

from vqe.models.colour_maps import MAP_CHANNELS, apply_colour_maps, count_colour_map_macs
from vqe.models.crop import Crop
from vqe.models.low_res import LowResBranch, count_shrink_macs
from vqe.models.streaming import LowResContext, State, StreamingNetwork, smooth


class Nano(StreamingNetwork):
    """Predict a grid of colour maps from a small copy of the frame, and apply it at full size.

    Its arguments are those of every `StreamingNetwork`.
    """

    def __init__(
        self,
        *,
        grid_size: int = 16,
        low_res: int = 128,
        width: int = 16,
        smoothing: float = 0.8,
        scene_cut: float = 0.1,
        strength: float = 1.0,
        light_change: float | None = None,
        global_halvings: int = 0,
        encoder: str | None = None,
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__(
            grid_size=grid_size,
            low_res=low_res,
            width=width,
            smoothing=smoothing,
            scene_cut=scene_cut,
            strength=strength,
            light_change=light_change,
            global_halvings=global_halvings,
            encoder=encoder,
            encoder_weights=encoder_weights,
        )
        self.branch = LowResBranch(**self.branch_options)
        self.to_maps = nn.Conv2d(self.branch.features, MAP_CHANNELS, 1)
        nn.init.zeros_(self.to_maps.weight)
        nn.init.zeros_(self.to_maps.bias)

    def initial_state(self, batch: int, height: int, width: int) -> State:
        """Return zeros: those of `initial_context`, and `maps` [B,15,g,g]."""
        side, weight = (self.grid_size, self.grid_size), self.to_maps.weight
        maps = weight.new_zeros(batch, MAP_CHANNELS, *side)
        return self.initial_context(batch, weight) | {"maps": maps}

    def advance(self, frames_bchw: Tensor, state: State, crop: Crop | None) -> tuple[Tensor, State]:
        """Return the frames with light and colour changed, not clamped, and the next state."""
        context = self.encode_context(frames_bchw, state, crop)
        return self.map_colours(frames_bchw, context, state, crop)

    def map_colours(
        self, frames_bchw: Tensor, context: LowResContext, state: State, crop: Crop | None
    ) -> tuple[Tensor, State]:
        """Map the colours of the frames by their context; return the next state."""
        maps = self.to_maps(self.branch(context.small)).float()
        maps = smooth(maps, state["maps"], context.share)
        mapped = apply_colour_maps(maps, frames_bchw, None if crop is None else crop.box)
        return mapped, context.remembered | {"maps": maps}

    def functional_macs(self, height: int, width: int) -> dict[str, int]:
        """Count what a frame costs beside layers and matrix products."""
        return count_shrink_macs(self.low_res) | count_colour_map_macs(height * width)
