"""Run the VQA's encoder on a GPU with kernels of its own, for frames that want no gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqe.device import has_triton


def has_kernels(x: Tensor, widths: Sequence[int]) -> bool:
    """Whether `encode` takes frames on this device, for a network of these widths."""
    return fits_kernels(widths) and not torch.is_grad_enabled() and has_triton(x.device)


def fits_kernels(widths: Sequence[int]) -> bool:
    """Whether the kernels are made for a network of these widths: powers of two from 32."""
    return all(width >= 32 and width & (width - 1) == 0 for width in widths)


def encode(levels: nn.Sequential, x: Tensor) -> Tensor:
    """Encode frames [B,3,H,W] as [B,widths[-1]], float32.

    Args:
        levels: of `vqe.critics.unetlite`, their batch norms fused, in float32.
        x: BGR in challenge range.
    """
    from vqe.critics.encoder_kernels import convolve, gate_pool, mix, mix_planes

    for number, level in enumerate(levels):
        *blocks, excite = level
        for i, (pointwise, depthwise) in enumerate(blocks):
            first, second = pointwise._ops[0][0], depthwise._ops[0][0]
            if number == 0 and i == 0:
                x = mix_planes(x, first.weight.flatten(1), first.bias)
            else:
                x = mix(x, first.weight.flatten(1), first.bias)
            x, sums = convolve(x, second.weight, second.bias)
        mean = sums.sum(1) / x[0, ..., 0].numel()
        gate = excite._excitation(mean[:, :, None, None]).flatten(1)
        if number == len(levels) - 1:
            return mean * gate
        x = gate_pool(x, gate)
    raise AssertionError("an encoder has a last level")
