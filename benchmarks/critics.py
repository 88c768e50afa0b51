"""Measure the critics against plain implementations, on the same weights and frames.

python benchmarks/critics.py [--quick] [--json FILE] [--device cpu|cuda] [--compiled]

Weights are those of the golden tests, with the heads shifted to where the fused score is steepest,
so that an error shows as large as it can be. A device that only emulates bf16 is measured without
it: `left_out` in the JSON file says so. `--quick` measures DOVER-Mobile and one size of frame.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from measuring import describe_machine, matmul_peak, peak_memory_mb, time_in_turn
from plain_dover import PlainDOVER
from plain_vqa import PlainVQA
from torch.utils.flop_counter import FlopCounterMode

from vqe.critics import DOVER, UNetLite, load_weights
from vqe.critics.dover.views import draw_offsets
from vqe.critics.precision import cast_backbones
from vqe.device import is_bf16_native

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from critics_on_gpu import measure_dover_calls, measure_vqa_pairs
from golden_weights import golden_state, image
from steepest import NAMES, SIZES, centre
from training_step import measure_step

CHALLENGE_FRAMES = 3000 * 300
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
NO_BF16 = "bf16: this device only emulates it"
Measure = Callable[[torch.device, bool, bool], dict]


def main() -> None:
    """Measure, print a table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few runs: figures mean little")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compiled", action="store_true", help="build our side with torch.compile")
    args = parser.parse_args()
    device = torch.device(args.device)
    figures = {"machine": describe_machine(device), "left_out": list_left_out(device, args.quick)}
    for reason in figures["left_out"]:
        print(f"left out: {reason}", flush=True)
    for measure in list_measures(device, args.quick):
        found = measure(device, args.quick, args.compiled)
        for name, value in found.items():
            text = f"{value:.5g}" if isinstance(value, float) else value
            print(f"{name:32} {text}", flush=True)
        figures |= found
    figures["peak_memory_mb"] = peak_memory_mb(device)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def list_left_out(device: torch.device, quick: bool) -> list[str]:
    """Say what is not measured, and why."""
    left_out = [] if is_bf16_native(device) else [NO_BF16]
    return left_out + (["DOVER and frames of 1280x720: --quick"] if quick else [])


def list_measures(device: torch.device, quick: bool) -> tuple[Measure, ...]:
    """Return what is measured on a device, in order."""
    if device.type != "cpu":
        return measure_peak, measure_dover_calls, measure_vqa_pairs, measure_step
    whole = () if quick else (measure_dover,)
    return measure_peak, *whole, measure_mobile, measure_vqa, measure_step


def list_types(device: torch.device) -> dict[str, torch.dtype]:
    """Return the types that a device computes in itself, by the name of their precision."""
    native = is_bf16_native(device)
    return {name: dtype for name, dtype in TYPES.items() if name != "bf16" or native}


def measure_peak(device: torch.device, quick: bool, _: bool) -> dict:
    """Measure the machine's own matrix products."""
    types = list_types(device).items()
    return {f"peak_{name}_gflops": matmul_peak(dtype, device, quick) for name, dtype in types}


def measure_mobile(device: torch.device, quick: bool, compiled: bool) -> dict:
    """Do for DOVER-Mobile what `measure_dover` does."""
    return measure_dover(device, quick, compiled, "mobile")


@torch.no_grad()
def measure_dover(
    device: torch.device, quick: bool, compiled: bool, variant: str = "dover"
) -> dict:
    """Time one frame and its enhanced version, as training scores them; plain: frame by frame."""
    frames = torch.from_numpy(image(*SIZES["640x368"], 3, 1 if quick else 2)).to(device)
    generator = torch.Generator().manual_seed(0)
    offsets = draw_offsets(*frames.shape[2:], 1 if quick else 3, generator)
    name = NAMES[variant]
    fp32, state = centre(variant, frames[0], offsets)
    plain = PlainDOVER({key: value.to(device) for key, value in fp32.state_dict().items()})
    types = list_types(device)
    score = {}
    for kind, dtype in types.items():
        critic = cast_backbones(load_weights(DOVER(variant), state).to(device), dtype)
        if compiled:
            critic.compile_blocks()
        score[kind] = partial(critic.score_stills, frames, offsets)
    ours = {kind: run().cpu() for kind, run in score.items()}
    memory = peak_memory_mb(device)  # before the plain one needs more
    expected = {}

    def score_plainly() -> None:
        scores = [plain.score_still(frame, *offsets)["fused"] for frame in frames]
        expected["plain"] = torch.tensor(scores)

    if not quick:
        score_plainly()  # to warm up
    score["plain"] = score_plainly
    repeats = dict.fromkeys(score, 1) if quick else dict.fromkeys(types, 5) | {"plain": 3}
    seconds = time_in_turn(score, repeats, device)
    seconds = {kind: value / len(frames) for kind, value in seconds.items()}
    error = {k: (value - expected["plain"]).abs().max().item() for k, value in ours.items()}
    figures = {f"{name}_plain_ms": seconds["plain"] * 1e3, f"{name}_memory_mb": memory}
    gflop = count_gflop(load_weights(DOVER(variant), state), frames[:1].cpu(), offsets)
    figures[f"{name}_gflop"] = gflop
    for kind, dtype in types.items():
        peak = matmul_peak(dtype, device, quick)
        figures |= {
            f"{name}_{kind}_ms": seconds[kind] * 1e3,
            f"{name}_{kind}_ratio": seconds["plain"] / seconds[kind],
            f"{name}_{kind}_error": error[kind],
            f"{name}_{kind}_share_of_peak": gflop / seconds[kind] / peak,
            f"{name}_{kind}_challenge_hours": seconds[kind] * CHALLENGE_FRAMES / 3600,
        }
    return figures


def count_gflop(critic: DOVER, frame: torch.Tensor, offsets) -> float:
    """Count the operations of a frame that are carried out, on one thread: threads hide them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with FlopCounterMode(display=False) as counter:
        critic.branch_scores(frame, offsets)
    torch.set_num_threads(threads)
    return counter.get_total_flops() / 1e9


@torch.no_grad()
def measure_vqa(device: torch.device, quick: bool, compiled: bool) -> dict:
    """Time a pair of frames; with the input frame's features kept, only one has to be encoded."""
    state = golden_state("vqa")
    types = list_types(device)
    critics = {
        kind: cast_backbones(load_weights(UNetLite(), state).fold_batch_norm().to(device), dtype)
        for kind, dtype in types.items()
    }
    for critic in critics.values() if compiled else ():
        critic.compile_levels()
    fp32 = critics["fp32"]
    plain = PlainVQA({key: value.to(device) for key, value in state.items()})
    figures = {}
    for name, size in list(SIZES.items())[: 1 if quick else None]:
        x, enhanced = (
            ((torch.from_numpy(image(*size, seed, 1)).float() - 128) / 128).to(device)
            for seed in (1, 2)
        )
        d = torch.full((1, 1), 0.5, device=device)
        pair = (x, enhanced, d, d)
        kept = fp32.features(x)
        candidates = {
            "plain": partial(plain, *pair),
            **{kind: partial(critic, *pair) for kind, critic in critics.items()},
            "kept": lambda e=enhanced, k=kept, d=d: fp32.heads(k, fp32.features(e), d, d),
        }
        results = {k: torch.cat(candidates[k](), 1) for k in ("plain", *types)}
        seconds = time_in_turn(candidates, dict.fromkeys(candidates, 1 if quick else 9), device)
        figures |= {f"vqa_{k}_ms_{name}": v * 1e3 for k, v in seconds.items()}
        figures[f"vqa_ratio_{name}"] = seconds["plain"] / seconds["fp32"]
        figures[f"vqa_kept_ratio_{name}"] = seconds["plain"] / seconds["kept"]
        for kind in types:
            difference = (results[kind] - results["plain"]).abs().max().item()
            figures[f"vqa_{kind}_error_{name}"] = difference
    figures["vqa_ratio"] = figures["vqa_ratio_640x368"]
    return figures


if __name__ == "__main__":
    main()
