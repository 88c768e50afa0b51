"""GPU kernels of the VQA's encoder in Triton: float16 between layers, float32 inside of them.

Weights and the gates of squeeze-excite keep the precision of float32: rounded to eleven bits they
move a score ten times as far as rounded activations do, whose errors differ from pixel to pixel.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

PIXELS = 128  # of a program that mixes channels
COLUMNS, WIDE = 16, 32  # columns and channels of a program that convolves or averages


@triton.jit
def _mix(
    x,
    weight,
    bias,
    out,
    pixels,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    PIXELS: tl.constexpr,
    WIDE: tl.constexpr,
    DEEP: tl.constexpr,
):
    pixel = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    inside = (pixel < pixels)[:, None]
    total = tl.zeros([PIXELS, WIDE], tl.float32)
    for at in range(0, IN, DEEP):
        inner = at + tl.arange(0, DEEP)
        a = tl.load(x + pixel[:, None] * IN + inner[None, :], mask=inside, other=0)
        w = tl.load(weight + channel[None, :] * IN + inner[:, None])
        high = w.to(tl.float16)
        total = tl.dot(a, high, total)
        total = tl.dot(a, (w - high.to(tl.float32)).to(tl.float16), total)
    total = tl.minimum(tl.maximum(total + tl.load(bias + channel)[None, :], 0), 6)
    tl.store(out + pixel[:, None] * OUT + channel[None, :], total.to(tl.float16), mask=inside)


@triton.jit
def _mix_planes(
    x,
    weight,
    bias,
    out,
    pixels,
    plane,
    OUT: tl.constexpr,
    PIXELS: tl.constexpr,
):
    pixel = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < pixels
    channel = tl.arange(0, OUT)
    at = pixel // plane * (3 * plane) + pixel % plane
    total = tl.zeros([PIXELS, OUT], tl.float32) + tl.load(bias + channel)[None, :]
    for i in tl.static_range(3):
        value = tl.load(x + at + i * plane, mask=inside, other=0).to(tl.float32)
        total += value[:, None] * tl.load(weight + channel * 3 + i)[None, :]
    total = tl.minimum(tl.maximum(total, 0), 6)
    at = out + pixel[:, None] * OUT + channel[None, :]
    tl.store(at, total.to(tl.float16), mask=inside[:, None])


@triton.jit
def _convolve(
    x,
    weight,
    bias,
    out,
    sums,
    height,
    width,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDE: tl.constexpr,
):
    line = tl.program_id(0).to(tl.int64)  # over frames and their rows
    row = (line % height).to(tl.int32)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.program_id(2) * WIDE + tl.arange(0, WIDE)
    total = tl.zeros([COLUMNS, WIDE], tl.float32) + tl.load(bias + channel)[None, :]
    for i in tl.static_range(9):
        down, across = i // 3 - 1, i % 3 - 1
        rows, columns = column * 0 + row + down, column + across
        there = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        at = ((line + down) * width + column + across) * CHANNELS
        value = tl.load(x + at[:, None] + channel[None, :], mask=there[:, None], other=0)
        total += value.to(tl.float32) * tl.load(weight + channel * 9 + i)[None, :]
    total = tl.minimum(tl.maximum(total, 0), 6)
    inside = (column < width)[:, None]
    at = (line * width + column) * CHANNELS
    tl.store(out + at[:, None] + channel[None, :], total.to(tl.float16), mask=inside)
    part = line * tl.num_programs(1) + tl.program_id(1)
    tl.store(sums + part * CHANNELS + channel, tl.sum(tl.where(inside, total, 0), 0))


@triton.jit
def _gate_pool(
    x,
    gate,
    out,
    height,
    width,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDE: tl.constexpr,
):
    line = tl.program_id(0).to(tl.int64)  # over frames and their rows after pooling
    low = height // 2
    frame, row = line // low, line % low
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.program_id(2) * WIDE + tl.arange(0, WIDE)
    inside = (column < width // 2)[:, None]
    total = tl.zeros([COLUMNS, WIDE], tl.float32)
    for i in tl.static_range(4):
        at = ((frame * height + 2 * row + i // 2) * width + 2 * column + i % 2) * CHANNELS
        value = tl.load(x + at[:, None] + channel[None, :], mask=inside, other=0)
        total += value.to(tl.float32)
    total *= tl.load(gate + frame * CHANNELS + channel)[None, :] * 0.25
    at = (line * (width // 2) + column) * CHANNELS
    tl.store(out + at[:, None] + channel[None, :], total.to(tl.float16), mask=inside)


def mix(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a 1x1 convolution and ReLU6 to float16 [B,H,W,C]: [B,H,W,out].

    Args:
        x: pixels.
        weight: float32 [out,C], both multiples of 32; multiplied as the sum of two float16 numbers.
        bias: float32 [out].
    """
    out = x.new_empty(*x.shape[:3], len(weight))
    pixels, deep, wide = x[..., 0].numel(), min(x.shape[3], 64), min(len(weight), 128)
    sizes = {"IN": x.shape[3], "OUT": len(weight), "PIXELS": PIXELS, "WIDE": wide, "DEEP": deep}
    grid = (triton.cdiv(pixels, PIXELS), len(weight) // wide)
    _mix[grid](x, weight, bias, out, pixels, **sizes, num_warps=4, num_stages=3)
    return out


def mix_planes(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Do the same from three planes, [B,3,H,W] of any type, with float32 weights [out,3]."""
    batch, _, height, width = x.shape
    x = x.contiguous()
    out = x.new_empty(batch, height, width, len(weight), dtype=torch.float16)
    pixels = batch * height * width
    arguments = (x, weight, bias, out, pixels, height * width)
    _mix_planes[(triton.cdiv(pixels, PIXELS),)](*arguments, len(weight), PIXELS, num_warps=4)
    return out


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Apply a 3x3 depthwise convolution and ReLU6 to float16 [B,H,W,C].

    Args:
        x: pixels.
        weight: float32 [C,1,3,3].
        bias: float32 [C].

    Returns:
        The same shape, and each channel's sums over parts of a frame, float32 [B,parts,C].
    """
    batch, height, width, channels = x.shape
    parts = triton.cdiv(width, COLUMNS)
    out = torch.empty_like(x)
    sums = x.new_empty(batch, height * parts, channels, dtype=torch.float32)
    sizes = {"CHANNELS": channels, "COLUMNS": COLUMNS, "WIDE": WIDE}
    grid = (batch * height, parts, channels // WIDE)
    _convolve[grid](x, weight, bias, out, sums, height, width, **sizes, num_warps=1)
    return out, sums


def gate_pool(x: Tensor, gate: Tensor) -> Tensor:
    """Multiply float16 [B,H,W,C] by gates [B,C] and average 2 x 2 pixels, dropping an odd edge."""
    batch, height, width, channels = x.shape
    out = x.new_empty(batch, height // 2, width // 2, channels)
    grid = (batch * (height // 2), triton.cdiv(width // 2, COLUMNS), channels // WIDE)
    sizes = {"CHANNELS": channels, "COLUMNS": COLUMNS, "WIDE": WIDE}
    _gate_pool[grid](x, gate, out, height, width, **sizes, num_warps=1)
    return out
