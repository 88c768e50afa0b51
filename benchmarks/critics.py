"""Measure the critics against plain implementations, on the same weights and frames.

python benchmarks/critics.py [--quick] [--json FILE] [--device cpu|cuda] [--compiled]

Weights are those of the golden tests, with the heads shifted to where the fused score is steepest,
so that an error shows as large as it can be.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import torch
from measuring import describe_machine, matmul_peak, peak_memory_mb, time_in_turn
from plain_dover import PlainDOVER
from plain_vqa import PlainVQA
from torch.utils.flop_counter import FlopCounterMode

from vqe.critics import DOVER, UNetLite, load_weights
from vqe.critics.dover.views import draw_offsets

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from golden_weights import golden_state, image
from training_step import measure_step

SIZES = {"640x368": (368, 640), "1280x720": (720, 1280)}
CENTRE = {"technical": -0.08285, "aesthetic": 0.1107}  # raw means that the challenge fuses to 0.5
CHALLENGE_FRAMES = 3000 * 300


def main() -> None:
    """Measure, print a table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few runs: figures mean little")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compiled", action="store_true", help="build our side with torch.compile")
    args = parser.parse_args()
    device = torch.device(args.device)
    figures = {"machine": describe_machine(device)}
    for measure in (measure_peak, measure_dover, measure_mobile, measure_vqa, measure_step):
        found = measure(device, args.quick, args.compiled)
        for name, value in found.items():
            text = f"{value:.5g}" if isinstance(value, float) else value
            print(f"{name:32} {text}", flush=True)
        figures |= found
    figures["peak_memory_mb"] = peak_memory_mb(device)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure_peak(device: torch.device, *_: bool) -> dict:
    """Measure the machine's own matrix products."""
    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {f"peak_{name}_gflops": matmul_peak(dtype, device) for name, dtype in types.items()}


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
    name = {"dover": "dover", "mobile": "dover_mobile"}[variant]
    fp32, state = centre(variant, golden_state(name), frames[0], offsets)
    fp32 = fp32.to(device)
    bf16 = load_weights(DOVER(variant), state).to(device, torch.bfloat16)
    plain = PlainDOVER({key: value.to(device) for key, value in fp32.state_dict().items()})
    for critic in (fp32, bf16) if compiled else ():
        critic.compile_blocks()
    score = {
        "fp32": lambda: fp32.score_stills(frames, offsets),
        "bf16": lambda: bf16.score_stills(frames, offsets),
        "plain": lambda: torch.tensor([plain.score_still(f, *offsets)["fused"] for f in frames]),
    }
    ours = {kind: score[kind]().cpu() for kind in ("fp32", "bf16")}
    memory = peak_memory_mb(device)  # before the plain one needs more
    expected = score["plain"]()
    error = {kind: (value - expected).abs().max().item() for kind, value in ours.items()}
    repeats = {"fp32": 1, "bf16": 1, "plain": 1} if quick else {"fp32": 5, "bf16": 5, "plain": 3}
    seconds = time_in_turn(score, repeats, device)
    seconds = {kind: value / len(frames) for kind, value in seconds.items()}
    figures = {f"{name}_plain_ms": seconds["plain"] * 1e3, f"{name}_memory_mb": memory}
    gflop = count_gflop(load_weights(DOVER(variant), state), frames[:1].cpu(), offsets)
    figures[f"{name}_gflop"] = gflop
    for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        figures |= {
            f"{name}_{kind}_ms": seconds[kind] * 1e3,
            f"{name}_{kind}_ratio": seconds["plain"] / seconds[kind],
            f"{name}_{kind}_error": error[kind],
            f"{name}_{kind}_share_of_peak": gflop / seconds[kind] / matmul_peak(dtype, device),
            f"{name}_{kind}_challenge_hours": seconds[kind] * CHALLENGE_FRAMES / 3600,
        }
    return figures


def centre(variant: str, state: dict, frame: torch.Tensor, offsets) -> tuple[DOVER, dict]:
    """Shift the heads' biases so that the frame's fused score is 0.5; return the state as well."""
    critic = load_weights(DOVER(variant), state)
    means = critic.branch_scores(frame[None].cpu(), offsets)
    state = dict(state)
    for (branch, target), mean in zip(CENTRE.items(), means, strict=True):
        key = f"{branch}_head.fc_last.bias"
        state[key] = state[key] + target - mean
    return load_weights(critic, state), state


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
    folded = load_weights(UNetLite(), state).fold_batch_norm().to(device)
    bf16 = load_weights(UNetLite(), state).fold_batch_norm().to(device, torch.bfloat16)
    for critic in (folded, bf16) if compiled else ():
        critic.compile_levels()
    plain = PlainVQA({key: value.to(device) for key, value in state.items()})
    figures = {}
    for name, size in SIZES.items():
        x, enhanced = (
            ((torch.from_numpy(image(*size, seed, 1)).float() - 128) / 128).to(device)
            for seed in (1, 2)
        )
        d = torch.full((1, 1), 0.5, device=device)
        pair = (x, enhanced, d, d)
        kept = folded.features(x)
        candidates = {
            "plain": partial(plain, *pair),
            "fp32": partial(folded, *pair),
            "bf16": partial(bf16, *pair),
            "kept": lambda e=enhanced, k=kept, d=d: folded.heads(k, folded.features(e), d, d),
        }
        results = {k: torch.cat(candidates[k](), 1) for k in ("plain", "fp32", "bf16")}
        seconds = time_in_turn(candidates, dict.fromkeys(candidates, 1 if quick else 9), device)
        figures |= {f"vqa_{k}_ms_{name}": v * 1e3 for k, v in seconds.items()}
        figures[f"vqa_ratio_{name}"] = seconds["plain"] / seconds["fp32"]
        figures[f"vqa_kept_ratio_{name}"] = seconds["plain"] / seconds["kept"]
        for kind in ("fp32", "bf16"):
            difference = (results[kind] - results["plain"]).abs().max().item()
            figures[f"vqa_{kind}_error_{name}"] = difference
    figures["vqa_ratio"] = figures["vqa_ratio_640x368"]
    return figures


if __name__ == "__main__":
    main()
