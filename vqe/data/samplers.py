"""Frame table -> batches of row positions: shuffled for training, video by video for testing."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from torch.utils.data import Sampler

from vqe.data.index import cut_sizes, group_videos


class ShuffledBatches(Sampler[list[tuple[int, int]]]):
    """Batches of frames, or clips, of one shape, in an order drawn anew each epoch.

    A frame is (its position, a seed for its augmentation): the same epoch draws the same again,
    whatever ran before it and whichever worker loads it. Likewise a clip.

    All ranks draw the same batches and each takes every `world`-th, so that all have equally many.
    A set smaller than one batch a rank wraps around; else the frames that fill no whole batch are
    left out for this epoch.

    Args:
        shapes: [N,2] height and width of each frame as the network will see it.
        batch_size: frames in a batch of one rank.
        seed: the same seed and epoch give the same batches.
        rank: this process's number.
        world: how many processes there are.
    """

    def __init__(
        self, shapes: np.ndarray, *, batch_size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        shapes_in_one = shapes.astype(np.int64) @ (2**32, 1)  # one number for both
        self.groups = [np.flatnonzero(shapes_in_one == shape) for shape in np.unique(shapes_in_one)]
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0

    @property
    def sampler(self) -> "ShuffledBatches":
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn next."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole = sum(len(group) // self.batch_size for group in self.groups)
        return max(whole // self.world, 1)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        random = np.random.default_rng((self.seed, self.epoch))
        batches = []
        for group in self.groups:
            order = random.permutation(group)
            whole = len(order) // self.batch_size
            batches += list(order[: whole * self.batch_size].reshape(whole, self.batch_size))
        needed = len(self) * self.world
        if len(batches) < needed:
            batches = self._wrap_around(random, needed)
        order = random.permutation(len(batches))[:needed]
        seeds = [random.integers(2**63, size=len(batches[i])) for i in order]
        for i, batch_seeds in list(zip(order, seeds, strict=True))[self.rank :: self.world]:
            yield list(zip(batches[i].tolist(), batch_seeds.tolist(), strict=True))

    def _wrap_around(self, random: np.random.Generator, needed: int) -> list[np.ndarray]:
        largest = random.permutation(max(self.groups, key=len))
        size = min(self.batch_size, max(1, len(largest) // self.world))
        return [largest[(np.arange(size) + i * size) % len(largest)] for i in range(needed)]


class VideoBatches(Sampler[list[int]]):
    """Batches of consecutive frames of one video and one shape; a video is on one rank alone.

    Longest videos are dealt out first, each to the rank with the fewest frames. A batch holds the
    same frames whatever the number of ranks, so the results are the same too.

    Args:
        table: frames as `vqe.data.index.read_index` returns them.
        batch_size: frames in a batch at most.
        rank: this process's number.
        world: how many processes there are.

    Raises:
        ValueError: there are fewer videos than processes.
    """

    def __init__(
        self, table: pd.DataFrame, *, batch_size: int, rank: int = 0, world: int = 1
    ) -> None:
        videos = group_videos(table)
        if len(videos) < world:
            raise ValueError(
                f"expected at least one video for each of {world} processes, got {len(videos)} "
                f"({table.attrs.get('csv')}). Use fewer devices: trainer.devices={len(videos)}"
            )
        loads = [0] * world
        self.batches = []
        for key in sorted(videos, key=lambda k: (-len(videos[k]), k)):
            lightest = loads.index(min(loads))
            loads[lightest] += len(videos[key])
            if lightest == rank:
                for run in cut_sizes(table, videos[key]):
                    cuts = range(batch_size, len(run), batch_size)
                    self.batches += [part.tolist() for part in np.split(run, cuts)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)
