"""UNetLite written plainly, the yardstick for speed and a second opinion on results.

Batch norms as layers of their own, both frames encoded at every call. Works on a state dict; shares
no code with `vqe.critics.unetlite`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

DEPTHS = (2, 2, 3, 3, 3)
EPS = 1e-3


class PlainVQA:
    """Compare two frames with the weights in a state dict."""

    def __init__(self, state: dict[str, Tensor]):
        self.state = state

    def __call__(self, x1: Tensor, x2: Tensor, d1: Tensor, d2: Tensor) -> tuple[Tensor, ...]:
        """Return (p, a1, a2) for challenge range frames [B,3,H,W] and DOVER scores [B,1]."""
        first = torch.cat([self.encode(x1), d1], 1)
        second = torch.cat([self.encode(x2), d2], 1)
        p = torch.cat([first, second], 1)
        for layer in (1, 4, 7, 10, 13):
            p = self.linear(f"main_head.{layer}", p if layer == 1 else p.relu())
        a1, a2 = (
            self.linear("aux_head.2", self.linear("aux_head.0", f).relu()) for f in (first, second)
        )
        return p.clamp(0, 1), a1.clamp(-1, 1), a2.clamp(-1, 1)

    def encode(self, x: Tensor) -> Tensor:
        """Encode frames as [B,512]."""
        for level, depth in enumerate(DEPTHS):
            x = F.avg_pool2d(x, 2) if level else x
            for block in range(depth):
                for unit in range(2):
                    x = self.conv_norm(f"_encoder.{level}.{block}.{unit}._ops.0", x).clamp(0, 6)
            gate = f"_encoder.{level}.{depth}._excitation"
            y = self.conv_norm(gate, x.mean((2, 3), keepdim=True)).clamp(0, 6)
            x = x * F.conv2d(y, self.state[f"{gate}.3.weight"]).clamp(0, 6)
        return x.mean((2, 3))

    def conv_norm(self, name: str, x: Tensor) -> Tensor:
        """Apply a convolution, depthwise where its kernel is, and the batch norm behind it."""
        weight = self.state[f"{name}.0.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
        norm = (
            self.state[f"{name}.1.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, *norm, eps=EPS)

    def linear(self, name: str, x: Tensor) -> Tensor:
        """Apply the linear layer of that name."""
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])
