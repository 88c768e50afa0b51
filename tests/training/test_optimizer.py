"""Weight decay is kept off biases and tables; saved optimizers go on; frozen parts stay."""

from functools import partial

import pytest
import torch
from network_checks import TRAINABLE, build_small
from timm.optim import create_optimizer_v2

from vqe.models import Lut, Nano
from vqe.training import assembly, checkpoints
from vqe.training import train as train_vqe
from vqe.training.optimizer import build_optimizer, regroup
from vqe.training.schedule import warmup_cosine

ADAMW = partial(create_optimizer_v2, opt="adamw", lr=0.1, weight_decay=0.5)
NO_DECAY = partial(create_optimizer_v2, opt="adamw", lr=0.1, weight_decay=0)
ONE_GROUP = partial(torch.optim.AdamW, lr=0.1, weight_decay=0.5)  # as it was before timm


@pytest.mark.parametrize("network_class", TRAINABLE)
def test_weights_alone_decay(network_class):
    network = build_small(network_class)
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 2.0)
        parameter.grad = torch.zeros_like(parameter)
    build_optimizer(ADAMW, network).step()
    for name, parameter in network.named_parameters():
        stays = parameter.ndim == 1 or name == "residual_tables"
        expected = torch.full_like(parameter, 2.0 if stays else 2.0 * (1 - 0.1 * 0.5))
        torch.testing.assert_close(parameter.detach(), expected, msg=name)


def test_a_class_of_torch_is_given_the_parameters():
    network = build_small(Nano)
    optimizer = build_optimizer(ONE_GROUP, network)
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.param_groups[0]["params"] == list(network.parameters())


def save(factory, network, steps=3):
    """Return what Lightning would save after some steps, and the moments by name."""
    optimizer = build_optimizer(factory, network)
    schedule = warmup_cosine(optimizer, 10, warmup_steps=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
        schedule.step()
    moments = {n: optimizer.state[p]["exp_avg"].clone() for n, p in network.named_parameters()}
    checkpoint = {
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [schedule.state_dict()],
    }
    return checkpoint, moments, schedule.get_last_lr()[0]


@pytest.mark.parametrize(
    ("before", "now"), [(ONE_GROUP, ADAMW), (ADAMW, NO_DECAY), (NO_DECAY, ADAMW), (ADAMW, ADAMW)]
)
def test_a_saved_optimizer_goes_on_in_other_groups(before, now):
    network = build_small(Lut)
    checkpoint, moments, rate = save(before, network)
    optimizer = build_optimizer(now, network)
    groups = [group["weight_decay"] for group in optimizer.param_groups]
    regroup(checkpoint, optimizer, network)
    schedule = warmup_cosine(optimizer, 10, warmup_steps=0)
    optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    schedule.load_state_dict(checkpoint["lr_schedulers"][0])
    for name, parameter in network.named_parameters():
        assert torch.equal(optimizer.state[parameter]["exp_avg"], moments[name]), name
    assert [group["lr"] for group in optimizer.param_groups] == [rate] * len(groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == groups
    optimizer.step()
    schedule.step()
    rates = {group["lr"] for group in optimizer.param_groups}
    assert len(rates) == 1
    assert rates.pop() < rate


def test_a_training_goes_on_from_before_there_were_groups(tiny_config, tmp_path):
    common = ("test=false", "trainer.limit_train_batches=2", "callbacks.before_after=null")
    plain = ("optimizer._target_=torch.optim.AdamW", "~optimizer.opt", "trainer.max_epochs=1")
    train_vqe.train(tiny_config(*common, *plain, run=tmp_path / "runs/first"))
    last = "checkpoints/last.ckpt"
    first = checkpoints.read_checkpoint(tmp_path / "runs/first" / last)
    assert len(first["optimizer_states"][0]["param_groups"]) == 1
    longer = ("trainer.max_epochs=2", "resume_from=auto", f"paths.runs='{tmp_path / 'runs'}'")
    train_vqe.train(tiny_config(*common, *longer, run=tmp_path / "runs/second"))
    second = checkpoints.read_checkpoint(tmp_path / "runs/second" / last)
    groups = second["optimizer_states"][0]["param_groups"]
    assert second["global_step"] == 4
    assert [group["weight_decay"] for group in groups] == [0, 1e-4]
    assert groups[0]["lr"] == groups[1]["lr"]


def test_a_frozen_part_keeps_its_weights_while_the_rest_learns(tiny_config):
    config = tiny_config(
        *("test=false", "model_vqe=base", "model_vqe.low_res=32", "model_vqe.grid_size=8"),
        *("freeze=nano", "optimizer.weight_decay=0.1", "trainer.limit_train_batches=2"),
        *("scheduler=none", "callbacks.before_after=null", "loss.weights.vqa=0"),
    )
    module = assembly.build_module(config)
    before = {name: value.clone() for name, value in module.network.named_parameters()}
    train_vqe.fit(assembly.build_trainer(config), module, assembly.build_data(config), None)
    changed = {
        name for name, p in module.network.named_parameters() if not torch.equal(p, before[name])
    }
    assert changed and not any(name.startswith("nano.") for name in changed)


def test_a_part_that_is_not_there_cannot_be_frozen(tiny_config):
    with pytest.raises(ValueError, match="freeze=<a part of Nano>, of branch, to_maps, got 'nano'"):
        assembly.build_module(tiny_config("freeze=nano"))
