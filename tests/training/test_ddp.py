"""Two processes write the CSVs and videos of one, and learn what one learns."""

import os
import socket
import subprocess
import sys

import pandas as pd
import pytest
import torch
from conftest import HANGS, TINY, run_command, run_here
from doc_commands import TWO_PROCESSES, parse

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
    page = parse(TWO_PROCESSES)  # the command as it stands there
    ddp = [word.replace("<data>", f"'{data_folder}'") for word in page.arguments]
    two = make_arguments(tmp_path / "two", data_folder, *same, *ddp, "dataloader.lanes=2")
    run_command([sys.executable, str(REPOSITORY / page.script), *two], tmp_path)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("video*.mp4"))
    assert len(files) == 3
    for name in (*files, "results/metrics_supervised.csv", "results/metrics_unsupervised.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    one, two = (pd.read_csv(tmp_path / run / "csv/metrics.csv") for run in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, check_exact=False, rtol=1e-5)
    assert {"val/mse", "val/score", "test/score"} <= set(one.columns)


# Gradients of two batches are averaged by gloo in one case and summed by autograd in the other: the
# same numbers in another order, which moves float32's last digits (6e-8 of a weight, a step).
ROUNDING = 1e-5
LEARNING = (
    "loss.weights.vqa=0",
    "dataloader.batch_size=2",
    "test=false",
    "callbacks.before_after=null",
)


def train_on_two_nodes(arguments, folder):
    """Run a training as two machines would, one process each."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(found.getsockname()[1])}
    nodes = [
        subprocess.Popen(
            [sys.executable, str(TRAIN), *arguments],
            cwd=folder,
            env=os.environ | address | {"NODE_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    for node in nodes:
        words, _ = node.communicate(timeout=HANGS)
        assert node.returncode == 0, words[-3000:]


@pytest.mark.slow
def test_two_nodes_learn_what_one_process_learns(tmp_path, data_folder):
    runs = {
        "one": ("trainer.accumulate_grad_batches=2", "trainer.limit_train_batches=4"),
        "half": ("trainer.limit_train_batches=2",),  # what the first node alone would learn
    }
    for run, options in runs.items():
        arguments = make_arguments(tmp_path / run, data_folder, *LEARNING, *options)
        assert run_here(TRAIN, arguments, tmp_path) == 0
    two = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.num_nodes=2")
    two = (*two, "trainer.limit_train_batches=2")
    train_on_two_nodes(make_arguments(tmp_path / "two", data_folder, *LEARNING, *two), tmp_path)
    tables = {run: pd.read_csv(tmp_path / run / "csv/metrics.csv") for run in ("one", "two")}
    losses = {run: table["val/mse"].dropna().tolist() for run, table in tables.items()}
    assert losses["one"] == pytest.approx(losses["two"], rel=ROUNDING)
    one, half, two = (read_weights(tmp_path / run) for run in ("one", "half", "two"))
    assert (one - two).abs().max() <= ROUNDING
    assert (one - half).abs().max() > 20 * ROUNDING


def read_weights(run):
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2
    return torch.cat([v.flatten().double() for v in checkpoint["state_dict"].values()])
