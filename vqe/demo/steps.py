"""Real footage -> data folder -> trained network -> enhanced videos and their gain: the demo."""

import argparse
import logging
import shlex
import subprocess
import sys
import time
from pathlib import Path

from vqe.cli import IN_CHECKOUT, REPOSITORY
from vqe.demo.footage import build_demo_data, fetch_footage
from vqe.files import read_csv
from vqe.inputs import find_shipped
from vqe.mistakes import INTERRUPTED, USAGE, describe, find_status
from vqe.schema import (
    SCORE_OF_COLUMN,
    SUPERVISED_CSV,
    UNSUPERVISED_CSV,
    leaderboard_score,
)

PACKAGE = REPOSITORY / "vqe"
INPUT = (  # the network that changes nothing, through the same test
    "model_vqe=identity",
    "callbacks.render_videos=null",
    "callbacks.before_after=null",
    "callbacks.split_screen=null",
    "trainer.limit_val_batches=0",
    "export_onnx=false",
    "logger=none",
)
NETWORK = "nano"  # conf/experiment/demo.yaml's
AS_IT_IS = ("trainer.max_epochs=0", "scheduler=none", *INPUT[1:])  # a test without training
CRITIC = """p: how likely the critic finds the enhanced frame better than the input; 0.5: alike.
The critic is this project's own stand-in (model_vqa=standin), not the challenge's: its p and the
score compare networks with each other, here alone, and with no leaderboard."""


def run_demo(out: Path, footage: Path | None, overrides: list[str]) -> None:
    """Run every step as a user would type it.

    Args:
        out: everything is written below this folder.
        footage: folder with the clips; None fetches them.
        overrides: Hydra overrides for `train_vqe.py`.

    Raises:
        subprocess.CalledProcessError: a step failed.
    """
    started = time.monotonic()
    data, run = out / "data", out / "run"
    start = start_from_shipped(overrides)
    build_demo_data(footage or fetch_footage(out / "footage"), data)
    _run(PACKAGE, "dataset_builder.py", "--config-name", "data/demo", _set("data.source_dir", data))
    train = ["train_vqe.py", "--config-name=vqe", "experiment=demo", _set("dataset.path", data)]
    _run(PACKAGE, *train, _set("hydra.run.dir", run), *start, *overrides)
    others = {"before": (out / "input", change_nothing(overrides))}
    if start:
        others["shipped"] = (out / "shipped", [*start, *replace(overrides, AS_IT_IS)])
    for folder, options in others.values():
        _run(PACKAGE, *train, _set("hydra.run.dir", folder), *options)
    results = run / "results"
    counts = [len(read_csv(results / name)) for name in (SUPERVISED_CSV, UNSUPERVISED_CSV)]
    options = ["--supervised", str(counts[0]), "--unsupervised", str(counts[1])]
    _run(REPOSITORY, "codalab_scoring/score.py", "--results", str(results), *options)
    report = [_set("runs", run), _set("input", out / "input")]
    report += [_set("output", out / "report.html"), _set("hydra.run.dir", out / "report")]
    _run(PACKAGE, "report.py", *report)
    means = {column: read_means(folder / "results") for column, (folder, _) in others.items()}
    print(f"\n{format_gain(means | {'after': read_means(results)})}\n{CRITIC}\n")
    print(f"report            {out / 'report.html'}")
    print(f"before and after  {run / 'before_after_test.png'}")
    print(f"split screen      {run / 'split_screen'}")
    print(f"enhanced videos   {run / 'videos'}")
    print(f"metric CSVs       {results}")
    print(f"network           {run / 'network.onnx'}")
    print(f"took              {time.monotonic() - started:.0f} s")


def change_nothing(overrides: list[str]) -> list[str]:
    """Return overrides that test the unchanged input as these test the network."""
    kept = [o for o in overrides if _key(o).split(".")[0] not in ("model_vqe", "init_from")]
    return replace(kept, INPUT)


def replace(overrides: list[str], others: tuple[str, ...]) -> list[str]:
    """Return overrides with `others` in the place of those of the same keys."""
    taken = {_key(other) for other in others}
    return [*(override for override in overrides if _key(override) not in taken), *others]


def start_from_shipped(overrides: list[str]) -> list[str]:
    """Return the override that starts from the shipped network, none where that does not fit."""
    own = {"model_vqe", "init_from", "resume_from"} & {_key(o).split(".")[0] for o in overrides}
    return [] if own or find_shipped(NETWORK) is None else [f"init_from={NETWORK}"]


def read_means(results: Path) -> dict[str, float]:
    """Read the metric CSVs of a test: `rmse`, `p`, `a1`..`a11` as means over videos, `score`.

    Raises:
        FileNotFoundError: a CSV is missing.
    """
    rmse = read_csv(results / SUPERVISED_CSV)["rmse"].mean()
    scores = read_csv(results / UNSUPERVISED_CSV).rename(columns=SCORE_OF_COLUMN)
    means = scores[list(SCORE_OF_COLUMN.values())].mean().to_dict()
    return means | {"rmse": rmse, "score": leaderboard_score(means, rmse)}


def format_gain(means: dict[str, dict[str, float]]) -> str:
    """Lay out what `read_means` gives, by column: before, perhaps shipped, after."""
    rows = {
        "RMSE (challenge range)": "rmse",
        "critic's p": "p",
        "score": "score",
    }
    lines = [f"{'on held-out clips':24}" + "".join(f"{column:>9}" for column in means)]
    for name, key in rows.items():
        lines.append(f"{name:24}" + "".join(f"{found[key]:9.3f}" for found in means.values()))
    ratio = means["after"]["rmse"] / means["before"]["rmse"]
    return "\n".join([*lines, f"{'RMSE after / before':24}{ratio:{9 * len(means)}.2f}"])


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _set(key: str, value: Path) -> str:
    return f"{key}='{value}'"


def _run(folder: Path, *command: str) -> None:
    print(f"\n$ cd {folder} && python {shlex.join(command)}", flush=True)
    subprocess.run([sys.executable, *command], cwd=folder, check=True)


def main() -> int:
    """Run the demo from the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "outputs" / "demo")
    parser.add_argument("--footage", type=Path, help="folder with the clips; else fetched")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides for train_vqe.py")
    args = parser.parse_args()
    if not IN_CHECKOUT:
        got = f"an installed package ({REPOSITORY})"
        advice = "Clone the repository and run: make demo"
        print(f"error: expected the demo in a checkout, got {got}. {advice}", file=sys.stderr)
        return USAGE
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run_demo(args.out.resolve(), args.footage, args.overrides)
    except subprocess.CalledProcessError as error:
        return error.returncode  # the step itself has said why
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        status = find_status(error)
        if status is None:
            raise  # a bug keeps its traceback
        print(f"error: {describe(error, ())}", file=sys.stderr)
        return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
