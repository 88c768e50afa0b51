"""Network -> its optimizer, gradients checked; a saved optimizer -> one with other groups."""

from collections.abc import Callable
from typing import Any

from pytorch_lightning import LightningModule
from torch import nn
from torch.optim import Optimizer

from vqe.finite import check_gradients

OF_EVERY_GROUP = ("base_lrs", "_last_lr", "lr_lambdas")  # of a schedule: an entry a group


def build_optimizer(factory: Callable[..., Optimizer], network: nn.Module) -> Optimizer:
    """Build the optimizer of a network.

    Args:
        factory: called with the network, as `timm.optim.create_optimizer_v2` is, which keeps weight
            decay off biases, norms and what `no_weight_decay()` of the network names; a class of
            `torch.optim` is called with the parameters.
        network: what is trained.
    """
    target = getattr(factory, "func", factory)  # of a functools.partial
    takes_parameters = isinstance(target, type) and issubclass(target, Optimizer)
    return factory(network.parameters() if takes_parameters else network)


def stop_at_bad_gradient(module: LightningModule) -> None:
    """See that the gradient of `module.network` is finite, before the optimizer takes it.

    In fp16 the gradient scaler leaves such a step out and lowers its scale: that is no error.

    Raises:
        NonFiniteError: it is not.
    """
    if getattr(module.trainer.precision_plugin, "scaler", None) is None:
        check_gradients(module.network, module.global_step + 1)


def regroup(checkpoint: dict[str, Any], optimizer: Optimizer, network: nn.Module) -> None:
    """Let a checkpoint's optimizer go on where its parameters were in one group and are in two.

    Or the other way round: two groups, without weight decay and with it, are what timm makes; one
    group is what it makes of no weight decay at all, and what there was before there was timm.

    Args:
        checkpoint: of Lightning; changed in place.
        optimizer: a new one.
        network: what both are of.
    """
    for saved in checkpoint.get("optimizer_states", ()):
        groups = optimizer.state_dict()["param_groups"]
        if len(saved["param_groups"]) == len(groups):
            continue
        orders = {1: list(network.parameters()), 2: _split_parameters(network)}
        before, now = (
            [id(p) for p in orders[len(found)]] for found in (saved["param_groups"], groups)
        )
        old_number = {parameter: number for number, parameter in enumerate(before)}
        state = {
            number: saved["state"][old_number[parameter]]
            for number, parameter in enumerate(now)
            if old_number[parameter] in saved["state"]
        }
        own = ("params", "weight_decay")
        went_on = {k: v for k, v in saved["param_groups"][-1].items() if k not in own}
        saved.update(state=state, param_groups=[group | went_on for group in groups])
        for schedule in checkpoint.get("lr_schedulers", ()):
            for name in OF_EVERY_GROUP:
                if schedule.get(name):
                    schedule[name] = schedule[name][:1] * len(groups)


def _split_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters in the order in which timm puts them into two groups."""
    from timm.optim import create_optimizer_v2

    groups = create_optimizer_v2(network, "sgd", lr=0.0, weight_decay=1.0).param_groups
    return [parameter for group in groups for parameter in group["params"]]
