"""A frozen critic on a device -> its backbones' layers in the precision chosen for that device.

Norms, heads and what DOVER's blocks add to stay in float32: rounded at every addition, it shifts a
score five times as far as rounded weights and products do.
"""

import torch
from torch import Tensor, nn

from vqe.critics.feature_cache import digest_weights
from vqe.device import choose_device, choose_dtype


class LayerNorm(nn.LayerNorm):
    """Normalise the last axis in float32; the result has the type of the input."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [...,C] to the same shape."""
        if x.dtype == self.weight.dtype or x.device.type == "cpu":  # there types may differ
            return super().forward(x)
        return super().forward(x.to(torch.float32)).to(x.dtype)


def cast_backbones(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Cast the layers of a network's `backbones()` in place, norms excepted, and return it."""
    for backbone in network.backbones():
        for layer in backbone.modules():
            if not isinstance(layer, nn.LayerNorm):
                for weight in layer.parameters(recurse=False):
                    weight.data = weight.data.to(dtype)
    return network


class FrozenCritic(nn.Module):
    """What both frozen critics share: they compute in the precision chosen for their device.

    A subclass holds its network as its only child, and calls `settle` before it computes.

    Args:
        precision: see `vqe.device.choose_dtype`.

    Raises:
        ValueError: there is no such precision, or nothing here computes in it.
    """

    def __init__(self, precision: str) -> None:
        super().__init__()
        device = choose_device("auto")
        if precision != "bf16" or device.type == "cpu":  # a GPU beside it: `settle` knows which
            choose_dtype(precision, device)
        self.precision = precision
        self._settled_on: torch.device | None = None
        self._digest: str | None = None

    def settle(self) -> None:
        """Cast the network for the device that it is on, unless that is done."""
        device = next(self.parameters()).device
        if device != self._settled_on:
            dtype = choose_dtype(self.precision, device)
            with torch.inference_mode(False):  # the weights outlive the mode they were cast in
                for network in self.float().children():
                    cast_backbones(network, dtype)
            self._settled_on, self._digest = device, None

    @property
    def weights_digest(self) -> str:
        """Digest of the weights as they compute, precision included."""
        self.settle()
        self._digest = self._digest or digest_weights(self)
        return self._digest
