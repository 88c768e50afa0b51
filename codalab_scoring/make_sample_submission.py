"""Write `sample_submission/`: two CSVs of made-up metrics in the leaderboard's format.

The values are drawn, not measured: they show the format and give `score.py` something to read.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from score import COLUMNS, SUPERVISED_CSV, UNSUPERVISED_CSV

ROWS = {SUPERVISED_CSV: 500, UNSUPERVISED_CSV: 3000}
# (low, high) of what a fair enhancer gets; each column leans towards the middle.
SPANS = {SUPERVISED_CSV: (0.01, 0.12), UNSUPERVISED_CSV: (0.2, 0.95)}


def write_sample(folder: Path, *, seed: int = 0) -> None:
    """Write both CSVs into `folder`, the same bytes for the same seed on every system."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for name, columns in COLUMNS.items():
        low, high = SPANS[name]
        shares = generator.random((2, ROWS[name], len(columns) - 1)).mean(axis=0)
        lines = [",".join(columns)]
        for i, values in enumerate(low + (high - low) * shares, start=1):
            lines.append(f"video_{i:04d}," + ",".join(f"{value:.3g}" for value in values))
        (folder / name).write_bytes(("\n".join(lines) + "\n").encode())


def main(argv: list[str] | None = None) -> int:
    """Write the sample submission beside this file, or into `--dir_out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dir_out", type=Path, default=Path(__file__).with_name("sample_submission")
    )
    write_sample(parser.parse_args(argv).dir_out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
