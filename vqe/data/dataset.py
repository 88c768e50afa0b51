"""Rows of the frame table -> samples and batches: frames, targets and identities; or clips."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset, default_collate

from vqe.data.clips import Clips
from vqe.data.reading import FrameReader
from vqe.data.rows import FrameRow, FrameRows
from vqe.data.slots import Filled, Slots, no_frames
from vqe.data.transforms import PairedTransform, drawing_from, fill_in_targets
from vqe.pixels import rgb_chw_u8, split_planes
from vqe.schema import frame_seed, frame_stem

CPU = torch.device("cpu")


class FrameDataset(Dataset):
    """Frames named by a table: images, or frames of videos.

    A sample is a dict: `x` and `y`, RGB [3,H,W], uint8 unless a transform made them float in
    [0,1] (y is zero where there is no target), `has_target` (bool), `seed` (int, see
    `frame_seed`), `index` (int, position in the table) and `video` (int, the same for the frames
    of one video). A clip's are the same with a first dimension for its frames.

    A sample is asked for by its position, or by (position, seed), which fixes what a random
    transform draws; the global random state is left as it was. A `FrameLoader` asks for whole
    batches, whose frames are decoded to where it wants them.

    Args:
        table: frames as `vqe.data.index.read_index` returns them.
        root: the folder that the table's paths are relative to.
        transform: augmentation; None leaves the frames as they are.
        clips: which frames make a sample; None gives every frame on its own.
        open_videos: how many videos a process keeps open.
        threads: decoder threads of each of them.
        decoder: of each of them, see `vqe.video.hardware`.
        sends_draws: give batches the seeds of their samples, for `transform_batch`.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        root: Path,
        transform: PairedTransform | None = None,
        *,
        clips: Clips | None = None,
        open_videos: int = 4,
        threads: int = 1,
        decoder: str = "cpu",
        sends_draws: bool = False,
    ) -> None:
        self.rows = FrameRows(table)
        self.reader = FrameReader(
            root, self.rows.csv, open_videos=open_videos, threads=threads, decoder=decoder
        )
        self.transform = transform or PairedTransform()
        self.clips = clips
        self.gives_clips = clips is not None and clips.length > 1
        self.sends_draws = sends_draws
        self.slots: Slots | None = None
        self._ended_at: float | None = None

    @property
    def largest_frame(self) -> int:
        """Bytes of the largest frame of a sample, uint8 RGB, as far as the options tell."""
        size = self.transform.size
        return 3 * (size[0] * size[1] if size else self.rows.largest_area)

    def __len__(self) -> int:
        return len(self.rows if self.clips is None else self.clips)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, torch.Tensor | int | bool]:
        """Return a sample."""
        x, y, identity = self._load([key], None)[1:]
        numbers = {name: values[0] for name, values in identity.items()}
        if self.gives_clips:
            numbers = {name: torch.from_numpy(values) for name, values in numbers.items()}
        else:
            numbers = {name: value.item() for name, value in numbers.items()}
        return {"x": x[0], "y": y[0] if y is not None else no_frames(x[0])} | numbers

    def __getitems__(self, keys: list[int | tuple[int, int]]) -> dict[str, Any]:
        """Return a batch as `FrameLoader` unpacks it: samples of one size; nothing of no keys.

        `frames` says in which slot x and y are, or `x` is there itself, and `y` if a sample has a
        target; `seconds` how long that took, and how long nothing was asked for; arrays hold the
        rest.
        """
        if not keys:
            return {}
        start = time.perf_counter()
        slot, x, y, arrays = self._load(keys, self.slots)
        end = time.perf_counter()
        seconds = (end - start, start - (self._ended_at or start))
        self._ended_at = end
        identity: dict[str, Any] = {**arrays, "seconds": seconds}
        if self.sends_draws:
            has_target = arrays["has_target"].reshape(len(keys), -1)[:, 0].tolist()
            identity["draws"] = tuple(zip(_split_keys(keys)[1], has_target, strict=True))
        if slot is not None:
            return identity | {"frames": Filled(slot, tuple(x.shape), y is not None)}
        return identity | ({"x": x} if y is None else {"x": x, "y": y})

    def _load(
        self, keys: list[int | tuple[int, int]], slots: Slots | None
    ) -> tuple[int | None, torch.Tensor, torch.Tensor | None, dict[str, np.ndarray]]:
        """Return the slot, x, y (None: no sample has a target) and the identities."""
        indices, draws = _split_keys(keys)
        positions = [[i] if self.clips is None else self.clips[i] for i in indices]
        samples = [[self.rows[position] for position in sample] for sample in positions]
        rows = [row for sample in samples for row in sample]
        identity = {
            "has_target": [bool(row.paths["img_target"]) for row in rows],
            "seed": [_seed_of(row) for row in rows],
            "index": [position for sample in positions for position in sample],
            "video": [row.video for row in rows],
        }
        counts = (len(keys), -1) if self.gives_clips else (len(keys),)
        arrays = {name: np.array(values).reshape(counts) for name, values in identity.items()}
        if self.transform.changes_nothing:
            shape = (*arrays["index"].shape, 3, rows[0].h, rows[0].w)
            return *self._decode(rows, shape, slots), arrays
        return *self._transform(samples, draws, slots), arrays

    def _decode(
        self, rows: list[FrameRow], shape: tuple[int, ...], slots: Slots | None
    ) -> tuple[int | None, torch.Tensor, torch.Tensor | None]:
        """Decode frames to where the batch holds them."""
        slot, x, y = _take(slots, shape)
        for row, planes in zip(rows, x.flatten(0, -4).numpy(), strict=True):
            split_planes(self.reader.read(row, "img_source"), planes)
        if not any(row.paths["img_target"] for row in rows):
            return slot, x, None
        for row, planes in zip(rows, y.flatten(0, -4).numpy(), strict=True):
            if row.paths["img_target"]:
                split_planes(self.reader.read(row, "img_target"), planes)
            else:
                planes[:] = 0
        return slot, x, y

    def _transform(
        self, samples: list[list[FrameRow]], draws: tuple[int | None, ...], slots: Slots | None
    ) -> tuple[int | None, torch.Tensor, torch.Tensor | None]:
        """Decode and transform each sample, then gather them."""
        pairs = [self._transform_one(*pair) for pair in zip(samples, draws, strict=True)]
        xs, ys = fill_in_targets(pairs)
        has_y = any(y is not None for _, y in pairs)
        if xs[0].dtype != torch.uint8:
            return None, default_collate(xs), default_collate(ys) if has_y else None
        slot, x, y = _take(slots, (len(xs), *xs[0].shape))
        return slot, torch.stack(xs, out=x), torch.stack(ys, out=y) if has_y else None

    def _transform_one(
        self, rows: list[FrameRow], draw: int | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        x = self._read_all(rows, "img_source")
        y = self._read_all(rows, "img_target") if rows[0].paths["img_target"] else None
        with drawing_from(draw, CPU):
            return self.transform(x, y)

    def _read_all(self, rows: list[FrameRow], column: str) -> torch.Tensor:
        """Return uint8 RGB, [3,H,W] of one row, [T,3,H,W] of a clip's."""
        frames = [rgb_chw_u8(self.reader.read(row, column)) for row in rows]
        return torch.stack(frames) if self.gives_clips else frames[0]


def _split_keys(
    keys: list[int | tuple[int, int]],
) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    """Return positions, and the seeds that come with them."""
    indices, draws = zip(*(k if isinstance(k, tuple) else (k, None) for k in keys), strict=True)
    return indices, draws


def _take(
    slots: Slots | None, shape: tuple[int, ...]
) -> tuple[int | None, torch.Tensor, torch.Tensor]:
    if slots is not None:
        return slots.take(shape)
    return None, *(torch.empty(shape, dtype=torch.uint8) for _ in "xy")


def _seed_of(row: FrameRow) -> int:
    """Return the frame's seed: the same whether it is read from a video or was extracted."""
    name = Path(row.paths["img_source"]).stem if row.frame is None else frame_stem(row.frame)
    return frame_seed(row.subset, row.video_id, name)
