"""A network's name and a seed -> its weights after the demo's recipe, kept from run to run."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from torch import nn

from vqe.cli import CONF_DIR, register_resolvers
from vqe.critics.frozen_critics import FrozenCritics
from vqe.files import complete_or_absent
from vqe.inputs import read_network
from vqe.training.assembly import build_critics
from vqe.training.checkpoints import load_network
from vqe.training.train import train

CONFIGS = {"sample": "sample_conv"}  # of model_vqe, where it is called otherwise here
# what differs from the demo's recipe: full-size convolutions cost more and want smaller steps,
# memory learns from clips
CONVOLUTIONS = ("crop=[96,160]", "optimizer.lr=1e-3")
RECIPES = {
    "base": CONVOLUTIONS,
    "recurrent": (
        *CONVOLUTIONS,
        "dataset.clip_length=4",
        "dataset.clip_stride=4",
        "dataloader.batch_size=2",
        "trainer.max_epochs=8",
    ),
}
ALWAYS = (
    "experiment=demo",
    "test=false",
    "export_onnx=false",
    "logger=none",
    "callbacks.before_after=null",
)
QUICK = (
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "dataset.size=[64,64]",
    "crop=[48,48]",
    "dataset.valid_fraction=0.3",
    "dataloader.batch_size=2",
    "dataloader.num_workers=0",
    "callbacks.progress_bar=null",
    "trainer.accelerator=cpu",
)


@dataclass(frozen=True)
class Trainer:
    """Train networks by the demo's recipe, through the same code.

    Attributes:
        folder: where the runs go, `<network>_<seed>` each.
        data: the data folder.
        quick: one step on tiny frames.
        overrides: more Hydra overrides, for all networks.
    """

    folder: Path
    data: Path
    quick: bool = False
    overrides: tuple[str, ...] = ()

    def train(self, network: str, seed: int) -> tuple[nn.Module, str]:
        """Return the best weights' network and a digest of its recipe; train if they are not kept.

        A change of the config trains anew, a change of code does not: remove the folder then.
        """
        run = self.folder / f"{network}_{seed}"
        config = self.compose(run, network, seed)
        recipe = self._digest(config, run)
        note, best = run / "trained.json", run / "checkpoints" / "best.ckpt"
        kept = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
        if kept.get("recipe") != recipe or not best.is_file():
            note.unlink(missing_ok=True)
            started = time.monotonic()
            numbers = train(config)
            kept = {"recipe": recipe, "seconds": time.monotonic() - started, "numbers": numbers}
            write_json(note, kept)
        print(f"{network} seed {seed}: trained in {kept['seconds']:.0f} s", flush=True)
        return load_network(best, read_network(config))[0], recipe

    def build_critics(self) -> FrozenCritics:
        """Build the demo's critics."""
        return build_critics(self.compose(self.folder, "sample", 0))

    def compose(self, run: Path, network: str, seed: int) -> DictConfig:
        """Compose the config of a training that writes into `run`."""
        places = (f"paths.run='{run}'", f"paths.runs='{run}'", f"dataset.path='{self.data}'")
        chosen = (f"model_vqe={CONFIGS.get(network, network)}", f"seed={seed}")
        special = (*RECIPES.get(network, ()), *(QUICK if self.quick else ()))
        register_resolvers()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            overrides = [*ALWAYS, *places, *chosen, *special, *self.overrides]
            return compose("vqe", overrides=overrides)

    def _digest(self, config: DictConfig, run: Path) -> str:
        text = OmegaConf.to_yaml(config, resolve=True, sort_keys=True)
        for place in (run, self.data):
            text = text.replace(str(place), "")
        footage = (self.data / "synthesis.csv").read_bytes()
        return hashlib.sha256(text.encode() + footage).hexdigest()[:16]


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, whole or not at all."""
    with complete_or_absent(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
