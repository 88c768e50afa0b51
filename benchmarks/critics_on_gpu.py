"""Measure the critics on a GPU: calls of 8 and 64 frames, as training and test have them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from golden_weights import golden_state, image
from measuring import peak_memory_mb, time_in_turn
from plain_dover import PlainDOVER
from plain_vqa import PlainVQA
from steepest import SIZES, centre

from vqe.critics import DOVER, UNetLite, load_weights
from vqe.critics.dover import convnext, swin
from vqe.critics.dover.views import draw_offsets
from vqe.critics.encoder_gpu import encode, has_kernels
from vqe.critics.precision import cast_backbones
from vqe.device import float32_products

CALLS = (8, 64)
PAIRS = 16
DRAWN = 4  # different frames


@contextmanager
def without_kernels() -> Iterator[None]:
    """Let torch's own operations compute DOVER."""
    kept = swin.has_kernels, convnext.has_kernels
    swin.has_kernels = convnext.has_kernels = lambda *_: False
    try:
        yield
    finally:
        swin.has_kernels, convnext.has_kernels = kept


@torch.no_grad()
def measure_dover_calls(device: torch.device, quick: bool, compiled: bool) -> dict:
    """Time DOVER in bf16 a frame, by frames in a call; plain: frame by frame.

    `torch` is ours without the project's kernels; `compiled` builds its layers with torch.compile.
    """
    frames = torch.from_numpy(image(*SIZES["640x368"], 3, DRAWN)).to(device)
    drawn = [
        draw_offsets(*frames.shape[2:], 3, torch.Generator().manual_seed(s)) for s in range(DRAWN)
    ]
    state = centre("dover", frames[0], drawn[0])[1]
    plain = PlainDOVER({key: value.to(device) for key, value in state.items()})
    expected = score_plainly(plain, frames, drawn, device)
    ours, by_torch = (
        cast_backbones(load_weights(DOVER(max_clips=None), state), torch.bfloat16).to(device)
        for _ in range(2)
    )
    if compiled:
        by_torch.compile_blocks()
    figures = {}
    for count in CALLS:
        many = frames.repeat(count // DRAWN, 1, 1, 1)
        axes = (torch.stack(axis) for axis in zip(*drawn, strict=True))
        offsets = tuple(axis.repeat(count // DRAWN, 1, 1, 1) for axis in axes)

        def score_by_torch(many=many, offsets=offsets):
            with without_kernels():
                return by_torch.score_stills(many, offsets)

        candidates = {
            "plain": lambda: [plain.score_still(frames[i], *drawn[i]) for i in range(2)],
            "torch": score_by_torch,
            "kernels": partial(ours.score_stills, many, offsets),
        }
        scores = {kind: candidates[kind]().cpu() for kind in ("torch", "kernels")}
        repeats = dict.fromkeys(candidates, 1 if quick else 7)
        seconds = time_in_turn(candidates, repeats, device)
        each = {k: v / (2 if k == "plain" else count) for k, v in seconds.items()}
        for kind, value in each.items():
            figures[f"dover_call{count}_{kind}_ms"] = value * 1e3
        for kind, value in scores.items():
            figures[f"dover_call{count}_{kind}_ratio"] = each["plain"] / each[kind]
            error = (value.view(-1, DRAWN) - expected).abs().max().item()
            figures[f"dover_call{count}_{kind}_error"] = error
    figures["dover_calls_memory_mb"] = peak_memory_mb(device)
    return figures


def score_plainly(plain: PlainDOVER, frames, drawn, device: torch.device) -> torch.Tensor:
    """Return the plain scores of frames, without TF32, on the CPU."""
    with float32_products(device, tf32=False):
        rows = zip(frames, drawn, strict=True)
        return torch.tensor([plain.score_still(frame, *o)["fused"] for frame, o in rows])


@torch.no_grad()
def measure_vqa_pairs(device: torch.device, quick: bool, compiled: bool) -> dict:
    """Time a pair of frames in calls of 16; errors against the plain one without TF32."""
    state = golden_state("vqa")
    critic = load_weights(UNetLite(), state).fold_batch_norm().to(device)
    plain = PlainVQA({key: value.to(device) for key, value in state.items()})
    if compiled:
        critic.compile_levels()
    figures = {}
    for name, size in SIZES.items():
        frames = (torch.from_numpy(image(*size, seed, 2)).float() for seed in (1, 2))
        pair = [((f - 128) / 128).to(device).repeat(PAIRS // 2, 1, 1, 1) for f in frames]
        d = torch.full((PAIRS, 1), 0.5, device=device)

        def compare(encoder, tf32, pair=pair, d=d):
            with float32_products(device, tf32):
                p, a1, a2 = critic.heads(*map(encoder, pair), d, d)
            return p.clamp(0, 1), a1.clamp(-1, 1), a2.clamp(-1, 1)

        candidates = {
            "plain": partial(plain, *pair, d, d),
            "fp32": partial(compare, critic.features, False),
            "tf32": partial(compare, critic.features, True),
        }
        if has_kernels(pair[0], critic.widths):
            candidates["fp16"] = partial(compare, partial(encode, critic._encoder), False)
        with float32_products(device, tf32=False):
            expected = torch.cat(plain(*pair, d, d), 1)
        results = {kind: torch.cat(run(), 1) for kind, run in candidates.items()}
        repeats = dict.fromkeys(candidates, 1 if quick else 9)
        for kind, seconds in time_in_turn(candidates, repeats, device).items():
            figures[f"vqa_pairs_{name}_{kind}_ms"] = seconds / PAIRS * 1e3
            error = (results[kind] - expected).abs().max().item()
            figures[f"vqa_pairs_{name}_{kind}_error"] = error
    return figures
