"""GPU kernels of the aesthetic branch in Triton: convolution with its LayerNorm, and the sum."""

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

ELEMENTS = 1024  # that a program convolves
ROWS = 8  # of tokens that a program adds


@triton.jit
def _find_source(at, slices, longer):
    """Return which of a still's distinct slices stands at a position of the longer still."""
    middle, extra = slices // 2, longer - slices
    return tl.where(at < middle, at, tl.maximum(at - extra, middle))


@triton.jit
def _convolve_norm(
    x,
    kernel,
    kernel_bias,
    weight,
    bias,
    out,
    slices,
    longer,
    height,
    width,
    eps,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    COLUMNS: tl.constexpr,
    TIMES: tl.constexpr,
    SIDE: tl.constexpr,
):
    line = tl.program_id(0)
    row, time = line % height, line // height % longer
    clip = (line // height // longer).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.arange(0, BLOCK)
    real = channel < CHANNELS
    total = tl.zeros([COLUMNS, BLOCK], tl.float32)
    total += tl.load(kernel_bias + channel, mask=real, other=0).to(tl.float32)[None, :]
    for k in tl.static_range(TIMES):
        at = time + k - TIMES // 2
        start = (clip * slices + _find_source(at, slices, longer)) * height
        for i in range(SIDE):
            down = row + i - SIDE // 2
            rows, times = column * 0 + down, column * 0 + at
            there = (rows >= 0) & (rows < height) & (times >= 0) & (times < longer)
            for j in tl.static_range(SIDE):
                columns = column + j - SIDE // 2
                inside = there & (columns >= 0) & (columns < width)
                token = (start + down) * width + columns
                value = tl.load(
                    x + token[:, None] * CHANNELS + channel[None, :],
                    mask=inside[:, None] & real[None, :],
                    other=0,
                )
                tap = kernel + ((k * SIDE + i) * SIDE + j) * CHANNELS + channel
                tap = tl.load(tap, mask=real, other=0).to(tl.float32)
                total += value.to(tl.float32) * tap[None, :]
    total = tl.where(real[None, :], total - (tl.sum(total, 1) / CHANNELS)[:, None], 0)
    total *= tl.rsqrt(tl.sum(total * total, 1) / CHANNELS + eps)[:, None]
    total = total * tl.load(weight + channel, mask=real, other=0)[None, :]
    total += tl.load(bias + channel, mask=real, other=0)[None, :]
    token = (line.to(tl.int64) * width + column)[:, None]
    inside = (column < width)[:, None] & real[None, :]
    at_out = out + token * CHANNELS + channel[None, :]
    tl.store(at_out, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _add_scaled(
    x,
    y,
    gamma,
    summed,
    rounded,
    rows,
    slices,
    longer,
    plane,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, BLOCK)
    inside = (row < rows)[:, None] & (channel < CHANNELS)[None, :]
    source = row // plane
    source = source // longer * slices + _find_source(source % longer, slices, longer)
    source = source * plane + row % plane
    value = tl.load(x + source[:, None] * CHANNELS + channel[None, :], mask=inside, other=0)
    at = row[:, None] * CHANNELS + channel[None, :]
    scale = tl.load(gamma + channel, mask=channel < CHANNELS, other=0).to(tl.float32)
    value = value.to(tl.float32) + scale[None, :] * tl.load(y + at, mask=inside, other=0)
    tl.store(summed + at, value, mask=inside)
    tl.store(rounded + at, value.to(rounded.dtype.element_ty), mask=inside)


def convolve_norm(x: Tensor, conv: nn.Conv3d, norm: nn.LayerNorm, longer: int) -> Tensor:
    """Apply a depthwise convolution, padded to keep the size, and a LayerNorm.

    Args:
        x: tokens [N,T,H,W,C].
        conv: kernel (1 or 3, odd, the same).
        norm: over the channels.
        longer: positions in time; if more than T, the middle slice of x repeats.

    Returns:
        [N,longer,H,W,C] in x's type.
    """
    clips, slices, height, width, channels = x.shape
    times, side = conv.weight.shape[2], conv.weight.shape[3]
    kernel = conv.weight.flatten(1).t().contiguous()
    out = x.new_empty(clips, longer, height, width, channels)
    block = triton.next_power_of_2(channels)
    columns = max(1, ELEMENTS // block)
    arguments = (x, kernel, conv.bias, norm.weight, norm.bias, out, slices, longer, height, width)
    sizes = {"CHANNELS": channels, "BLOCK": block, "COLUMNS": columns, "TIMES": times, "SIDE": side}
    grid = (clips * longer * height, triton.cdiv(width, columns))
    _convolve_norm[grid](*arguments, norm.eps, **sizes, num_warps=2)
    return out


def add_scaled(x: Tensor, y: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Add gamma * y [N,longer,H,W,C] to x [N,T,H,W,C], whose middle slice repeats.

    Returns:
        The sum in float32, and the same in y's type.
    """
    clips, longer, height, width, channels = y.shape
    summed, rounded = y.new_empty(y.shape, dtype=torch.float32), torch.empty_like(y)
    rows = clips * longer * height * width
    arguments = (x, y, gamma, summed, rounded, rows, x.shape[1], longer, height * width)
    sizes = {"CHANNELS": channels, "BLOCK": triton.next_power_of_2(channels), "ROWS": ROWS}
    _add_scaled[(triton.cdiv(rows, ROWS),)](*arguments, **sizes, num_warps=4)
    return summed, rounded
