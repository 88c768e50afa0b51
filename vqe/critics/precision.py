"""A frozen critic on a device -> its backbones' layers in the precision chosen for that device.

Norms, heads and what DOVER's blocks add to stay in float32: rounded at every addition, it shifts a
score five times as far as rounded weights and products do.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vqe.critics.feature_cache import digest_weights
from vqe.device import PRECISIONS, choose_device, float32_products, settle_precision

log = logging.getLogger(__name__)


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

    A subclass holds its network as its only child, and computes inside `computing`.

    Args:
        precision: see `vqe.device.settle_precision`.

    Attributes:
        gpu_precision: what `auto` means on a GPU.
        accuracy: how far from fp32 that is, for the log.
        computes_in: `fp32`, `tf32`, `bf16` or `fp16`, once it has settled on a device.

    Raises:
        ValueError: there is no such precision, or nothing here computes in it.
    """

    gpu_precision = "bf16"
    accuracy = ""

    def __init__(self, precision: str) -> None:
        super().__init__()
        device = choose_device("auto")
        if precision in ("auto", "fp32") or device.type == "cpu" or precision not in PRECISIONS:
            settle_precision(precision, device)  # a GPU beside it: `settle` knows which
        self.precision = precision
        self.computes_in = "fp32"
        self._settled_on: torch.device | None = None
        self._digest: str | None = None

    def settle(self) -> None:
        """Cast the network for the device that it is on, unless that is done."""
        device = next(self.parameters()).device
        if device != self._settled_on:
            self.computes_in = settle_precision(self.precision, device, self.gpu_precision)
            dtype = torch.bfloat16 if self.computes_in == "bf16" else torch.float32
            with torch.inference_mode(False):  # the weights outlive the mode they were cast in
                for network in self.float().children():
                    cast_backbones(network, dtype)
            self._settled_on, self._digest = device, None
            log.info("%s computes in %s on %s%s", *self._describe_choice())

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Settle, and hold float32 products to the precision chosen, inside of this."""
        self.settle()
        with float32_products(self._settled_on, tf32=self.computes_in == "tf32"):
            yield

    def describe(self) -> dict[str, str]:
        """Return what a reader of the scores wants to know of how they were computed."""
        self.settle()
        device = self._settled_on
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return {"precision": self.computes_in, "device": name, "weights": self.weights_digest}

    def _describe_choice(self) -> tuple[str, str, str, str]:
        chosen = self.precision == "auto" and self.computes_in == self.gpu_precision
        why = f" (precision=auto): {self.accuracy}" if chosen and self.accuracy else ""
        return type(self).__name__.removeprefix("Frozen"), self.computes_in, self._settled_on, why

    @property
    def weights_digest(self) -> str:
        """Digest of the weights as they compute, precision included."""
        self.settle()
        if self._digest is None:
            # Of fp32 and bf16 the weights themselves tell.
            suffix = {"tf32": "-tf32", "fp16": "-fp16"}.get(self.computes_in, "")
            self._digest = digest_weights(self) + suffix
        return self._digest


def identify_critic(critic: nn.Module, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the numbers of a critic on its device: options, weights, precision.

    Args:
        critic: one that can `describe` itself.
        config: what it was built from, plain values.
    """
    described = {**config, "weights": None, **critic.describe()}
    return {name: value for name, value in described.items() if name != "device"}
