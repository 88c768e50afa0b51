"""Recurrent: noise averaged away over time where nothing moves, with one frame of memory.

After M. Maggioni et al., "Efficient Multi-Stage Video Denoising with Recurrent Spatio-Temporal
Fusion" (EMVD), CVPR 2021: fuse the frame with what is remembered, by a predicted gate; denoise
the result; refine it, which brings back what denoising took. There is no motion compensation:
where the frames differ, the gate lets the new one through. In place of the paper's invertible
transform, blocks of 4x4 pixels are channels, and nano changes light and colour between
fusing and denoising, so that fusing compares frames as the camera gave them.
"""

import torch
from torch import Tensor, nn

from vqe.models.crop import Crop
from vqe.models.nano import Nano
from vqe.models.patterns import BLOCK_CHANNELS, stack_blocks
from vqe.models.streaming import State, StreamingNetwork
from vqe.models.texture import SHRINK, RepConv, from_blocks, fuse_convs, stack_convs, to_blocks

GATES = SHRINK**2  # one for each pixel of a block
MEMORY_GAIN = 10  # the share of the past is learnt that much faster than other parameters


class Recurrent(StreamingNetwork):
    """Fuse with the past, change light and colour, denoise, refine.

    The arguments that follow these are those of every `StreamingNetwork`.

    Args:
        channels: of the denoising layers.
        layers: for denoising, before the last one; odd with `skips`.
        skips: as in `Base`.
        gate_channels: of the layers that predict how much is new, and how much is refined.
    """

    def __init__(
        self,
        *,
        channels: int = 48,
        layers: int = 6,
        skips: bool = False,
        gate_channels: int = 32,
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
        if min(channels, layers, gate_channels) < 1:
            raise ValueError(
                "expected channels, layers and gate_channels >= 1, "
                f"got {channels}, {layers} and {gate_channels}"
            )
        self.nano = Nano(**self.shared)
        self.gate = _predict_gates(2 * BLOCK_CHANNELS, gate_channels)
        self.memory = nn.Parameter(torch.zeros(1))
        self.denoise = (
            stack_blocks(GATES, channels, layers)
            if skips
            else stack_convs(BLOCK_CHANNELS + GATES, channels, BLOCK_CHANNELS, layers)
        )
        self.refine = _predict_gates(2 * BLOCK_CHANNELS, gate_channels)

    def initial_state(self, batch: int, height: int, width: int) -> State:
        """Return nano's state and zeros for `fused` [B,3,H,W], the remembered frame."""
        fused = self.memory.new_zeros(batch, 3, height, width)
        return self.nano.initial_state(batch, height, width) | {"fused": fused}

    def advance(self, frames_bchw: Tensor, state: State, crop: Crop | None) -> tuple[Tensor, State]:
        """Return the frames with light, colour and texture changed, and the next state."""
        size = frames_bchw.shape[-2:]
        context = self.nano.encode_context(frames_bchw, state, crop)
        kept = self._gate_past(frames_bchw, state["fused"]) * context.same_scene
        fused = frames_bchw + from_blocks(kept, *size) * (state["fused"] - frames_bchw)
        mapped, nano_state = self.nano.map_colours(fused, context, state, crop)
        blocks = to_blocks(mapped)
        noise = self.denoise(torch.cat([blocks, kept], dim=1))
        share = torch.sigmoid(self.refine(torch.cat([blocks, noise], dim=1)))
        residual = from_blocks(share, *size) * from_blocks(noise, *size)
        return mapped + residual, nano_state | {"fused": fused}

    def _gate_past(self, frames: Tensor, fused: Tensor) -> Tensor:
        """Return the share of the past in each pixel, 1 - g of the paper, `[B,16,h,w]`."""
        now, before = to_blocks(frames), to_blocks(fused)
        gates = torch.sigmoid(self.gate(torch.cat([now, (now - before).abs()], dim=1)))
        # a tensor: torch 2.11 cannot export the product of a parameter and a number
        gain = self.memory.new_full((1,), MEMORY_GAIN)
        return torch.tanh(gain * self.memory) * gates.float()

    def fuse(self) -> "Recurrent":
        """Make plain convolutions of all layers, in place; the result stays the same."""
        return fuse_convs(self)

    def functional_macs(self, height: int, width: int) -> dict[str, int]:
        """Count what a frame costs beside layers and matrix products."""
        macs = self.nano.functional_macs(height, width)
        return macs | {"fuse": 3 * height * width, "refine": 3 * height * width}


def _predict_gates(channels_in: int, channels: int) -> nn.Sequential:
    """Build layers that predict a number for each pixel of a block, before the sigmoid."""
    return nn.Sequential(
        RepConv(channels_in, channels),
        nn.ReLU(),
        RepConv(channels, channels),
        nn.ReLU(),
        nn.Conv2d(channels, GATES, 3, padding=1),
    )
