"""Real footage -> data folder -> trained network -> enhanced videos, CSVs and score: the demo."""

import argparse
import logging
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from vqe.config import REPOSITORY
from vqe.demo_footage import build_demo_data, fetch_footage
from vqe.schema import SUPERVISED_CSV, UNSUPERVISED_CSV

PACKAGE = REPOSITORY / "vqe"


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
    build_demo_data(footage or fetch_footage(out / "footage"), data)
    _run(PACKAGE, "dataset_builder.py", "--config-name", "data/demo", _set("data.source_dir", data))
    train = ["train_vqe.py", "--config-name=vqe", "experiment=demo", _set("dataset.path", data)]
    _run(PACKAGE, *train, _set("hydra.run.dir", run), *overrides)
    results = run / "results"
    counts = [len(pd.read_csv(results / name)) for name in (SUPERVISED_CSV, UNSUPERVISED_CSV)]
    options = ["--supervised", str(counts[0]), "--unsupervised", str(counts[1])]
    _run(REPOSITORY, "codalab_scoring/score.py", "--results", str(results), *options)
    print(f"enhanced videos   {run / 'videos'}")
    print(f"metric CSVs       {results}")
    print(f"before and after  {run / 'before_after_test.png'}")
    print(f"network           {run / 'network.onnx'}")
    print(f"took              {time.monotonic() - started:.0f} s")
    print("The critics of this demo are untrained: the score shows that the chain works, no more.")


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
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run_demo(args.out.resolve(), args.footage, args.overrides)
    except subprocess.CalledProcessError as error:
        return error.returncode  # the step itself has said why
    return 0


if __name__ == "__main__":
    sys.exit(main())
