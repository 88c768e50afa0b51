"""CSVs -> data loaders for training, validation and testing."""

import functools
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Sampler

from vqe.building.discovery import BadVideoError
from vqe.building.extraction import MARKER, read_extraction
from vqe.data.clips import Clips
from vqe.data.contents import number_contents
from vqe.data.dataset import FrameDataset
from vqe.data.index import NO_VIDEO, filter_rows, group_videos, read_index, split_videos
from vqe.data.loader import FrameLoader, LoaderOptions
from vqe.data.samplers import MixedBatches, ShuffledBatches, VideoBatches
from vqe.data.transforms import PairedTransform, transform_batch
from vqe.device import is_gpu
from vqe.records import stamp_files
from vqe.schema import CHALLENGE_FPS, VIDEO_COLUMNS, VIDEO_KEY
from vqe.stages import StageClock
from vqe.video.hardware import AUTO, CPU, CUDA, check_decoder

log = logging.getLogger(__name__)

SOURCES = ("frames", "video")
BALANCES = (None, "content")


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
        source: what the CSVs' rows may name: `frames`, images alone, or `video`, frames of video
            files too.
        open_videos: video files that a loading process keeps open.
        decoder: of the videos that are validated and tested on, see `vqe.video.hardware`; training
            frames, read in any order, are decoded on the CPU.
        allow_outside: take CSVs whose paths lead out of the data folder.
        clip_length: frames of a training sample: 1 gives x and y [3,H,W], more [T,3,H,W].
            Validation and test frames come one by one in the videos' order.
        clip_stride: frames from the start of a clip to the start of the next.
        unsupervised_share: share of the training batches made of frames without a target, the
            others being made of pairs (see `MixedBatches`); None draws frames as they come.
        balance: `content` draws training samples so that everything that is shown, a source of
            `synthesis.csv` or a video that is not listed there, is seen equally often; None sees
            every sample once.
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
        source: str = "frames",
        open_videos: int = 4,
        decoder: str = CPU,
        allow_outside: bool = False,
        clip_length: int = 1,
        clip_stride: int = 1,
        unsupervised_share: float | None = None,
        balance: str | None = None,
        seed: int = 0,
        loader: LoaderOptions | None = None,
        augmentation: PairedTransform | None = None,
    ) -> None:
        super().__init__()
        if source not in SOURCES:
            raise ValueError(f"expected dataset.source to be one of {SOURCES}, got {source!r}")
        if balance not in BALANCES:
            raise ValueError(f"expected dataset.balance to be content or null, got {balance!r}")
        self.root = Path(path)
        self.csv = {"train": train, "valid": valid, "holdout": holdout}
        self.query = {"train": train_query, "valid": valid_query, "holdout": holdout_query}
        self.valid_fraction = valid_fraction
        self.size = size
        self.source = source
        self.open_videos = open_videos
        self.decoder = check_decoder(decoder)
        self.allow_outside = allow_outside
        self.clip_length = clip_length
        self.clip_stride = clip_stride
        self.unsupervised_share = unsupervised_share
        self.balance = balance
        self.seed = seed
        self.loader = loader or LoaderOptions()
        self.augmentation = augmentation or PairedTransform(size=size)
        self.tables: dict[str, pd.DataFrame] = {}
        self.clock = StageClock()  # of the test's stages

    @property
    def lanes(self) -> int:
        """Test videos at a time."""
        return self.loader.lanes

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
        table = read_index(
            self.root / self.csv[name], self.query[name], allow_outside=self.allow_outside
        )
        self._check_source(table)
        videos = len(table[VIDEO_KEY].drop_duplicates())
        log.info("%s: %d frames of %d videos in %s", name, len(table), videos, self.csv[name])
        return table

    def _check_source(self, table: pd.DataFrame) -> None:
        """Refuse rows that name videos where `source` is `frames`."""
        videos = table[table["frame"] != NO_VIDEO]
        if self.source == "frames" and len(videos):
            first = videos.iloc[0]
            raise ValueError(
                f"expected rows that name images, as dataset.source=frames says, got frame "
                f"{first['frame']} of {first['img_source']} ({table.attrs.get('csv')}, row "
                f"{first['row']}). Extract the frames with dataset_builder.py data.source=frames, "
                "or read the videos with dataset.source=video"
            )
        if self.source == "video" and not len(videos):
            log.info("%s names no video: its images are read", table.attrs.get("csv"))

    @property
    def _rank_and_world(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world": 1}
        return {"rank": self.trainer.global_rank, "world": self.trainer.world_size}

    @property
    def _device(self) -> torch.device:
        """Where batches go."""
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    @property
    def _own_decoder(self) -> str:
        """The decoder, on the GPU that batches go to."""
        number = self._device.index
        numbered = self.decoder in (CUDA, AUTO) and self._device.type == CUDA
        return f"{self.decoder}:{number}" if numbered and number is not None else self.decoder

    @functools.cached_property
    def _workers(self) -> int:
        return self.loader.choose_workers(self.trainer.num_devices if self.trainer else 1)

    def train_dataloader(self) -> DataLoader:
        """Batches in random order, of one shape each."""
        table = self.tables["train"]
        shapes, clips = table[["h", "w"]].to_numpy(), None
        unsupervised = (table["img_target"] == "").to_numpy(bool)
        shown = self._number_contents(table)
        if (self.clip_length, self.clip_stride) != (1, 1):
            clips = Clips(table, length=self.clip_length, stride=self.clip_stride)
            firsts = clips.first_frames
            shapes, unsupervised = shapes[firsts], unsupervised[firsts]
            shown = None if shown is None else shown[firsts]
        if self.size is not None:
            shapes = np.broadcast_to(np.asarray(self.size), shapes.shape)
        batches = self._train_batches(shapes, unsupervised, shown)
        on_gpu = self.augmentation.device == "auto" and is_gpu(self._device)
        if on_gpu:
            log.info("train: augmented on %s", self._device)
        dataset = FrameDataset(
            table,
            self.root,
            self.augmentation.resizing_alone if on_gpu else self.augmentation,
            clips=clips,
            open_videos=self.open_videos,
            sends_draws=on_gpu,
        )
        largest = self.loader.batch_size * self.clip_length
        return self._load(dataset, batches, self._workers, largest=largest)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Augment a training batch that is on a GPU where its loader has left that to us."""
        return transform_batch(batch, self.augmentation) if "draws" in batch else batch

    def _number_contents(self, table: pd.DataFrame) -> np.ndarray | None:
        if self.balance is None:
            return None
        shown = number_contents(table, self.root)
        log.info("train: %d contents, each seen equally often", len(np.unique(shown)))
        return shown

    def _train_batches(
        self, shapes: np.ndarray, unsupervised: np.ndarray, shown: np.ndarray | None
    ) -> Sampler:
        options = {
            "batch_size": self.loader.batch_size,
            "seed": self.seed,
            "contents": shown,
            **self._rank_and_world,
        }
        if self.unsupervised_share is None:
            return ShuffledBatches(shapes, **options)
        return MixedBatches(shapes, unsupervised, share=self.unsupervised_share, **options)

    def val_dataloader(self) -> DataLoader:
        """Every validation frame once, video by video, at its own size."""
        return self._load_videos("valid")

    def test_dataloader(self) -> DataLoader:
        """Every test frame once, video by video, at its own size."""
        return self._load_videos("holdout")

    def _load_videos(self, name: str) -> DataLoader:
        table, size, workers = (
            self.tables[name],
            self.loader.eval_batch_size,
            self._workers,
        )
        lanes, threads, is_video = 1, 1, bool((table["frame"] != NO_VIDEO).any())
        if name == "holdout":
            lanes = self.loader.lanes
        if is_video and workers:
            # two workers of one lane would each decode every frame: more threads instead
            share = max(n for n in range(1, workers + 1) if lanes % n == 0)
            workers, threads = share, workers // share
        batches = VideoBatches(
            table,
            batch_size=size,
            lanes=lanes,
            in_step=is_video and workers > 1,
            **self._rank_and_world,
        )
        dataset = FrameDataset(
            table,
            self.root,
            open_videos=max(self.open_videos, 2 * lanes),
            threads=threads,
            decoder=self._own_decoder,
        )
        return self._load(dataset, batches, workers, largest=size)

    def video_of(self, index: int, split: str = "holdout") -> tuple[str, str]:
        """Return subset and video_id of a frame.

        Args:
            index: of the frame, as its batch has it.
            split: `train`, `valid` or `holdout`.
        """
        subset, video_id = self.tables[split][VIDEO_KEY].iloc[index]
        return str(subset), str(video_id)

    def count_frames(self, split: str = "holdout") -> dict[tuple[str, str], int]:
        """Return how many frames each video has, by subset and video_id."""
        sizes = self.tables[split].groupby(VIDEO_KEY, observed=True, sort=True).size()
        return {(str(key[0]), str(key[1])): int(count) for key, count in sizes.items()}

    def keep_videos(self, split: str, videos: Collection[tuple[str, str]]) -> None:
        """Leave out the frames of all other videos."""
        table = self.tables[split]
        keys = zip(table["subset"].astype(str), table["video_id"].astype(str), strict=True)
        kept = np.fromiter((key in videos for key in keys), bool, len(table))
        self.tables[split] = table[kept].reset_index(drop=True)

    def stamp_videos(
        self, split: str, videos: Collection[tuple[str, str]]
    ) -> Iterator[tuple[tuple[str, str], str]]:
        """Yield videos and what tells each one's rows and files from changed ones."""
        table = self.tables[split]
        facts = table[["img_source", "img_target", "h", "w", *VIDEO_COLUMNS]]
        for key, positions in group_videos(table).items():
            if key in videos:
                rows = facts.iloc[positions]
                names = [n for c in ("img_source", "img_target") for n in rows[c].unique() if n]
                paths = (self.root / name for name in names)
                yield key, stamp_files(paths, rows.to_csv(index=False, header=False))

    def rates(self, split: str = "holdout") -> dict[tuple[str, str], int]:
        """Return the frame rate of each video, by subset and video_id.

        It is that of the rows or, for extracted frames, of the record beside them; pictures
        without one are the challenge's, at `CHALLENGE_FPS`.

        Raises:
            ValueError: a record is damaged.
        """
        firsts = self.tables[split].drop_duplicates(VIDEO_KEY)
        return {
            (str(row.subset), str(row.video_id)): self._rate_of(str(row.img_source), int(row.fps))
            for row in firsts.itertuples()
        }

    def _rate_of(self, source: str, fps: int) -> int:
        if fps != NO_VIDEO:
            return fps
        folder = (self.root / source).parent.parent
        try:
            record = read_extraction(folder)
        except BadVideoError as error:
            reasons = "; ".join(f"{file.path} {file.reason}" for file in error.files)
            raise ValueError(f"expected the rate of extracted frames, got: {reasons}") from error
        rate = record.origin.get("video_fps") if record else CHALLENGE_FPS
        if not isinstance(rate, int) or rate < 1:
            raise ValueError(
                f"expected video_fps, a whole number above 0, got {rate!r} ({folder / MARKER}). "
                "Extract the frames again with dataset_builder.py"
            )
        return rate

    def _load(
        self, dataset: FrameDataset, batches: Sampler, workers: int, *, largest: int
    ) -> FrameLoader:
        context = self.loader.multiprocessing_context
        if dataset.reader.videos.decoder != CPU and torch.cuda.is_available():
            context = context or "spawn"  # a forked process has no way to a GPU that is in use
        return FrameLoader(
            dataset,
            batches,
            largest=largest,
            num_workers=workers,
            multiprocessing_context=context,
            prefetch_factor=self.loader.prefetch_factor,
            pin_memory=self.loader.is_pinned_for(self._device),
            clock=lambda: self.clock,
        )
