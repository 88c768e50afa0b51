"""Batches from loading processes -> dicts of tensors, with the frames in the loader's slots."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from vqe.data.dataset import FrameDataset
from vqe.data.slots import Slots
from vqe.stages import StageClock

PASSED_ON = 2  # batches that a trainer holds while it asks for the next


class FrameLoader(DataLoader):
    """Load the batches of a `FrameDataset`.

    Args:
        dataset: gives whole batches; it is handed the slots.
        batches: keys of the batches.
        largest: frames in the largest batch.
        num_workers: loading processes.
        multiprocessing_context: how they start.
        prefetch_factor: batches that each keeps ready.
        pin_memory: copy frames to page-locked memory.
        clock: returns who is told how long decoding takes.
    """

    def __init__(
        self,
        dataset: FrameDataset,
        batches: Sampler,
        *,
        largest: int,
        num_workers: int = 0,
        multiprocessing_context: str | None = None,
        prefetch_factor: int = 2,
        pin_memory: bool = False,
        clock: Callable[[], StageClock] | None = None,
    ) -> None:
        self.clock = clock
        each = PASSED_ON + (prefetch_factor if num_workers else 1)
        self.slots = None
        if not pin_memory:  # or another thread would copy what it is sent
            self.slots = Slots(num_workers, each, largest * dataset.largest_frame)
        dataset.slots = self.slots
        super().__init__(
            dataset,
            batch_sampler=batches,
            collate_fn=_as_it_is,
            num_workers=num_workers,
            multiprocessing_context=multiprocessing_context if num_workers else None,
            prefetch_factor=prefetch_factor if num_workers else None,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
        )

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield batches; what a batch holds stays as it is for as long as it is held."""
        if self.slots is not None:
            self.slots.begin_pass()
        for batch in super().__iter__():
            if batch:  # the turn of a lane without a video
                yield self._open(batch)

    def _open(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        busy, waited = batch.pop("seconds")
        if self.clock is not None:
            count, workers = len(batch["index"]), max(1, self.num_workers)
            self.clock().add("decode", frames=count, busy=busy, waited=waited, workers=workers)
        frames = batch.pop("frames", None)
        if frames is not None:
            batch["x"], batch["y"] = self.slots.open(frames)
        return {k: torch.as_tensor(v) for k, v in batch.items()}


def _as_it_is(batch: dict[str, Any]) -> dict[str, Any]:
    return batch
