"""Batches from loading processes -> dicts of tensors, with the frames in the loader's slots."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from vqe.data.dataset import FrameDataset
from vqe.data.slots import Slots, no_frames
from vqe.device import count_own_cores, is_gpu
from vqe.stages import StageClock

log = logging.getLogger(__name__)

PASSED_ON = 2  # batches that a trainer holds while it asks for the next
# One reads some 700 JPGs of 640x368 a second; each more holds four more batches in memory.
MOST_WORKERS = 8


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are made and by whom.

    Attributes:
        batch_size: frames, or clips, in a training batch of one process.
        eval_batch_size: frames in a validation or test batch, all of one video.
        lanes: test videos at a time, whose batches take turns; no number depends on it.
        num_workers: loading processes; 0 loads in the main process, None is chosen from the cores.
            Of validation and test frames of video files each lane is one process's, and what is
            left are decoder threads.
        multiprocessing_context: `fork`, `spawn` or `forkserver`; None takes the platform's own.
        prefetch_factor: batches each worker keeps ready.
        pin_memory: copy batches to page-locked memory, which speeds transfers to a GPU; None does
            so where they go to one.
    """

    batch_size: int = 32
    eval_batch_size: int = 8
    lanes: int = 1
    num_workers: int | None = 0
    multiprocessing_context: str | None = None
    prefetch_factor: int = 2
    pin_memory: bool | None = None

    def choose_workers(self, processes: int) -> int:
        """Return how many loading processes there are to be.

        Args:
            processes: that train or test on this machine, this one among them.
        """
        if self.num_workers is not None:
            return self.num_workers
        cores = count_own_cores(processes)
        workers = min(cores - 1, MOST_WORKERS)  # one is left to the training itself
        log.info("dataloader.num_workers: %d, chosen from %d cores", workers, cores)
        return workers

    def is_pinned_for(self, device: torch.device) -> bool:
        """Whether batches for a device go through page-locked memory."""
        return is_gpu(device) if self.pin_memory is None else self.pin_memory


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
        # Frames on their way to a GPU must stay as they are until they are there, though Lightning
        # does not wait for them (non_blocking). Page-locked memory is made by torch, which gives it
        # to nobody before the GPU has read it, even if its tensor is gone. Slots are not locked:
        # what the GPU's driver is given of them it has copied before it returns, so that a slot
        # may be filled again. Both together do not work: the thread that locks would have to open
        # slots, and of a pass broken off it might open one that is being filled anew.
        self.slots = None
        if not pin_memory:
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
        # not earlier: memory that is one zero cannot be copied to page-locked memory
        batch.setdefault("y", no_frames(batch["x"]))
        return {k: v if k == "draws" else torch.as_tensor(v) for k, v in batch.items()}


def _as_it_is(batch: dict[str, Any]) -> dict[str, Any]:
    return batch
