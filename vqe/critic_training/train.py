"""Config -> your own critic: weights for `model_vqa.weights`, and a report on how good it is.

Learns from a CSV of rated pairs, or from clean footage whose variants are drawn and rated here.
"""

import functools
import logging
from pathlib import Path

import pandas as pd
import torch
from omegaconf import DictConfig
from pytorch_lightning import seed_everything
from torch.utils.data import DataLoader, Dataset

from vqe.cli import quiet_other_ranks
from vqe.critic_training.echo import EchoedLoader
from vqe.critic_training.export import export_critic
from vqe.critic_training.footage import load_footage
from vqe.critic_training.module import CriticModule
from vqe.critic_training.pairs_csv import read_pairs, split_pairs
from vqe.critic_training.report import build_report, find_weak, format_report
from vqe.critic_training.samples import DrawnVariants, RatedPairs
from vqe.critic_training.targets import MEANINGS
from vqe.files import write_csv
from vqe.training.assembly import build_trainer, instantiate

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> pd.DataFrame:
    """Train a critic, write `critic.safetensors` and `report.csv`, return the report."""
    quiet_other_ranks()
    seed_everything(cfg.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision(cfg.matmul_precision)
    train_set, held_out = build_samples(cfg)
    loaders = functools.partial(
        DataLoader,
        batch_size=cfg.dataloader.batch_size,
        num_workers=cfg.dataloader.num_workers,
        # a forked process would never get the locks of the decoder's threads
        multiprocessing_context="spawn" if cfg.dataloader.num_workers else None,
    )
    module = CriticModule(
        instantiate(cfg.network),
        p_weight=cfg.p_weight,
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler) if cfg.scheduler else None,
    )
    trainer = build_trainer(cfg)
    held_out_loader = loaders(held_out)
    fresh = loaders(train_set, shuffle=True, drop_last=len(train_set) > cfg.dataloader.batch_size)
    if cfg.echo:
        fresh = EchoedLoader(fresh, **cfg.echo, device=trainer.strategy.root_device)
    trainer.fit(module, fresh, held_out_loader, ckpt_path=cfg.resume_from, weights_only=True)
    report = build_report(trainer.predict(module, held_out_loader))
    if trainer.is_global_zero:
        meanings = MEANINGS if cfg.pairs is None else {}
        log.info("on held-out content:\n%s", format_report(report, meanings))
        write_csv(report, Path(cfg.paths.run) / "report.csv", float_format="%.6g")
        path = Path(cfg.paths.run) / "critic.safetensors"
        export_critic(module.network, path, cfg.about, find_weak(report, cfg.withdraw_below))
        log.info("model_vqa.weights=%s", path)
    return report


def build_samples(cfg: DictConfig) -> tuple[Dataset, Dataset]:
    """Build the samples to train on and those of held-out content.

    Raises:
        ValueError: not exactly one of `pairs` and `source` is given.
    """
    if (cfg.pairs is None) == (cfg.source is None):
        raise ValueError(
            f"expected one of pairs=<csv> and source=<clean footage>, got pairs={cfg.pairs} "
            f"source={cfg.source}"
        )
    if cfg.pairs is not None:
        parts = split_pairs(read_pairs(Path(cfg.pairs)), cfg.hold_out_pairs, cfg.seed)
        seeds = (None, cfg.seed)
        train_pairs, held_out_pairs = (
            RatedPairs(part, side=cfg.side, seed=seed)
            for part, seed in zip(parts, seeds, strict=True)
        )
        return train_pairs, held_out_pairs
    footage = load_footage(Path(cfg.source), **instantiate(cfg.footage), seed=cfg.seed)
    sampler = instantiate(cfg.draws)
    return (
        DrawnVariants(
            footage.train, sampler, count=cfg.samples, side=cfg.side, collages=cfg.collages
        ),
        DrawnVariants(
            footage.held_out, sampler, count=cfg.held_out_samples, side=cfg.side, seed=cfg.seed
        ),
    )
