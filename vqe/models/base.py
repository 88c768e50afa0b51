"""Base: nano's light and colour, and a residual for noise and sharpness.

The residual works on blocks of 4x4 pixels, as W. Shi et al., "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016.
It sees the frame after nano: what was dark is bright there, and its noise with it.
"""

from torch import Tensor

from vqe.models.crop import Crop
from vqe.models.nano import Nano
from vqe.models.patterns import BLOCK_CHANNELS, stack_blocks
from vqe.models.streaming import State, StreamingNetwork
from vqe.models.texture import from_blocks, fuse_convs, stack_convs, to_blocks


class Base(StreamingNetwork):
    """Change light and colour by a coarse grid, then add a residual of textures.

    The arguments that follow these are those of every `StreamingNetwork`.

    Args:
        channels: of the residual's layers.
        layers: before the last one; odd with `skips`.
        skips: pairs of layers add to what they read, and weights are those of a block's patterns.
            False: a plain stack of re-parameterised layers, as in networks of before, which barely
            learns.
    """

    def __init__(
        self,
        *,
        channels: int = 48,
        layers: int = 7,
        skips: bool = False,
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
        if channels < 1 or layers < 1:
            raise ValueError(f"expected channels and layers >= 1, got {channels} and {layers}")
        self.nano = Nano(**self.shared)
        self.residual = (
            stack_blocks(0, channels, layers)
            if skips
            else stack_convs(BLOCK_CHANNELS, channels, BLOCK_CHANNELS, layers)
        )

    def initial_state(self, batch: int, height: int, width: int) -> State:
        """Return nano's state."""
        return self.nano.initial_state(batch, height, width)

    def advance(self, frames_bchw: Tensor, state: State, crop: Crop | None) -> tuple[Tensor, State]:
        """Return the frames with light, colour and texture changed, and the next state."""
        mapped, state = self.nano.advance(frames_bchw, state, crop)
        residual = self.residual(to_blocks(mapped))
        return mapped + from_blocks(residual, *mapped.shape[-2:]), state

    def fuse(self) -> "Base":
        """Make plain convolutions of the residual, in place; the result stays the same."""
        return fuse_convs(self)

    def functional_macs(self, height: int, width: int) -> dict[str, int]:
        """Count what nano does beside its layers."""
        return self.nano.functional_macs(height, width)
