"""Batch -> loss, metrics and enhanced frames: the training loop's view of network and critics."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import nn

from vqe.critics.frozen_critics import FrozenCritics
from vqe.finite import check_frames, check_losses
from vqe.losses import Step, WeightedTerms
from vqe.losses.errors import rmse, squared_error
from vqe.models.crop import Crop
from vqe.models.enhancement import VideoEnhancer, enhance, flatten_clips
from vqe.pixels import dequantise, quantise, to_unit_range
from vqe.schema import SCORES
from vqe.stages import StageClock
from vqe.training.checkpoints import NETWORK_CONFIG, check_network_state, network_weights
from vqe.training.cropping import crop_batch
from vqe.training.metrics import ValidationMetrics
from vqe.training.optimizer import build_optimizer, regroup, stop_at_bad_gradient
from vqe.training.schedule import forget_lengths, schedule_steps

log = logging.getLogger(__name__)

CRITICS_PREFIX = "critics."


class VQEModule(LightningModule):
    """An enhancement network, trained and measured against frozen critics.

    Args:
        network: RGB [0,1] [B,3,H,W] -> the same shape, or clips (see
            `vqe.models.enhancement`); clamped in eval mode alone.
        critics: both critics; None trains and tests without them.
        loss: named terms; those that need scores need critics.
        optimizer: see `vqe.training.optimizer.build_optimizer`.
        scheduler: called with the optimizer and `total_steps`; None keeps the learning rate.
        network_config: plain dict that builds the network, stored in every checkpoint.
        crop: height and width in pixels of the random crops to train on, which loss and critics
            see; a network that says `sees_whole` is given the whole frames too. None: no crops.

    Raises:
        ValueError: the loss needs critics and there are none.
    """

    def __init__(
        self,
        network: nn.Module,
        critics: FrozenCritics | None = None,
        loss: WeightedTerms | None = None,
        *,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        scheduler: Callable[..., Any] | None = None,
        network_config: dict[str, Any] | None = None,
        crop: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if loss is not None and loss.needs_scores and critics is None:
            raise ValueError(
                f"expected critics for the loss terms {list(loss.weights)}, got none. "
                "Set the weight of the critic terms to 0: loss.weights.vqa=0"
            )
        self.network = network
        self.critics = critics
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.network_config = network_config
        self.crop = crop
        self.metrics = ValidationMetrics()
        self.videos = VideoEnhancer()
        self.clock = StageClock()
        self.lanes = 1  # videos whose batches take turns
        self.register_load_state_dict_post_hook(_forgive_missing_critics)

    def forward(self, frames: torch.Tensor, crop: Crop | None = None) -> torch.Tensor:
        """Enhance RGB [0,1] [B,3,H,W], or clips [B,T,3,H,W] that each begin anew."""
        return enhance(self.network, frames, crop)

    def _shared_step(
        self, batch: dict[str, torch.Tensor], progress: float = 1.0
    ) -> tuple[Step, dict[str, torch.Tensor]]:
        # On the device: bytes travel four times faster.
        batch = batch | {name: to_unit_range(batch[name]) for name in ("x", "y")}
        clip_length = batch["x"].shape[1] if batch["x"].ndim == 5 else 1
        crop = None
        if self.crop is not None:
            batch, crop = crop_batch(batch, self.crop, step=self.global_step)
        enhanced = self(batch["x"], crop)
        batch = flatten_clips(batch)
        x, enhanced = batch["x"], enhanced.reshape(batch["x"].shape)
        terms = self.loss.active(progress).values()
        needs_scores = any(term.needs_scores for term in terms)
        scores = self.critics(x, enhanced, batch["seed"]) if needs_scores else None
        has_luts = hasattr(self.network, "luts") and any(term.needs_luts for term in terms)
        step = Step(
            x,
            enhanced,
            batch["y"],
            batch["has_target"],
            scores,
            clip_length=clip_length,
            luts=self.network.luts() if has_luts else None,
        )
        return step, self.loss(step, progress)

    def training_step(self, batch: dict[str, torch.Tensor], batch_index: int) -> torch.Tensor:
        """Return the weighted loss of a batch."""
        progress = self._progress()
        step, values = self._shared_step(batch, progress)
        agree = self.trainer.strategy.reduce_boolean_decision
        check_losses(values, self.global_step + 1, agree)
        named = {f"train/{name}": value.detach() for name, value in values.items()}
        self.log_dict(named, prog_bar=True, batch_size=len(step.x))
        factors = self.loss.factors(progress)
        self.log_dict({f"train/{name}_factor": factor for name, factor in factors.items()})
        self.log("train/lr", self.optimizers().param_groups[0]["lr"])
        return values["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Stop before a gradient that is not finite changes the weights."""
        stop_at_bad_gradient(self)

    def _progress(self) -> float:
        """Share of the whole training that is done, in [0,1]."""
        return min(1.0, self.global_step / self._total_steps()) if self.loss.ramps else 1.0

    def _total_steps(self) -> int:
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise ValueError(
                "expected a training with an end, as its schedule or loss.ramps need, got "
                "trainer.max_epochs=-1. Set trainer.max_epochs, or scheduler=none and no ramps"
            )
        return int(steps)

    def validation_step(self, batch: dict[str, torch.Tensor], batch_index: int) -> dict[str, Any]:
        """Measure frames as they would be rendered; return `index` [B] and `enhanced_u8`."""
        rendered_u8, supervised = self._render(batch, batch_index), batch["has_target"]
        pair = (rendered_u8[supervised], batch["y"][supervised])
        mse_b = squared_error(*map(dequantise, pair))
        self.metrics.update(mse_b, self._score(batch, rendered_u8, ~supervised))
        return {"index": batch["index"], "enhanced_u8": rendered_u8}

    def on_validation_epoch_end(self) -> None:
        """Log the means over all frames of all ranks."""
        named = {f"val/{name}": value for name, value in self.metrics.compute().items()}
        self.log_dict(named, sync_dist=True)  # equal on all ranks already
        self.metrics.reset()

    def test_step(self, batch: dict[str, torch.Tensor], batch_index: int) -> dict[str, Any]:
        """Return what the test callbacks collect for a batch of one video.

        Returns:
            `index` [B], the frames' positions in the table; `enhanced_u8` [B,3,H,W], RGB;
            `rmse` [B] where the video has targets and `scores` [B,12] where it has none, else None.
        """
        count = len(batch["index"])
        with self._counted("network", count):
            rendered_u8 = self._render(batch, batch_index)
        supervised = bool(batch["has_target"].all())
        scores = None
        if not supervised and self.critics is not None:
            with self._counted("critics", count):
                scores = self._score(batch, rendered_u8, ~batch["has_target"])
        return {
            "index": batch["index"],
            "enhanced_u8": rendered_u8,
            "rmse": rmse(*map(dequantise, (rendered_u8, batch["y"]))) if supervised else None,
            "scores": scores if scores is not None and len(scores) else None,
        }

    @contextmanager
    def _counted(self, stage: str, frames: int) -> Iterator[None]:
        """Count a stage's time up to its last result, which the next one needs anyway."""
        with self.clock.work(stage, frames):
            yield
            if self.device.type != "cpu":
                torch.accelerator.synchronize(self.device)

    def on_fit_end(self) -> None:
        """Report on the critics' cache."""
        self._report_critics()

    def on_validation_start(self) -> None:
        """Expect one video after the other."""
        self.lanes = 1

    def on_test_start(self) -> None:
        """Expect as many videos in turns as the data module gives."""
        self.lanes = getattr(self.trainer.datamodule, "lanes", 1)

    def on_test_end(self) -> None:
        """Report on the critics' cache."""
        self._report_critics()

    def _report_critics(self) -> None:
        if self.critics is not None:
            self.critics.report()

    def _render(self, batch: dict[str, torch.Tensor], batch_index: int) -> torch.Tensor:
        """Return the enhanced frames as a video holds them, uint8 [B,3,H,W]."""
        if batch_index == 0:
            self.videos.begin(self.lanes)
        frames = dequantise(batch["x"])
        enhanced = self.videos.enhance(self.network, frames, int(batch["video"][0]))
        check_frames(enhanced, f"the network, after {self.global_step} steps of this run")
        return quantise(enhanced)

    def _score(
        self, batch: dict[str, torch.Tensor], rendered_u8: torch.Tensor, chosen: torch.Tensor
    ) -> torch.Tensor:
        if self.critics is None or not chosen.any():
            return torch.zeros(0, len(SCORES), device=rendered_u8.device)
        frames = (batch["x"][chosen], rendered_u8[chosen], batch["seed"][chosen])
        return self.critics(*frames).clamped

    def configure_optimizers(self) -> dict[str, Any]:
        """Hand the network, and nothing else, to the optimizer."""
        optimizer = build_optimizer(self.optimizer, self.network)
        return schedule_steps(optimizer, self.scheduler, self._total_steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store how to build the network again."""
        checkpoint[NETWORK_CONFIG] = self.network_config

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let a schedule end where this run ends, and an optimizer go on in this run's groups."""
        check_network_state(
            self.network, network_weights(checkpoint), self.trainer.ckpt_path or "the checkpoint"
        )
        forget_lengths(checkpoint)
        if self.optimizer is not None:
            regroup(checkpoint, build_optimizer(self.optimizer, self.network), self.network)


def _forgive_missing_critics(module: nn.Module, incompatible_keys: Any) -> None:
    """Critics are not in a checkpoint; the network's keys stay strict."""
    missing = incompatible_keys.missing_keys
    missing[:] = [key for key in missing if not key.startswith(CRITICS_PREFIX)]
