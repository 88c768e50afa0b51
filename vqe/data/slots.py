"""Memory that batches of frames are decoded into, and used again once nobody holds the batch.

Memory fresh from the system is handed out page by page, which takes half as long as decoding a
JPEG, and as long where processes share it. So a loader keeps some slots: a loading process fills a
free one of its own and sends no pixels, but the slot's number. Where every slot is held on to,
the frames travel in fresh memory.
"""

import math
import weakref
from dataclasses import dataclass

import torch
from torch.utils.data import get_worker_info


@dataclass(frozen=True)
class Filled:
    """Frames in a slot.

    Attributes:
        slot: its number.
        shape: of x and of y.
        has_y: whether y is there; else it is zero.
    """

    slot: int
    shape: tuple[int, ...]
    has_y: bool


class Slots:
    """The slots of a loader, each for a batch's x and y.

    Args:
        processes: loading processes; 0 is the main process alone.
        each: slots of each.
        size: bytes of the largest x; a larger one gets fresh memory.
    """

    @torch.inference_mode(False)  # or what a test loop makes could not be written to after it
    def __init__(self, processes: int, each: int, size: int) -> None:
        self.each = each
        count = max(1, processes) * each
        if processes:  # no page is taken from the system before it is written to
            shared = torch.UntypedStorage._new_shared(count * 2 * size)
            memory = torch.empty(0, dtype=torch.uint8).set_(shared)
        else:
            memory = torch.empty(count * 2 * size, dtype=torch.uint8)
        self.memory = memory.view(count, 2, size)
        self.filled = torch.zeros(count, dtype=torch.int64).share_memory_()  # in which pass
        self.held = torch.zeros(count, dtype=torch.bool).share_memory_()
        self.now = torch.ones(1, dtype=torch.int64).share_memory_()  # the pass over the data

    def begin_pass(self) -> None:
        """Free what was filled and never fetched, as the last pass was broken off."""
        self.now += 1

    def take(self, shape: tuple[int, ...]) -> tuple[int | None, torch.Tensor, torch.Tensor]:
        """Give uint8 memory of any content for x and y, and its slot; None: it is in none."""
        worker = get_worker_info()
        first = worker.id * self.each if worker else 0
        for slot in range(first, first + self.each):
            fits = math.prod(shape) <= self.memory.shape[2]
            if fits and not self.held[slot] and self.filled[slot] < self.now:
                self.filled[slot] = self.now[0]
                return slot, *self._view(self.memory[slot], shape)
        return None, *(torch.empty(shape, dtype=torch.uint8) for _ in "xy")

    def open(self, frames: Filled) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x and y; their slot is free again once both are gone."""
        self.held[frames.slot] = True
        owner = self.memory[frames.slot].numpy()  # what both are views of
        weakref.finalize(owner, self._release, frames.slot).atexit = False
        x, y = self._view(torch.from_numpy(owner), frames.shape)
        return x, y if frames.has_y else no_frames(x)

    def _release(self, slot: int) -> None:
        self.filled[slot] = 0
        self.held[slot] = False

    @staticmethod
    def _view(memory: torch.Tensor, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        used = math.prod(shape)
        return memory[0, :used].view(shape), memory[1, :used].view(shape)


def no_frames(like: torch.Tensor) -> torch.Tensor:
    """Return one zero seen at every pixel: memory that is never written costs no time."""
    return torch.zeros((), dtype=like.dtype, device=like.device).expand_as(like)
