"""Validation or interruption -> best.ckpt or last.ckpt; the best so far goes on with a training."""

import logging
import shutil
from pathlib import Path, PureWindowsPath
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn

from vqe.files import complete_or_absent
from vqe.finite import NonFiniteError
from vqe.training.checkpoints import read_tensors

log = logging.getLogger(__name__)


class RunCheckpoint(ModelCheckpoint):
    """Lightning's checkpoints; the best ones so far follow a training into another run's folder.

    One that monitors a number keeps the best weights: its file changes together with its score.
    One that monitors nothing keeps the last weights: after every validation, at the end, and with
    `save_on_exception` when a training is interrupted, unless it diverged.
    """

    _begun = False

    @property
    def state_key(self) -> str:
        """Lightning's own key, under which the state lies in older checkpoints too."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the state; files are named without their folders, as checkpoints are published."""
        state = super().state_dict()
        del state["dirpath"]
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[name] = _file_name(state[name])
        best = state["best_k_models"].items()
        return state | {"best_k_models": {_file_name(path): score for path, score in best}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Leave it to `on_load_checkpoint`, which knows where the best files lie."""

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the best files of the run that goes on, and their scores, into this one."""
        state = checkpoint["callbacks"].get(self.state_key)
        if state is None or trainer.state.fn != TrainerFn.FITTING:
            return
        for name in sorted({_file_name(path) for path in state["best_k_models"]}):
            self._take_over(Path(trainer.ckpt_path).with_name(name), trainer)
        if self.best_k_models:
            best, worst = (min, max) if self.mode == "min" else (max, min)
            self.best_model_path = best(self.best_k_models, key=self.best_k_models.get)
            self.best_model_score = self.best_k_models[self.best_model_path]
            self.kth_best_model_path = worst(self.best_k_models, key=self.best_k_models.get)
            self.kth_value = self.best_k_models[self.kth_best_model_path]

    def _take_over(self, found: Path, trainer: Trainer) -> None:
        """Copy a file unless it is in place; its score is the one that it was written with."""
        if not found.is_file():
            log.warning("%s, the best weights so far, is gone: the best to come is kept", found)
            return
        own = read_tensors(found)["callbacks"][self.state_key]["best_k_models"]
        scores = {_file_name(path): score for path, score in own.items()}
        target = Path(self.dirpath) / found.name
        if trainer.is_global_zero and not (target.exists() and target.samefile(found)):
            with complete_or_absent(target) as part:
                shutil.copyfile(found, part)
        trainer.strategy.barrier("best weights")
        self.best_k_models[str(target)] = scores[found.name]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take note that there is something to save from here on."""
        super().on_train_start(trainer, pl_module)
        self._begun = True

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save the last weights of a training, unless they are no numbers any more."""
        diverged = isinstance(exception, NonFiniteError)
        if self._begun and trainer.state.fn == TrainerFn.FITTING and not diverged:
            super().on_exception(trainer, pl_module, exception)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last weights where steps followed the last validation."""
        super().on_train_end(trainer, pl_module)
        if self.monitor is None and not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))


def _file_name(path: str) -> str:
    return PureWindowsPath(path).name  # which knows both kinds of slashes
