"""Two processes write the CSVs and videos of one."""

import sys

import pandas as pd
import pytest
from conftest import TINY, run_command, run_here

from vqe.cli import REPOSITORY

TRAIN = REPOSITORY / "vqe" / "train_vqe.py"


def make_arguments(run, data_folder, *overrides):
    places = (f"dataset.path='{data_folder}'", f"hydra.run.dir='{run}'")
    return [*places, *TINY, "trainer.accelerator=cpu", *overrides]


@pytest.mark.slow
def test_two_ranks_write_what_one_writes(tmp_path, data_folder):
    # nothing to train: the weights of one and of two ranks are then the same
    same = ("model_vqe=identity",)
    assert run_here(TRAIN, make_arguments(tmp_path / "one", data_folder, *same), tmp_path) == 0
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    two = make_arguments(tmp_path / "two", data_folder, *same, *ddp, "dataloader.lanes=2")
    run_command([sys.executable, str(TRAIN), *two], tmp_path)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("video*.mp4"))
    assert len(files) == 3
    for name in (*files, "results/metrics_supervised.csv", "results/metrics_unsupervised.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    one, two = (pd.read_csv(tmp_path / run / "csv/metrics.csv") for run in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, check_exact=False, rtol=1e-5)
    assert {"val/mse", "val/score", "test/score"} <= set(one.columns)
