"""Enhancement networks, one file each: RGB frames in -> better frames of the same size out.

The contract of every network:
- `forward(frames_bchw)` takes float RGB in [0,1] and returns `[B,3,H,W]`; any H and W, odd ones
  too: a network that needs a multiple pads and crops by itself.
- A fresh network is the identity, so that epoch 0 scores like the input.
- The result is clamped to [0,1] in eval mode only: in training a pixel out of range keeps its
  gradient.
- It runs under fp16 and bf16 autocast, and each parameter has a gradient after the first
  optimizer step (those that look back in time: on clips).
- `functional_macs(height, width)` names the multiply-accumulates of one frame that a counter of
  convolutions and matrix products does not see (slicing, interpolation, per-pixel maps).

What a network may have beside it:
- Memory: `initial_state(batch, height, width)` returns a dict of zeros, batch first, and
  `forward(frames, state)` returns the enhanced frames and the next state; without a state each
  frame stands alone. Nothing is kept in the module.
- `sees_whole = True`: `forward(frames, crop=Crop(whole, box))` gives the same as cropping the
  enhanced whole, up to what convolutions see across the crop's border.
- `fuse()`: makes plain layers of what only training needs, in place.
- `no_weight_decay()`: names of parameters that weight decay is kept off, beside biases and norms.
- `luts()`: its look-up tables, `[K,3,N,N,N]`, for the regularisers of the loss.
"""

from vqe.models.base import Base
from vqe.models.bilateral_grid import BilateralGrid
from vqe.models.identity import Identity
from vqe.models.lut import Lut
from vqe.models.nano import Nano
from vqe.models.recurrent import Recurrent
from vqe.models.sample_conv import SampleConv

__all__ = ["Base", "BilateralGrid", "Identity", "Lut", "Nano", "Recurrent", "SampleConv"]
