"""Weights of every training step -> their exponential mean, which is validated, saved and tested.

B. Polyak and A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM 1992.
Lightning's own WeightAveraging copies and averages the whole module, frozen critics included.
"""

from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from vqe.training.checkpoints import NETWORK_PREFIX

if TYPE_CHECKING:
    from timm.utils import ModelEmaV3

RAW_WEIGHTS = "ema_raw_weights"  # key in a checkpoint: what the optimizer continues from
UPDATES = "ema_updates"


class EMA(Callback):
    """Keep an exponential mean of the network's parameters; buffers follow the network.

    The network takes the mean during validation and after training. Checkpoints hold the mean as
    their weights, and the raw weights beside them for resuming. In the first steps the mean is
    shorter, (1 + n) / (10 + n) after n of them, or it would remember the start for too long.

    Args:
        decay: share of the past in each step, in [0,1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"expected decay in [0,1), got {decay} (callbacks.ema)")
        self.decay = decay
        self._mean: ModelEmaV3 | None = None  # while swapped, it has the raw weights
        self._swapped = False
        self._updates = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Start the mean at the network's weights."""
        if stage != "fit":
            return
        from timm.utils import ModelEmaV3

        mean = ModelEmaV3(pl_module.network, decay=self.decay, exclude_buffers=True)
        self._mean = mean.requires_grad_(False)
        self._swapped, self._updates = False, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the mean to where the network is by now."""
        self._mean.to(pl_module.device)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take a new optimizer step into the mean."""
        if trainer.global_step <= self._updates:  # gradients are still being gathered
            return
        self._updates = trainer.global_step
        self._mean.decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        self._mean.update(pl_module.network)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the network the mean."""
        self._swap(pl_module.network)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the network its raw weights back."""
        self._swap(pl_module.network)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the network with the mean."""
        self._swap(pl_module.network)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget what only training needs."""
        self._mean = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the mean as the network's weights, the raw weights beside them."""
        if self._mean is None:
            return
        mean, raw = self._mean.module.state_dict(), pl_module.network.state_dict()
        if self._swapped:
            mean, raw = raw, mean
        checkpoint["state_dict"] |= {NETWORK_PREFIX + key: value for key, value in mean.items()}
        checkpoint |= {RAW_WEIGHTS: raw, UPDATES: self._updates}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with both; a checkpoint without a mean starts it at its weights."""
        if self._mean is None:
            return
        mean = pl_module.network.state_dict()
        self._mean.module.load_state_dict(mean)
        pl_module.network.load_state_dict(checkpoint.get(RAW_WEIGHTS, mean))
        self._updates = checkpoint.get(UPDATES, checkpoint["global_step"])

    @torch.no_grad()
    def _swap(self, network: nn.Module) -> None:
        if self._mean is None:
            return
        self._swapped = not self._swapped
        other = self._mean.module
        for a, b in zip(other.parameters(), network.parameters(), strict=True):
            kept = a.clone()
            a.copy_(b)
            b.copy_(kept)
        for a, b in zip(other.buffers(), network.buffers(), strict=True):
            a.copy_(b)
