"""Take a training step apart: data wait, network, DOVER, VQA, backward; against a plain loop.

python benchmarks/training_step.py [--quick] [--json FILE] [--device cpu|cuda] [--compiled]
    [--augmentation none|cpu|auto ...] [--steps N]

Steps are timed in a pass that is under way: the first batch is not counted. Each part is waited
for, so that `data` is all that a step waits for its batch: loading, transfer, augmentation on the
device, the way to float. Measured with both critics, again in a second epoch with the score cache,
and without critics; on a GPU with as many loading processes as the cores give. Of several
augmentations the first one is measured in full, the others without cache and plain loop.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import pandas as pd
import torch
from hydra.utils import instantiate
from lightning_fabric.utilities import move_data_to_device
from measuring import Stopwatch, describe_machine
from omegaconf import OmegaConf
from plain_loop import PlainCritics, PlainPairs, run_plain_loop
from pytorch_lightning import Trainer

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from golden_weights import golden_state, image

from vqe.cli import CONF_DIR
from vqe.critics import FrozenDOVER, FrozenVQA, frozen_critics
from vqe.critics.feature_cache import FeatureCache
from vqe.critics.frozen_critics import FrozenCritics
from vqe.data import LoaderOptions, PairedTransform, VQEDataModule
from vqe.device import settle_precision
from vqe.files import write_csv
from vqe.losses import Step, SupervisedMSE, VQALoss
from vqe.models import BilateralGrid
from vqe.pixels import to_unit_range
from vqe.schema import FRAME_COLUMNS
from vqe.training.quiet import quiet_lightning

DRAWN = 16  # different pairs
GOLDEN = {"dover": "dover", "mobile": "dover_mobile"}
SUBSET = "train_supervised_synthetic"
PARTS = ("data", "network", "dover", "vqa", "backward")


@dataclass(frozen=True)
class Plan:
    """What is measured: frames in a batch, their size, DOVER's variant and clips, timed steps."""

    batch: int = 8
    size: tuple[int, int] = (368, 640)
    variant: str = "dover"
    num_clips: int = 3
    steps: int = 1  # with both critics
    light_steps: int = 8  # without
    plain_steps: int = 1
    workers: int | None = 1


# 224 and 256 are the least that DOVER cuts its views from, or a little more
QUICK = Plan(1, (224, 256), "mobile", 1, light_steps=1)
# many more steps than batches are ready when they begin
ON_GPU = Plan(steps=100, light_steps=300, plain_steps=5, workers=None)


def choose_plan(device: torch.device, quick: bool, steps: int | None) -> Plan:
    """Return what is measured; a number of steps with both critics decides on the others."""
    plan = QUICK if quick else Plan() if device.type == "cpu" else ON_GPU
    if steps is None:
        return plan
    return replace(plan, steps=steps, light_steps=3 * steps, plain_steps=max(1, steps // 20))


def measure_step(
    device: torch.device,
    quick: bool,
    compiled: bool,
    augmentations: Sequence[str] = ("none",),
    steps: int | None = None,
    save: Callable[[dict], None] = lambda figures: None,
) -> dict:
    """Return seconds a step by part, samples a second and the share of waiting for data.

    `save` is called with what is known so far, should there be no time for the rest.
    """
    plan = choose_plan(device, quick, steps)
    workers = LoaderOptions(num_workers=plan.workers).choose_workers(1)
    loader = LoaderOptions(batch_size=plan.batch, num_workers=workers)
    figures = {"step_batch": plan.batch, "step_workers": workers}
    figures["step_dover_type"] = settle_precision("auto", device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        states = {"vqa": golden_state("vqa"), "dover": golden_state(GOLDEN[plan.variant])}
        for critic, weights in states.items():
            torch.save(weights, folder / f"{critic}.pth")
        write_data(folder, plan)

        def run(augmentation: str, critics: FrozenCritics | None = None) -> dict[str, float]:
            csv = "light" if critics is None else "heavy"
            transform = choose_transform(augmentation, plan.size)
            return run_epochs(build_data(folder, csv, loader, transform, device), critics, device)

        build = partial(build_critics, folder, plan, compiled)
        plain_loop = partial(run_plain, folder, plan, states, device, workers)
        for found in take_apart(plan, run, build, plain_loop, augmentations):
            figures |= found
            save(figures)
    return figures


def take_apart(
    plan: Plan,
    run: Callable[..., dict[str, float]],
    build: Callable[..., FrozenCritics],
    plain_loop: Callable[[], list[dict[str, float]]],
    augmentations: Sequence[str],
) -> Iterator[dict[str, float]]:
    """Measure one thing after the other, what is asked for most at first; yield the figures."""
    first, *others = augmentations
    plain = run(first, build())
    yield describe_steps(plain, "") | describe_loop(plan, plain, "")
    yield compare(plan, plain, run(first), *plain_loop())
    for other in others:
        yield describe_loop(plan, run(other, build()), f"_{other}")
        yield describe_loop(plan, run(other), f"_without_critics_{other}")
    cached = run(first, build(cached=True))
    yield describe_steps(cached, "_cached")
    yield {
        "step_dover_fraction": plain["dover"] / sum(plain[part] for part in PARTS),
        "step_dover_share_cached": cached["dover"] / plain["dover"],
    }


def describe_loop(plan: Plan, seconds: dict[str, float], end: str) -> dict[str, float]:
    """Return the share of waiting for data and samples a second; names end as told."""
    return {
        f"step_data_share{end}": seconds["data"] / seconds["whole"],
        f"step_samples_per_second{end}": plan.batch / seconds["whole"],
    }


def describe_steps(seconds: dict[str, float], end: str) -> dict[str, float]:
    """Return seconds a step by part, and their sum; names end as told."""
    parts = {part: seconds[part] for part in PARTS}
    figures = {f"step_{part}_seconds{end}": value for part, value in parts.items()}
    return {f"step_seconds{end}": sum(parts.values())} | figures


def compare(plan: Plan, ours: dict, ours_without: dict, plain: dict, plain_without: dict) -> dict:
    """Return samples a second of both loops, with and without critics, and the share of waiting.

    Both are whole steps, with what no part counts.
    """
    figures = {}
    for end, one, other in (("", ours, plain), ("_without_critics", ours_without, plain_without)):
        figures |= describe_loop(plan, one, end) | {
            f"step_plain_data_share{end}": other["data"] / other["whole"],
            f"step_plain_samples_per_second{end}": plan.batch / other["whole"],
            f"step_speedup{end}": other["whole"] / one["whole"],
        }
    return figures


def write_data(folder: Path, plan: Plan) -> None:
    """Write PNG pairs, and a CSV for each length of a pass, which names them again and again."""
    counts = {"heavy": plan.steps, "light": max(plan.light_steps, plan.plain_steps)}
    counts = {name: (steps + 1) * plan.batch for name, steps in counts.items()}
    drawn = min(DRAWN, *counts.values())
    for side, seed in (("x", 1), ("y", 2)):
        (folder / side).mkdir()
        for i, frame in enumerate(image(*plan.size, seed, drawn)):
            cv2.imwrite(str(folder / side / f"{i:04d}.png"), frame.transpose(1, 2, 0))
    for name, count in counts.items():
        rows = [
            (*(f"{side}/{i % drawn:04d}.png" for side in "xy"), *plan.size, SUBSET, "video_0001")
            for i in range(count)
        ]
        write_csv(pd.DataFrame(rows, columns=FRAME_COLUMNS), folder / f"{name}.csv")


def choose_transform(augmentation: str, size: tuple[int, int]) -> PairedTransform:
    """Return the shipped augmentation, on the CPU or where `auto` says; or none."""
    if augmentation == "none":
        return PairedTransform()
    shipped = OmegaConf.load(CONF_DIR / "augmentation/default.yaml")
    changes = {"size": list(size), "device": augmentation}
    return instantiate(OmegaConf.merge(shipped, changes), _convert_="all")


def build_data(
    folder: Path, csv: str, loader: LoaderOptions, transform: PairedTransform, device: torch.device
) -> VQEDataModule:
    """Return what a training on the device would load from."""
    names = {"train": f"{csv}.csv", "valid": f"{csv}.csv"}
    data = VQEDataModule(str(folder), **names, loader=loader, augmentation=transform)
    accelerator = "cpu" if device.type == "cpu" else "gpu"
    quiet = {"logger": False, "enable_checkpointing": False}
    data.trainer = Trainer(accelerator=accelerator, devices=1, **quiet)
    data.setup("fit")
    return data


def build_critics(
    folder: Path, plan: Plan, compiled: bool, *, cached: bool = False
) -> FrozenCritics:
    """Build both critics of a run."""
    options = {"compiled": compiled, "num_clips": plan.num_clips}
    dover = FrozenDOVER(plan.variant, str(folder / "dover.pth"), **options)
    vqa = FrozenVQA(str(folder / "vqa.pth"), compiled=compiled)
    return FrozenCritics(vqa, dover, FeatureCache(folder) if cached else None)


def run_epochs(
    data: VQEDataModule, critics: FrozenCritics | None, device: torch.device
) -> dict[str, float]:
    """Train an epoch to warm up and fill the cache, then a timed one: seconds a step by part."""
    network = BilateralGrid().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    watch = Stopwatch(device)
    original = frozen_critics.digest_frames
    terms = [SupervisedMSE()]
    if critics is not None:
        terms.append(VQALoss().to(device))
        critics.to(device)
        watch.wrap(frozen_critics, "digest_frames", "dover")
        watch.wrap(critics, "_score", "dover")
        watch.wrap(critics, "_encode", "vqa")
        watch.wrap(critics.vqa, "compare", "vqa")
    loader = data.train_dataloader()

    def fetch() -> dict[str, torch.Tensor]:
        batch = move_data_to_device(next(batches), device)
        batch = data.on_after_batch_transfer(batch, 0)
        return batch | {name: to_unit_range(batch[name]) for name in "xy"}

    def learn() -> None:
        batch = watch.run("data", fetch)
        x, y, has_target = (batch[name] for name in ("x", "y", "has_target"))
        enhanced = watch.run("network", network, x)
        scores = critics(x, enhanced, batch["seed"]) if critics is not None else None
        step = Step(x, enhanced, y, has_target, scores)
        loss = sum(term(step) for term in terms)
        watch.run("backward", loss.backward)
        watch.run("network", optimizer.step)
        optimizer.zero_grad()

    for _ in range(2):
        batches = iter(loader)
        fetch()
        watch.seconds.clear()
        for _ in range(len(loader) - 1):
            watch.run("whole", learn)
    frozen_critics.digest_frames = original
    return {part: watch.seconds[part] / (len(loader) - 1) for part in (*PARTS, "whole")}


def run_plain(
    folder: Path, plan: Plan, states: dict, device: torch.device, workers: int
) -> list[dict[str, float]]:
    """Return seconds a step of the plain loop, with the plain critics and without."""
    on_device = {k: {n: w.to(device) for n, w in state.items()} for k, state in states.items()}
    pairs, found = PlainPairs(folder, "light.csv"), []
    plain_critics = PlainCritics(on_device, plan.num_clips)
    for critics, steps in ((plain_critics, plan.plain_steps), (None, plan.light_steps)):
        network = BilateralGrid().to(device)
        options = {"batch": plan.batch, "workers": workers}
        if device.type != "cpu":  # to warm up
            run_plain_loop(pairs, network, critics, device, steps=1, **options)
        found.append(run_plain_loop(pairs, network, critics, device, steps=steps, **options))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one step: figures mean little")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compiled", action="store_true", help="build critics with torch.compile")
    choices = {"default": ["none"], "choices": ("none", "cpu", "auto"), "nargs": "+"}
    parser.add_argument("--augmentation", **choices, help="the shipped one, and where")
    parser.add_argument("--steps", type=int, help="with both critics; three times as many without")
    args = parser.parse_args(arguments)
    quiet_lightning()
    device = torch.device(args.device)
    about = {"machine": describe_machine(device), "step_augmentation": args.augmentation[0]}

    def save(figures: dict) -> None:
        if args.json:
            args.json.write_text(json.dumps(about | figures, indent=2) + "\n")

    options = (args.quick, args.compiled, args.augmentation, args.steps)
    figures = measure_step(device, *options, save)
    for name, value in (about | figures).items():
        print(f"{name:48} {f'{value:.5g}' if isinstance(value, float) else value}", flush=True)
    save(figures)


if __name__ == "__main__":
    main()
