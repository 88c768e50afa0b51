"""Batch of samples -> loss and predictions: the training loop's view of a critic in the making."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from vqe.critics import UNetLite
from vqe.critics.unetlite import SqueezeExcite
from vqe.finite import check_losses
from vqe.pixels import dequantise, to_challenge_range
from vqe.training.checkpoints import check_network_state, network_weights
from vqe.training.optimizer import build_optimizer, regroup, stop_at_bad_gradient
from vqe.training.schedule import forget_lengths, schedule_steps


class CriticModule(LightningModule):
    """A critic that learns p from every pair of variants, and the scores from every variant.

    It is trained without DOVER: the DOVER scores that it takes have no weight in it, and none
    after training, whatever they are.

    Args:
        network: trained in place, from weights drawn here.
        p_weight: of p's mean squared error in the loss; the scores' has weight 1.
        optimizer: see `vqe.training.optimizer.build_optimizer`.
        scheduler: called with the optimizer and `total_steps`; None keeps the learning rate.
    """

    def __init__(
        self,
        network: UNetLite,
        *,
        p_weight: float = 1.0,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.p_weight = p_weight
        self.optimizer = optimizer
        self.scheduler = scheduler
        initialise_(network)

    def forward(self, frames_u8: Tensor) -> tuple[Tensor, Tensor]:
        """Judge uint8 RGB [B,V,3,H,W]: p [B,V,V] of each pair and a [B,V,11], before the clamps."""
        batch, variants = frames_u8.shape[:2]
        x = to_challenge_range(dequantise(frames_u8.flatten(0, 1)))
        features = self.network.features(x).unflatten(0, (batch, variants))
        first = features[:, :, None].expand(-1, -1, variants, -1).flatten(0, 2)
        second = features[:, None].expand(-1, variants, -1, -1).flatten(0, 2)
        no_dover = first.new_zeros(len(first), 1)
        p, _, a = self.network.heads(first, second, no_dover, no_dover)
        return p.reshape(batch, variants, variants), a.reshape(batch, variants, variants, -1)[:, 0]

    def _shared_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        p, a = self(batch["frames"])
        losses = {"p": known_mse(p, batch["p"]), "a": known_mse(a, batch["a"])}
        return losses | {"loss": self.p_weight * losses["p"] + losses["a"]}

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        """Return the weighted loss of a batch."""
        losses = self._shared_step(batch)
        check_losses(losses, self.global_step + 1)
        named = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(named, prog_bar=True, batch_size=len(batch["frames"]))
        return losses["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Stop before a gradient that is not finite changes the weights."""
        stop_at_bad_gradient(self)

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        """Log the losses on held-out content."""
        named = {f"val/{name}": value for name, value in self._shared_step(batch).items()}
        self.log_dict(named, batch_size=len(batch["frames"]), sync_dist=True)

    def predict_step(self, batch: dict[str, Tensor], batch_index: int) -> dict[str, Tensor]:
        """Return `p`, `a` as reported, after the clamps, and the targets `true_p`, `true_a`."""
        p, a = self(batch["frames"])
        predicted = {"p": p.clamp(0, 1), "a": a.clamp(-1, 1)}
        return predicted | {"true_p": batch["p"], "true_a": batch["a"]}

    def configure_optimizers(self) -> dict[str, Any]:
        """Hand the network to the optimizer."""
        optimizer = build_optimizer(self.optimizer, self.network)
        return schedule_steps(
            optimizer, self.scheduler, lambda: int(self.trainer.estimated_stepping_batches)
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a schedule end where this run ends, and an optimizer go on in this run's groups."""
        check_network_state(
            self.network, network_weights(checkpoint), self.trainer.ckpt_path or "the checkpoint"
        )
        forget_lengths(checkpoint)
        if self.optimizer is not None:
            regroup(checkpoint, build_optimizer(self.optimizer, self.network), self.network)


def known_mse(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error where the target is not NaN, zero where all of it is."""
    known = ~target.isnan()
    error = (predicted - target.nan_to_num()) * known
    return error.square().sum() / known.sum().clamp(min=1)


@torch.no_grad()
def initialise_(network: UNetLite) -> None:
    """Fill a critic with the weights that training begins from.

    Convolutions have He's scale ("Delving Deep into Rectifiers", 2015). Gates begin near 1: drawn
    around 0, half of them would be shut, and a shut ReLU6 gate never learns. The main head begins
    as a function of the difference of both features, which is what p is about; scores and p begin
    near 0.5. The DOVER scores have weight 0: fed with zeros, they keep it.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for gate in (m._excitation for m in network.modules() if isinstance(m, SqueezeExcite)):
        weight = gate[3].weight  # after ReLU6 of batch norm, whose mean is then about 1.1
        nn.init.ones_(gate[1].bias)
        nn.init.normal_(weight, mean=1 / (1.1 * weight.shape[1]), std=0.5 / weight.shape[1] ** 0.5)
    width = network.aux_head[0].in_features
    compare = network.main_head[1].weight
    network.aux_head[0].weight[:, -1] = 0
    compare[:, -1] = 0
    compare[:, :width] = -compare[:, width:]
    for last in (network.main_head[-1], network.aux_head[-1]):
        last.weight.mul_(0.1)
        nn.init.constant_(last.bias, 0.5)
