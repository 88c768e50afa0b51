"""Interrupted, diverged and resumed trainings: what is kept, what is said, how they end."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import HANGS, TINY, compose_config
from pytorch_lightning import Callback
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import nn

from vqe.cli import PACKAGE
from vqe.export.onnx import export_onnx
from vqe.finite import NonFiniteError, check_frames
from vqe.mistakes import count_status, is_interruption
from vqe.models import SampleConv
from vqe.state_dict import DIGEST
from vqe.training import assembly, checkpoints
from vqe.training import train as train_vqe
from vqe.training.module import VQEModule

QUICK = (
    "loss.weights.vqa=0",
    "scheduler=none",
    "callbacks.before_after=null",
    "callbacks.render_videos=null",
    "callbacks.split_screen=null",
    "dataset.valid_query='subset == \"train_supervised_synthetic\"'",
    "dataset.holdout_query='subset == \"test_supervised_synthetic\"'",
)


class Disturb(Callback):
    """Do something in the step after so many steps."""

    def __init__(self, step, what):
        self.step, self.what = step, what

    def on_train_batch_start(self, trainer, module, *_):
        if trainer.global_step == self.step:
            self.what(module)


def fit(config, *callbacks, resume=None):
    data, module = assembly.build_data(config), assembly.build_module(config)
    trainer = assembly.build_trainer(config)
    trainer.callbacks[:0] = callbacks
    train_vqe.fit(trainer, module, data, resume)
    return trainer


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_an_interruption_touches_the_last_weights_alone(tiny_config, error):
    """Nothing gets better at this learning rate: the first epoch's weights are the best."""
    config = tiny_config(*QUICK, "optimizer.lr=0", "trainer.max_epochs=3")
    kept = []
    folder = Path(config.paths.run) / "checkpoints"

    def stop(module):
        kept.extend((folder / f"{name}.ckpt").read_bytes() for name in ("best", "last"))
        raise error

    config.trainer.limit_train_batches = 2
    with pytest.raises((RuntimeError, SystemExit)):
        fit(config, Disturb(3, stop))
    assert (folder / "best.ckpt").read_bytes() == kept[0]
    assert (folder / "last.ckpt").read_bytes() != kept[1]
    assert checkpoints.read_checkpoint(folder / "last.ckpt")["global_step"] == 3


def test_a_loss_that_is_no_number_stops_the_training(tiny_config):
    config = tiny_config(*QUICK, "trainer.max_epochs=3")
    folder = Path(config.paths.run) / "checkpoints"
    kept = []

    def spoil(module):
        kept.append((folder / "last.ckpt").read_bytes())
        module.loss.terms["sup_mse"].forward = lambda step: step.zero() * math.nan

    with pytest.raises(NonFiniteError, match=r"sup_mse = nan, loss = nan in step 2\. .*lr"):
        fit(config, Disturb(1, spoil))
    assert (folder / "last.ckpt").read_bytes() == kept[0]
    checkpoints.load_network(folder / "best.ckpt")


def test_a_rank_stops_where_another_has_no_numbers(tiny_config):
    def hear_of_another(module):
        module.trainer.strategy.reduce_boolean_decision = lambda is_fine, all=True: False

    with pytest.raises(NonFiniteError, match=r"finite loss terms on every rank in step 2\. .*lr"):
        fit(tiny_config(*QUICK, "trainer.max_epochs=3"), Disturb(1, hear_of_another))


def test_a_gradient_that_is_no_number_never_reaches_the_weights(tiny_config):
    config = tiny_config(*QUICK, "trainer.max_epochs=3")
    modules = []

    def spoil(module):
        modules.append(module)
        parameter = next(module.network.parameters())
        parameter.register_hook(lambda gradient: gradient * math.inf)

    with pytest.raises(NonFiniteError, match=r"expected a finite gradient.* in step 2"):
        fit(config, Disturb(1, spoil))
    assert all(p.isfinite().all() for p in modules[0].network.parameters())


class Black(nn.Module):
    """A network whose frames are no numbers."""

    def forward(self, frames):
        return (frames * math.nan).clamp(0, 1)


def test_frames_that_are_no_numbers_are_not_rendered():
    module = VQEModule(Black())
    batch = {"x": torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "video": torch.tensor([0])}
    with pytest.raises(NonFiniteError, match="expected finite frames of the network"):
        module._render(batch, 0)
    check_frames(torch.full((1, 3, 512, 512), 1.0, dtype=torch.float16), "a half")  # no overflow


def test_a_network_that_is_no_numbers_is_not_exported(tmp_path):
    network = SampleConv()
    nn.init.constant_(network.conv.bias, math.nan)
    with pytest.raises(NonFiniteError, match=r"weights of SampleConv, got others in conv\.bias"):
        export_onnx(network, tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, data_folder):
    """Two epochs, of which the first is the best, as no weight changes."""
    run = tmp_path_factory.mktemp("runs") / "first"
    options = (*TINY, *QUICK, "optimizer.lr=0", "trainer.max_epochs=2", "test=false")
    train_vqe.train(compose_config(run, f"dataset.path='{data_folder}'", *options))
    return run


def test_the_last_weights_are_those_of_the_last_validation(stopped):
    steps = {
        name: checkpoints.read_checkpoint(stopped / f"checkpoints/{name}.ckpt")["global_step"]
        for name in ("best", "last")
    }
    assert steps == {"best": 1, "last": 2}


def age(folder):
    """Make checkpoints of a folder what Lightning alone would have written, somewhere else."""
    for path in folder.glob("*.ckpt"):
        content = torch.load(path, weights_only=True)
        del content[DIGEST]
        for key, state in content["callbacks"].items():
            if key.startswith("ModelCheckpoint"):
                names = {n: f"/gone/{s}" for n, s in state.items() if n.endswith("_path") and s}
                best = {f"/gone/{n}": score for n, score in state["best_k_models"].items()}
                state |= {"dirpath": "/gone", "best_k_models": best, **names}
        torch.save(content, path)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("epochs", [2, 3])
def test_the_best_weights_go_on_in_the_resumed_run(tiny_config, tmp_path, stopped, epochs, old):
    """With nothing left to train, too: the best are tested."""
    first = shutil.copytree(stopped, tmp_path / "first")
    if old:
        age(first / "checkpoints")
    options = (*QUICK, "optimizer.lr=0", f"trainer.max_epochs={epochs}")
    config = tiny_config(*options, run=tmp_path / "second")
    config.resume_from = str(first / "checkpoints/last.ckpt")
    numbers = train_vqe.train(config)
    assert numbers["test/rmse"] > 0
    best = tmp_path / "second/checkpoints/best.ckpt"
    assert best.read_bytes() == (first / "checkpoints/best.ckpt").read_bytes()


def test_best_weights_that_are_gone_are_told(tiny_config, tmp_path, stopped, caplog):
    shutil.copytree(stopped, tmp_path / "first")
    (tmp_path / "first/checkpoints/best.ckpt").unlink()
    config = tiny_config(*QUICK, "trainer.max_epochs=3", run=tmp_path / "second")
    fit(config, resume=tmp_path / "first/checkpoints/last.ckpt")
    assert "the best weights so far, is gone" in caplog.text
    assert (tmp_path / "second/checkpoints/best.ckpt").is_file()


def test_checkpoints_and_event_files_name_no_folder_and_no_machine(stopped):
    for path in stopped.glob("checkpoints/*.ckpt"):
        assert str(stopped.parent).encode() not in path.read_bytes()
    events = [path.name for path in (stopped / "tensorboard").glob("*tfevents*")]
    assert events
    for name in events:  # events.out.tfevents.<time>.<machine>.<process>.<number>
        assert name.split(".")[4] == "run"


def test_a_late_sigterm_of_the_framework_is_143():
    assert is_interruption(SIGTERMException())
    assert count_status(SIGTERMException()) == 143


def start(command, run, data_folder, *overrides):
    options = [f"hydra.run.dir='{run}'", f"dataset.path='{data_folder}'"]
    return subprocess.Popen(
        [sys.executable, str(PACKAGE / f"{command}.py"), *options, *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def terminate_once(process, is_ready):
    """Send SIGTERM as soon as something is there; return the exit status and what was printed."""
    with process:
        end = time.monotonic() + HANGS
        while not is_ready() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=HANGS)[0]
        return process.returncode, output


@pytest.mark.slow
def test_sigterm_ends_a_training_with_143_and_its_last_weights(tmp_path, data_folder):
    run = tmp_path / "runs/one"
    options = (*TINY, *QUICK, "trainer.max_epochs=2000", "trainer.check_val_every_n_epoch=1000")
    options = (*options, "trainer.num_sanity_val_steps=0", "trainer.limit_train_batches=null")
    process = start("train_vqe", run, data_folder, *options)
    metrics = run / "csv/metrics.csv"
    status, output = terminate_once(process, metrics.exists)
    assert (status, "terminated" in output) == (143, True), output[-3000:]
    last = checkpoints.read_checkpoint(run / "checkpoints/last.ckpt")
    assert last["global_step"] > 0
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]


@pytest.mark.slow
def test_sigterm_ends_a_test_with_143_and_no_half_file(tmp_path, data_folder, nano_checkpoint):
    run = tmp_path / "runs/one"
    options = ("model_vqa.weights=untrained", "model_dover=off", "trainer=cpu")
    options = (*options, "dataloader.num_workers=0", "dataloader.eval_batch_size=1")
    checkpoint = f"checkpoint='{nano_checkpoint}'"
    process = start("test_vqe", run, data_folder, *options, checkpoint)
    status, output = terminate_once(process, lambda: any((run / "split_screen").glob("*")))
    assert (status, "terminated" in output) == (143, True), output[-3000:]
    assert not [p for p in run.rglob("*") if p.suffix in (".part", ".csv")]
    for path in run.rglob("*.mp4"):
        assert path.stat().st_size > 0
