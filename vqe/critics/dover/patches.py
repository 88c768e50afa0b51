"""Layers of both backbones: patches that do not overlap, and the hidden layer of an MLP."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = (2, 4, 4)


def embed_patches(clips: Tensor, conv: nn.Conv3d) -> Tensor:
    """Apply a convolution whose stride is its kernel as one matrix product.

    Args:
        clips: [N,C,T,H,W], edges that fill no patch are dropped; T = 1 stands for equal frames.
        conv: kernel and stride (2,4,4).

    Returns:
        Tokens [N,T/2,H/4,W/4,channels], in the type of the weights.
    """
    weight = conv.weight if clips.shape[2] > 1 else conv.weight.sum(2, keepdim=True)
    sizes = weight.shape[2:]
    t, h, w = (n // k * k for n, k in zip(clips.shape[2:], sizes, strict=True))
    x = clips[:, :, :t, :h, :w]
    for axis in (4, 3, 2):
        x = x.unflatten(axis, (-1, sizes[axis - 2]))
    x = x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).to(weight.dtype)
    return F.linear(x, weight.flatten(1), conv.bias)


def merge_patches(x: Tensor, conv: nn.Conv3d) -> Tensor:
    """Apply a convolution (1,2,2), stride (1,2,2), to tokens [N,T,H,W,C], dropping an odd edge."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    x = x[:, :, :height, :width].unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
    x = x.permute(0, 1, 2, 4, 3, 5, 6).flatten(4)
    return F.linear(x, conv.weight[:, :, 0].permute(0, 2, 3, 1).flatten(1), conv.bias)


def linear_gelu(x: Tensor, linear: nn.Linear) -> Tensor:
    """Apply a linear layer and GELU, in the layer's memory unless a gradient is wanted."""
    hidden = linear(x)
    return F.gelu(hidden) if torch.is_grad_enabled() else torch.ops.aten.gelu_(hidden)


def linear_gelu_fused(x: Tensor, linear: nn.Linear) -> Tensor:
    """Do the same in one kernel of a GPU, by GELU's tanh formula, which is off by 5e-4 at most."""
    rows = x.flatten(0, -2)
    hidden = torch._addmm_activation(linear.bias, rows, linear.weight.t(), use_gelu=True)
    return hidden.view(*x.shape[:-1], -1)
