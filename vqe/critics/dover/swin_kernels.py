"""GPU kernels of the technical branch in Triton: attention in boxes, sums with their LayerNorm.

Tokens, [copies,tokens,C], are in raster order but for queries, keys and values, which lie box by
box. What a block adds to is read and written in float32, once for each of its two halves.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from vqe.critics.dover.box_table import LOG2_E, ROW_MULTIPLE, SHARE, BoxTable

ROWS_OF = {128: 8, 256: 4, 512: 2}  # rows of a program that normalises, by its width; else one


@triton.jit
def _attend(
    qkv,
    out,
    bias,
    cells,
    shares,
    source_tokens,
    tokens,
    scale,
    CHANNELS: tl.constexpr,
    HEAD: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    copy, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    share = shares + tl.program_id(2) * 6
    start, source, queries = tl.load(share), tl.load(share + 1), tl.load(share + 2)
    keys, first = tl.load(share + 3), tl.load(share + 4)
    width = (keys + KEYS - 1) // KEYS * KEYS  # of a row of biases, -inf behind the last key
    bias += tl.multiple_of(tl.load(share + 5), KEYS) + head * queries * width
    channel = head * HEAD + tl.arange(0, HEAD)
    qkv += (copy * source_tokens + source) * (3 * CHANNELS)
    row = first + tl.arange(0, QUERIES)
    there = row < queries
    row = tl.minimum(row, queries - 1)
    q = tl.load(qkv + (row % keys)[:, None] * (3 * CHANNELS) + channel[None, :])
    largest = tl.full([QUERIES], -1.0e38, tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    result = tl.zeros([QUERIES, HEAD], tl.float32)
    for begin in range(0, keys, KEYS):
        column = begin + tl.arange(0, KEYS)
        inside = (column < keys)[:, None]
        key = qkv + column[:, None] * (3 * CHANNELS) + channel[None, :]
        k = tl.load(key + CHANNELS, mask=inside, other=0)
        v = tl.load(key + 2 * CHANNELS, mask=inside, other=0)
        b = tl.load(bias + row[:, None] * width + column[None, :])
        logits = tl.dot(q, tl.trans(k)) * scale + b.to(tl.float32)
        new = tl.maximum(largest, tl.max(logits, 1))
        weight = tl.exp2(logits - new[:, None])
        decay = tl.exp2(largest - new)
        total = total * decay + tl.sum(weight, 1)
        result = tl.dot(weight.to(v.dtype), v, result * decay[:, None])
        largest = new
    result = result / total[:, None]
    cell = tl.load(cells + start + row)
    at = copy * tokens * CHANNELS + cell[:, None] * CHANNELS + channel[None, :]
    tl.store(out + at, result.to(out.dtype.element_ty), mask=there[:, None])


@triton.jit
def _add_norm(
    x,
    y,
    summed,
    out,
    weight,
    bias,
    places,
    rows,
    tokens,
    x_tokens,
    y_tokens,
    eps,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    ADD: tl.constexpr,
    MOVE: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, BLOCK)
    there = row < rows
    inside = there[:, None] & (channel < CHANNELS)[None, :]
    copy, token = row // tokens, row % tokens
    source = copy * x_tokens + token % x_tokens
    value = tl.load(x + source[:, None] * CHANNELS + channel[None, :], mask=inside, other=0)
    value = value.to(tl.float32)
    if ADD:
        source = copy * y_tokens + token % y_tokens
        at = source[:, None] * CHANNELS + channel[None, :]
        value += tl.load(y + at, mask=inside, other=0).to(tl.float32)
        tl.store(summed + at, value, mask=inside & (token < y_tokens)[:, None])
    value = value - (tl.sum(value, 1) / CHANNELS)[:, None]
    value = tl.where((channel < CHANNELS)[None, :], value, 0)
    value *= tl.rsqrt(tl.sum(value * value, 1) / CHANNELS + eps)[:, None]
    w = tl.load(weight + channel, mask=channel < CHANNELS, other=0)
    b = tl.load(bias + channel, mask=channel < CHANNELS, other=0)
    value = value * w[None, :] + b[None, :]
    if MOVE:
        row = copy * tokens + tl.load(places + token, mask=there, other=0)
    at = row[:, None] * CHANNELS + channel[None, :]
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _add_merge_norm(
    x,
    y,
    out,
    weight,
    bias,
    width,
    eps,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    line, column = row // (width // 2), row % (width // 2)
    channel = tl.arange(0, BLOCK)
    inside = channel < 4 * CHANNELS
    part = channel // CHANNELS
    token = (2 * line + part % 2) * width + 2 * column + part // 2
    at = token * CHANNELS + channel % CHANNELS
    value = tl.load(x + at, mask=inside, other=0).to(tl.float32)
    value += tl.load(y + at, mask=inside, other=0).to(tl.float32)
    value = tl.where(inside, value - tl.sum(value, 0) / (4 * CHANNELS), 0)
    value *= tl.rsqrt(tl.sum(value * value, 0) / (4 * CHANNELS) + eps)
    w = tl.load(weight + channel, mask=inside, other=0)
    b = tl.load(bias + channel, mask=inside, other=0)
    value = value * w + b
    tl.store(out + row * (4 * CHANNELS) + channel, value.to(out.dtype.element_ty), mask=inside)


def attend(qkv: Tensor, bias: Tensor, table: BoxTable, head: int) -> Tensor:
    """Attend in the boxes of a grid.

    Args:
        qkv: queries, keys and values box by box, [copies,source tokens,3C].
        bias: of all boxes, flat (see `vqe.critics.dover.box_table.lay_out`).
        table: of the grid's boxes.
        head: channels of a head.

    Returns:
        [copies,tokens,C] in raster order.
    """
    copies, source_tokens, channels = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    cells = table.cells
    out = qkv.new_empty(copies, len(cells), channels)
    grid = (copies, channels // head, len(table.shares))
    arguments = (qkv, out, bias, cells, table.shares, source_tokens, len(cells))
    sizes = {"CHANNELS": channels, "HEAD": head, "QUERIES": SHARE, "KEYS": ROW_MULTIPLE}
    _attend[grid](*arguments, head**-0.5 * LOG2_E, **sizes, num_warps=4, num_stages=3)
    return out


def add_norm(
    x: Tensor,
    y: Tensor | None,
    norm: nn.LayerNorm,
    dtype: torch.dtype,
    places: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Add y to x and normalise the sum.

    Args:
        x: what a block adds to, [copies,x tokens,C].
        y: what it adds, [copies,y tokens,C], or nothing. Fewer tokens than wanted repeat in time.
        norm: over the last axis.
        dtype: of the normalised result.
        places: where each token of the normalised result goes, int32 [tokens]; none moves if None.

    Returns:
        The sum [copies,y tokens,C] in float32, in x's memory if that fits, and, normalised,
        [copies,tokens,C].
    """
    copies, x_tokens, channels = x.shape
    y_tokens = x_tokens if y is None else y.shape[1]
    tokens = y_tokens if places is None else len(places)
    in_place = x.dtype == torch.float32 and x_tokens == y_tokens == tokens
    summed = x
    if y is not None and not in_place:
        summed = x.new_empty(copies, y_tokens, channels, dtype=torch.float32)
    out = x.new_empty(copies, tokens, channels, dtype=dtype)
    rows, block = copies * tokens, triton.next_power_of_2(channels)
    at_once = ROWS_OF.get(block, 1)
    added, moved = x if y is None else y, norm.weight if places is None else places
    arguments = (x, added, summed, out, norm.weight, norm.bias, moved)
    sizes = {"CHANNELS": channels, "BLOCK": block, "ROWS": at_once}
    sizes |= {"ADD": y is not None, "MOVE": places is not None}
    _add_norm[(triton.cdiv(rows, at_once),)](
        *arguments, rows, tokens, x_tokens, y_tokens, norm.eps, **sizes, num_warps=4
    )
    return summed, out


def add_merge_norm(
    x: Tensor, y: Tensor, width: int, norm: nn.LayerNorm, dtype: torch.dtype
) -> Tensor:
    """Add y to x, join 2 x 2 tokens and normalise: [copies,tokens,C] to [copies,tokens/4,4C].

    Args:
        x: what a block adds to.
        y: what it adds, of the same shape.
        width: tokens of a row; rows and their number are even.
        norm: over the joined channels.
        dtype: of the result.
    """
    copies, tokens, channels = y.shape
    out = y.new_empty(copies, tokens // 4, 4 * channels, dtype=dtype)
    sizes = {"CHANNELS": channels, "BLOCK": triton.next_power_of_2(4 * channels)}
    grid = (copies * tokens // 4,)
    _add_merge_norm[grid](x, y, out, norm.weight, norm.bias, width, norm.eps, **sizes, num_warps=4)
    return out
