"""Enhancement: what each network makes of held-out clips, and what it costs.

python benchmarks/enhancement.py [--json FILE] [--clean FOLDER] [--networks a,b] [--seeds N]
                                 [--footage FOLDER] [--folder FOLDER] [--quick] [overrides ...]

Trains each network by the demo's recipe (conf/experiment/demo.yaml), once a seed, and measures the
best weights on clips that training never saw, beside the unchanged input and the OpenCV baseline.
Values are means over seeds, `<value>_spread` the largest less the smallest. What is finished lies
in the work folder: a run that was cut goes on, and networks can be run one by one.

python benchmarks/enhancement.py --shipped [--json FILE] [--clean FOLDER] [--real FOLDER]
                                 [--faults NAME] [--weights FOLDER] [--networks a,b] [--clips N]
                                 [--no-times]

Trains nothing: judges the weights that ship, or those of a folder, on clean footage (videos,
photographs) that is degraded here, and on bad footage without a target; see enhancement_shipped.py.
Beside the JSON file lie `<name>_clips.csv` and contact sheets, `<name>_{clean,real}.png`.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from enhancement_data import (
    make_clean_data,
    make_judged_data,
    make_quick_data,
    make_training_data,
)
from enhancement_quality import (
    QUALITY,
    enhance_by,
    enhance_opencv,
    keep_input,
    measure_quality,
)
from enhancement_sheet import Sheet
from enhancement_shipped import judge_clean, judge_real, load_candidates, print_judged
from enhancement_speed import SPEED, measure_speed
from enhancement_training import Trainer, write_json
from measuring import describe_machine

from vqe.cli import REPOSITORY
from vqe.critics.frozen_critics import FrozenCritics
from vqe.files import write_csv
from vqe.synthesis.presets import find_preset

UNTRAINED = {"input": keep_input, "opencv": enhance_opencv}
TRAINED = ("sample", "nano", "lut", "base", "recurrent")
NETWORKS = (*UNTRAINED, *TRAINED)
QUICK_NETWORKS = (*UNTRAINED, "nano")
FIRST_SEED = 2025
Row = dict[str, float | None]


def keep(path: Path, key: str, compute: Callable[[], Row]) -> Row:
    """Return what a file keeps under a key; else compute and keep it."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if kept.get("key") != key:
        kept = {"key": key, "row": compute()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, kept)
    return kept["row"]


class Benchmark:
    """Rows of the table, each finished piece kept in a folder.

    Args:
        folder: the work folder.
        trainer: makes the networks.
        held_out: the data folder whose held-out clips are measured on.
        seeds: trainings of each network.
    """

    def __init__(self, folder: Path, trainer: Trainer, held_out: Path, seeds: int) -> None:
        self.folder = folder
        self.trainer = trainer
        self.held_out = held_out
        self.seeds = range(FIRST_SEED, FIRST_SEED + seeds)
        self.critics: FrozenCritics = trainer.build_critics()
        self.clips = (held_out / "synthesis.csv").read_text(encoding="utf-8")

    def measure(self, network: str) -> Row:
        """Measure one network."""
        if network in UNTRAINED:
            row = self._measure_quality(network, UNTRAINED[network], "")
            return row | dict.fromkeys(SPEED)
        rows = [self._measure_seed(network, seed) for seed in self.seeds]
        row = {name: sum(r[name] for r in rows) / len(rows) for name in QUALITY}
        for name in QUALITY:
            values = [r[name] for r in rows]
            row[f"{name}_spread"] = max(values) - min(values)
        return row | self._measure_speed(network)

    def _measure_seed(self, network: str, seed: int) -> Row:
        trained, recipe = self.trainer.train(network, seed)
        row = self._measure_quality(f"{network}_{seed}", enhance_by(trained), recipe)
        print("  " + ", ".join(f"{name} {value:.4f}" for name, value in row.items()), flush=True)
        return row

    def _measure_quality(self, name: str, enhance: Callable, recipe: str) -> Row:
        path = self.folder / "quality" / f"{self.held_out.name}_{name}.json"
        return keep(
            path,
            f"{recipe}\n{self.clips}",
            lambda: measure_quality(self.held_out, enhance, self.critics),
        )

    def _measure_speed(self, network: str) -> Row:
        trained, recipe = self.trainer.train(network, self.seeds[0])
        folder, quick = self.folder / "speed" / network, self.trainer.quick
        folder.mkdir(parents=True, exist_ok=True)
        compute = lambda: measure_speed(trained, folder, quick=quick)  # noqa: E731
        return keep(folder / "speed.json", recipe, compute)


def print_table(rows: dict[str, Row]) -> None:
    """Print a line a network; a spread stands behind its value."""
    columns = (*QUALITY, *SPEED)
    print(f"\n{'':10}" + "".join(f"{name:>16}" for name in columns))
    for network, row in rows.items():
        print(f"{network:10}" + "".join(f"{_format(row, name):>16}" for name in columns))


def _format(row: Row, name: str) -> str:
    if row[name] is None:
        return "-"
    spread = row.get(f"{name}_spread")
    return f"{row[name]:.3f}" + ("" if spread is None else f" ~{spread:.3f}")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--clean", type=Path, help="measure on this clean footage, degraded")
    parser.add_argument("--networks", help=f"which, with commas, of {', '.join(NETWORKS)}")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each network")
    parser.add_argument("--footage", type=Path, help="folder with the demo's clips; else fetched")
    folder = REPOSITORY / "outputs" / "benchmark_enhancement"
    parser.add_argument("--folder", type=Path, default=folder, help="work folder")
    parser.add_argument("--quick", action="store_true", help="one step, tiny frames: does it run?")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides for the trainings")
    parser.add_argument("--shipped", action="store_true", help="judge what ships, train nothing")
    parser.add_argument("--real", type=Path, help="with --shipped: bad footage without a target")
    parser.add_argument("--faults", default="v1", help="with --shipped: a name in conf/faults")
    parser.add_argument("--weights", type=Path, help="with --shipped: a folder of other weights")
    parser.add_argument("--clips", type=int, default=2, help="with --shipped: of each clean file")
    parser.add_argument("--no-times", action="store_true", help="with --shipped: no MACs, no times")
    options = parser.parse_args(arguments)
    if options.shipped:
        options.networks = options.networks.split(",") if options.networks else None
        return options
    standard = QUICK_NETWORKS if options.quick else NETWORKS
    options.networks = options.networks.split(",") if options.networks else list(standard)
    unknown = sorted(set(options.networks) - set(NETWORKS))
    if unknown:
        parser.error(f"expected --networks of {', '.join(NETWORKS)}, got {', '.join(unknown)}")
    if options.seeds < 1:
        parser.error(f"expected --seeds from 1, got {options.seeds}")
    return options


def judge(options: argparse.Namespace) -> None:
    """Judge weights that are there; print a table, write JSON, CSV and contact sheets."""
    folder = options.folder.absolute() / "judged"
    folder.mkdir(parents=True, exist_ok=True)
    target = options.json or folder / "judged.json"
    candidates = load_candidates(options.weights, options.networks)
    rows: dict[str, Row] = {name: {} for name in candidates}
    clips: list[dict] = []
    if options.clean or not options.real:
        ranges, sheet = find_preset(options.faults), Sheet()
        about = {"footage": options.footage, "clips": options.clips}
        data = make_judged_data(options.clean, folder, ranges, **about)
        critics = Trainer(folder / "runs", data).build_critics()
        found, clips = judge_clean(data, candidates, critics, sheet)
        rows = {name: row | found[name] for name, row in rows.items()}
        sheet.write(target.with_name(f"{target.stem}_clean.png"))
    if options.real:
        sheet = Sheet()
        found, real = judge_real(options.real, candidates, sheet)
        rows = {name: row | found[name] for name, row in rows.items()}
        clips += real
        sheet.write(target.with_name(f"{target.stem}_real.png"))
    for name, candidate in candidates.items():
        rows[name] |= dict.fromkeys(SPEED)
        if candidate.network is not None and not options.no_times:
            place = folder / "speed" / name
            place.mkdir(parents=True, exist_ok=True)
            rows[name] |= measure_speed(candidate.network, place, quick=options.quick)
    write_json(target, rows)
    write_csv(pd.DataFrame(clips), target.with_name(f"{target.stem}_clips.csv"))
    print(describe_machine(torch.device("cpu")))
    print_judged(rows)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table and write the JSON file after each network."""
    options = parse_arguments(arguments)
    if options.shipped:
        judge(options)
        return
    folder = options.folder.absolute() / ("quick" if options.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    data = make_quick_data(folder) if options.quick else None
    data = data or make_training_data(folder, options.footage)
    held_out = make_clean_data(options.clean, folder) if options.clean else data
    trainer = Trainer(folder / "runs", data, options.quick, tuple(options.overrides))
    benchmark = Benchmark(folder, trainer, held_out, 1 if options.quick else options.seeds)
    rows = {}
    for network in options.networks:
        rows[network] = benchmark.measure(network)
        if options.json:
            write_json(options.json, rows)
    print(describe_machine(torch.device("cpu")))
    print_table(rows)


if __name__ == "__main__":
    main()
