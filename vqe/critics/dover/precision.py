"""Keep norms and heads in float32 when a critic is cast to bfloat16.

Rounding activations averages out over a score map; rounding the weights that touch every token in
the same way would shift the score.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class KeepFloat32:
    """Mix in before a module: casts to a smaller type move its weights and leave their type."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        def move(value: Tensor) -> Tensor:
            cast = fn(value)
            return value.to(cast.device) if cast.dtype.itemsize < value.dtype.itemsize else cast

        return super()._apply(move, recurse)


class LayerNorm(KeepFloat32, nn.LayerNorm):
    """Normalise the last axis; the result has the type of the input."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [...,C] to the same shape."""
        if x.dtype == self.weight.dtype or x.device.type == "cpu":  # there types may differ
            return super().forward(x)
        return super().forward(x.to(torch.float32)).to(x.dtype)
