"""The mean of the weights is validated, saved and tested; the raw weights go on training."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, seed_everything

from vqe.critics.frozen_critics import FrozenCritics
from vqe.training import assembly, checkpoints
from vqe.training import train as train_vqe
from vqe.training.callbacks import EMA

OPTIONS = ("callbacks=ema", "callbacks.ema.decay=0.9", "scheduler=none", "optimizer.lr=1e-2")
LONG = (
    "trainer.limit_train_batches=null",
    "dataloader.batch_size=2",
    "callbacks.before_after=null",
    "loss.weights.vqa=0",
    "dataset.valid_query='subset == \"train_supervised_synthetic\"'",
)


class Record(Callback):
    """Keep the network's weights after each step and at validation."""

    def __init__(self):
        self.steps, self.validated, self.end = [], [], None

    def on_train_batch_end(self, trainer, module, *_):
        self.steps.append(weights(module.network))

    def on_validation_batch_start(self, trainer, module, *_):
        self.validated.append(weights(module.network))

    def on_train_end(self, trainer, module):
        self.end = weights(module.network)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def fit(config, resume=None):
    seed_everything(config.seed, verbose=False)
    data, module = assembly.build_data(config), assembly.build_module(config)
    trainer, record = assembly.build_trainer(config), Record()
    start = weights(module.network)
    trainer.callbacks.append(record)
    train_vqe.fit(trainer, module, data, resume)
    return module, record, start


def mean_by_hand(start, steps, decay, before=0):
    mean = start.double()
    for n, now in enumerate(steps, start=before + 1):
        share = min(decay, (1 + n) / (10 + n))
        mean = share * mean + (1 - share) * now.double()
    return mean.float()


def test_validation_checkpoints_and_the_end_have_the_mean(tiny_config):
    config = tiny_config(*OPTIONS, *LONG, "test=false", "trainer.val_check_interval=3")
    module, record, start = fit(config)
    by_hand = [mean_by_hand(start, record.steps[:n], 0.9) for n in (3, len(record.steps))]
    assert not torch.allclose(by_hand[1], record.steps[-1], atol=1e-4)
    torch.testing.assert_close(record.validated[0], by_hand[0])
    torch.testing.assert_close(weights(module.network), by_hand[1])
    # training went on from the raw weights: one step changes them by about the learning rate
    assert (record.steps[3] - record.steps[2]).abs().max() < 0.02
    folder = config.paths.run + "/checkpoints"
    last, _ = checkpoints.load_network(Path(folder) / "last.ckpt")
    torch.testing.assert_close(weights(last), by_hand[1])
    checkpoint = checkpoints.read_checkpoint(Path(folder) / "last.ckpt")
    assert all(key.startswith("network.") for key in checkpoint["state_dict"])
    assert checkpoint["ema_updates"] == len(record.steps)
    raw = [checkpoint["ema_raw_weights"][name] for name, _ in module.network.named_parameters()]
    torch.testing.assert_close(torch.cat([w.flatten() for w in raw]), record.steps[-1])
    best = checkpoints.read_checkpoint(Path(folder) / "best.ckpt")
    best_weights, _ = checkpoints.load_network(Path(folder) / "best.ckpt")
    torch.testing.assert_close(
        weights(best_weights), mean_by_hand(start, record.steps[: best["global_step"]], 0.9)
    )


def test_resuming_goes_on_with_both(tiny_config, tmp_path):
    common = (*OPTIONS, *LONG, "test=false")
    whole, all_steps, start = fit(
        tiny_config(*common, "trainer.max_epochs=2", run=tmp_path / "whole")
    )
    first = tiny_config(*common, "trainer.max_epochs=1", run=tmp_path / "first")
    fit(first)
    second = tiny_config(*common, "trainer.max_epochs=2", run=tmp_path / "second")
    module, rest, _ = fit(second, Path(first.paths.run) / "checkpoints/last.ckpt")
    assert len(all_steps.steps) == 2 * len(rest.steps)
    torch.testing.assert_close(rest.steps[-1], all_steps.steps[-1])
    torch.testing.assert_close(weights(module.network), weights(whole.network))
    torch.testing.assert_close(
        weights(whole.network), mean_by_hand(start, all_steps.steps, 0.9), rtol=1e-4, atol=1e-5
    )


def test_a_checkpoint_without_a_mean_starts_one(tiny_config, tmp_path):
    common = (*LONG, "test=false", "scheduler=none")
    _, before, _ = fit(tiny_config(*common, run=tmp_path / "plain"))
    resume = Path(tmp_path) / "plain/checkpoints/last.ckpt"
    config = tiny_config(*common, *OPTIONS, "trainer.max_epochs=2", run=tmp_path / "ema")
    module, record, _ = fit(config, resume)
    expected = mean_by_hand(before.steps[-1], record.steps, 0.9, before=len(before.steps))
    torch.testing.assert_close(weights(module.network), expected)


def test_critics_are_not_copied(tiny_config, monkeypatch):
    def refuse(self, memo):
        raise AssertionError("the critics were copied")

    monkeypatch.setattr(FrozenCritics, "__deepcopy__", refuse, raising=False)
    fit(tiny_config(*OPTIONS, *LONG, "test=false"))


def test_the_best_mean_is_tested(tiny_config):
    supervised = "dataset.holdout_query='subset == \"test_supervised_synthetic\"'"
    options = (*OPTIONS, *LONG, supervised, "callbacks.render_videos=null")
    numbers = train_vqe.train(tiny_config(*options))
    assert numbers["test/rmse"] > 0


@pytest.mark.parametrize("decay", [-0.1, 1])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay in \[0,1\)"):
        EMA(decay)
