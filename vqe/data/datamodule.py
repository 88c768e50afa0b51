"""CSVs -> data loaders for training, validation and testing."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from vqe.data.dataset import FrameDataset
from vqe.data.index import filter_rows, read_index, split_videos
from vqe.data.samplers import ShuffledBatches, VideoBatches
from vqe.data.transforms import PairedTransform
from vqe.schema import VIDEO_KEY

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are made and by whom.

    Attributes:
        batch_size: frames in a training batch of one process.
        eval_batch_size: frames in a validation or test batch, all of one video.
        num_workers: loading processes; 0 loads in the main process.
        multiprocessing_context: `fork`, `spawn` or `forkserver`; None takes the platform's own.
        prefetch_factor: batches each worker keeps ready.
        pin_memory: copy batches to page-locked memory, which speeds transfers to a GPU.
    """

    batch_size: int = 32
    eval_batch_size: int = 8
    num_workers: int = 0
    multiprocessing_context: str | None = None
    prefetch_factor: int = 2
    pin_memory: bool = False


class VQEDataModule(LightningDataModule):
    """Frames of one data folder.

    Args:
        path: the data folder, where `dataset_builder.py` wrote the CSVs.
        train: CSV of the training frames, relative to `path`.
        valid: CSV of the validation frames; None cuts `valid_fraction` of the training videos.
        holdout: CSV of the test frames.
        train_query: pandas query that chooses rows of `train`; likewise the next two.
        valid_query: for `valid`, or for what was cut off where that is None.
        holdout_query: for `holdout`.
        valid_fraction: share of the training videos to validate on.
        size: height and width in pixels to train on; None trains on each frame's own size.
        seed: draws the validation videos and the order of the batches.
        loader: how batches are made.
        augmentation: training transforms.
    """

    def __init__(
        self,
        path: str,
        train: str = "train.csv",
        valid: str | None = None,
        holdout: str = "test.csv",
        *,
        train_query: str | None = None,
        valid_query: str | None = None,
        holdout_query: str | None = None,
        valid_fraction: float = 0.05,
        size: tuple[int, int] | None = None,
        seed: int = 0,
        loader: LoaderOptions | None = None,
        augmentation: PairedTransform | None = None,
    ) -> None:
        super().__init__()
        self.root = Path(path)
        self.csv = {"train": train, "valid": valid, "holdout": holdout}
        self.query = {"train": train_query, "valid": valid_query, "holdout": holdout_query}
        self.valid_fraction = valid_fraction
        self.size = size
        self.seed = seed
        self.loader = loader or LoaderOptions()
        self.augmentation = augmentation or PairedTransform(size=size)
        self.tables: dict[str, pd.DataFrame] = {}

    def setup(self, stage: str) -> None:
        """Read the CSVs that a stage (`fit`, `validate`, `test`) needs."""
        if stage in ("fit", "validate") and "train" not in self.tables:
            self._read_training()
        if stage == "test" and "holdout" not in self.tables:
            self.tables["holdout"] = self._read("holdout")

    def _read_training(self) -> None:
        train = self._read("train")
        if self.csv["valid"] is None:
            train, valid = split_videos(train, self.valid_fraction, self.seed)
            valid = filter_rows(valid, self.query["valid"])
        else:
            valid = self._read("valid")
        self.tables |= {"train": train, "valid": valid}

    def _read(self, name: str) -> pd.DataFrame:
        table = read_index(self.root / self.csv[name], self.query[name])
        videos = len(table[VIDEO_KEY].drop_duplicates())
        log.info("%s: %d frames of %d videos in %s", name, len(table), videos, self.csv[name])
        return table

    @property
    def _rank_and_world(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world": 1}
        return {"rank": self.trainer.global_rank, "world": self.trainer.world_size}

    def train_dataloader(self) -> DataLoader:
        """Batches in random order, of one shape each."""
        table = self.tables["train"]
        shapes = table[["h", "w"]].to_numpy()
        if self.size is not None:
            shapes = np.broadcast_to(np.asarray(self.size), shapes.shape)
        batches = ShuffledBatches(
            shapes, batch_size=self.loader.batch_size, seed=self.seed, **self._rank_and_world
        )
        return self._load(FrameDataset(table, self.root, self.augmentation), batches)

    def val_dataloader(self) -> DataLoader:
        """Every validation frame once, video by video, at its own size."""
        return self._load_videos("valid")

    def test_dataloader(self) -> DataLoader:
        """Every test frame once, video by video, at its own size."""
        return self._load_videos("holdout")

    def _load_videos(self, name: str) -> DataLoader:
        table = self.tables[name]
        size = self.loader.eval_batch_size
        batches = VideoBatches(table, batch_size=size, **self._rank_and_world)
        return self._load(FrameDataset(table, self.root), batches)

    def _load(self, dataset: Dataset, batches: Sampler) -> DataLoader:
        workers = self.loader.num_workers
        return DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            multiprocessing_context=self.loader.multiprocessing_context if workers else None,
            prefetch_factor=self.loader.prefetch_factor if workers else None,
            persistent_workers=workers > 0,
            pin_memory=self.loader.pin_memory,
        )
