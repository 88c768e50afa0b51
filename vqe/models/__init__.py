"""Enhancement networks, one file each: RGB frames in -> better frames of the same size out.

The contract of every network:
- `forward(frames_bchw)` takes float RGB in [0,1] and returns `[B,3,H,W]`; any H and W, odd ones
  too: a network that needs a multiple pads and crops by itself.
- A fresh network is the identity, so that epoch 0 scores like the input.
- The result is clamped to [0,1] in eval mode only: in training a pixel out of range keeps its
  gradient.
- It runs under fp16 and bf16 autocast, and each parameter has a gradient after the first
  optimizer step.
- `functional_macs(height, width)` names the multiply-accumulates of one frame that a counter of
  convolutions and matrix products does not see (slicing, interpolation, per-pixel maps).
"""

from vqe.models.bilateral_grid import BilateralGrid
from vqe.models.identity import Identity
from vqe.models.sample_conv import SampleConv

__all__ = ["BilateralGrid", "Identity", "SampleConv"]
