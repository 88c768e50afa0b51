"""Run the critics in bfloat16 where that is chosen, with norms and heads kept in float32.

DOVER keeps what its blocks add to in float32 too: rounded at every addition, it shifts a score
five times as far as rounded weights and products do.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vqe.device import is_bf16_native


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


PRECISIONS = ("auto", "fp32", "bf16")


class ChosenPrecision:
    """Mix in before a module: it computes in the `precision` chosen, on whatever device it is.

    `auto` is bf16 on a GPU that computes it natively, else fp32. What was cast to bf16 stays so.
    """

    precision = "auto"

    def _choose_precision(self, precision: str) -> None:
        if precision not in PRECISIONS:
            raise ValueError(
                f"expected precision to be one of {', '.join(PRECISIONS)}, got {precision!r}"
            )
        self.precision = precision
        self._apply(lambda value: value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        super()._apply(fn, recurse)
        device = next(self.parameters()).device
        if self.precision == "bf16" or (self.precision == "auto" and is_bf16_native(device)):
            super()._apply(lambda v: v.to(torch.bfloat16) if v.is_floating_point() else v)
        return self
