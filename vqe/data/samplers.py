"""Frame table -> batches of row positions: shuffled for training, video by video for testing."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from torch.utils.data import Sampler

from vqe.data.contents import EvenDraw, PlainDraw, divide_evenly
from vqe.data.index import cut_sizes, group_videos
from vqe.shards import deal_out


class ShuffledBatches(Sampler[list[tuple[int, int]]]):
    """Batches of frames, or clips, of one shape, in an order drawn anew each epoch.

    A frame is (its position, a seed for its augmentation): the same epoch draws the same again,
    whatever ran before it and whichever worker loads it. Likewise a clip.

    All ranks draw the same batches and each takes every `world`-th, so that all have equally many.
    A set smaller than one batch a rank wraps around; else the frames that fill no whole batch are
    left out for this epoch.

    With `contents` an epoch has as many frames, and every content equally often: frames of one
    that has few come several times, each time with another seed.

    Args:
        shapes: [N,2] height and width of each frame as the network will see it.
        batch_size: frames in a batch of one rank.
        seed: the same seed and epoch give the same batches.
        contents: int [N], the number of what each frame shows; None draws every frame once.
        rank: this process's number.
        world: how many processes there are.
    """

    def __init__(
        self,
        shapes: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        contents: np.ndarray | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        shapes_in_one = shapes.astype(np.int64) @ (2**32, 1)  # one number for both
        groups = [np.flatnonzero(shapes_in_one == shape) for shape in np.unique(shapes_in_one)]
        self.draws: Sequence[PlainDraw | EvenDraw] = (
            [PlainDraw(group) for group in groups]
            if contents is None
            else divide_evenly(contents, groups)
        )
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
        whole = sum(group.size // self.batch_size for group in self.draws)
        return max(whole // self.world, 1)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        random = np.random.default_rng((self.seed, self.epoch))
        batches = []
        for group in self.draws:
            order = group.draw(random)
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
        largest = max(self.draws, key=lambda group: group.size).draw(random)
        size = min(self.batch_size, max(1, len(largest) // self.world))
        return [largest[(np.arange(size) + i * size) % len(largest)] for i in range(needed)]


class MixedBatches(Sampler[list[tuple[int, int]]]):
    """Training batches of supervised or of unsupervised frames, never both, mixed by a share.

    An epoch has as many batches as both kinds fill together. Each kind is an endless row of
    passes over its frames, each pass shuffled anew, and an epoch goes on where the last one
    stopped: the scarcer kind comes round more often. All ranks draw the same batches and each takes
    every `world`-th.

    Args:
        shapes: [N,2] height and width of each frame as the network will see it.
        unsupervised: bool [N], which frames have no target.
        share: of the batches that are unsupervised, in [0,1]; on average over epochs where an
            epoch is too short for it.
        batch_size: frames in a batch of one rank.
        seed: the same seed and epoch give the same batches.
        contents: see `ShuffledBatches`; of each kind its own come equally often.
        rank: this process's number.
        world: how many processes there are.

    Raises:
        ValueError: the share is out of range, or there are no frames of a kind it asks for.
    """

    def __init__(
        self,
        shapes: np.ndarray,
        unsupervised: np.ndarray,
        *,
        share: float,
        batch_size: int,
        seed: int,
        contents: np.ndarray | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"expected dataset.unsupervised_share in [0,1] or null, got {share}")
        self.positions = [np.flatnonzero(~unsupervised), np.flatnonzero(unsupervised)]
        counts = [len(positions) for positions in self.positions]
        if (share < 1 and not counts[0]) or (share > 0 and not counts[1]):
            raise ValueError(
                f"expected training frames of both kinds for dataset.unsupervised_share={share}, "
                f"got {counts[0]} with a target and {counts[1]} without. Set it to "
                f"{int(not counts[0])} or null, or change dataset.train and train_query"
            )
        self.passes = [
            ShuffledBatches(
                shapes[positions],
                batch_size=batch_size,
                seed=2 * seed + kind,
                contents=None if contents is None else contents[positions],
            )
            for kind, positions in enumerate(self.positions)
        ]
        self.share = share
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0

    @property
    def sampler(self) -> "MixedBatches":
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches are drawn next."""
        self.epoch = epoch

    def __len__(self) -> int:
        filled = [
            len(p) for p, found in zip(self.passes, self.positions, strict=True) if len(found)
        ]
        return max(sum(filled) // self.world, 1)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        batches: list[list[tuple[int, int]]] = []
        starts, ends = self._drawn_before(self.epoch), self._drawn_before(self.epoch + 1)
        for kind, (start, end) in enumerate(zip(starts, ends, strict=True)):
            batches += self._draw(kind, start, end)
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(batches))
        for i in order[self.rank :: self.world]:
            yield batches[i]

    def _drawn_before(self, epoch: int) -> tuple[int, int]:
        """Count the batches of both kinds in all epochs before this one."""
        drawn = len(self) * self.world * epoch
        unsupervised = round(self.share * drawn)
        return drawn - unsupervised, unsupervised

    def _draw(self, kind: int, start: int, end: int) -> Iterator[list[tuple[int, int]]]:
        """Yield the batches from `start` to before `end` of a kind's endless row."""
        batches, positions = self.passes[kind], self.positions[kind]
        number, skipped = divmod(start, len(batches))
        while start < end:
            batches.set_epoch(number)
            for batch in list(batches)[skipped : skipped + end - start]:
                yield [(int(positions[i]), seed) for i, seed in batch]
                start += 1
            number, skipped = number + 1, 0


class VideoBatches(Sampler[list[int]]):
    """Batches of consecutive frames of one video and one shape; a video is on one rank alone.

    Longest videos are dealt out first, each to the rank with the fewest frames. A batch holds the
    same frames whatever the number of ranks and lanes, so the results are the same too.

    Several lanes take turns, a batch each; a lane that is through with a video takes the next one.

    Args:
        table: frames as `vqe.data.index.read_index` returns them.
        batch_size: frames in a batch at most.
        rank: this process's number.
        world: how many processes there are.
        lanes: videos at a time.
        in_step: give an empty batch in the turn of a lane that has no video left, so that every
            so-many-th batch is the same lane's to the end.

    Raises:
        ValueError: there are fewer videos than processes, or no lane.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        *,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        lanes: int = 1,
        in_step: bool = False,
    ) -> None:
        videos = group_videos(table)
        if len(videos) < world:
            raise ValueError(
                f"expected at least one video for each of {world} processes, got {len(videos)} "
                f"({table.attrs.get('csv')}). Use fewer devices: trainer.devices={len(videos)}"
            )
        if lanes < 1:
            raise ValueError(f"expected dataloader.lanes from 1 on, got {lanes}")
        loads = {key: len(positions) for key, positions in videos.items()}
        of_videos = []
        for key in deal_out(loads, world)[rank]:
            batches: list[list[int]] = []
            for run in cut_sizes(table, videos[key]):
                cuts = range(batch_size, len(run), batch_size)
                batches += [part.tolist() for part in np.split(run, cuts)]
            of_videos.append(batches)
        self.batches = take_turns(of_videos, lanes)
        if not in_step:
            self.batches = [batch for batch in self.batches if batch]

    def __len__(self) -> int:
        return sum(1 for batch in self.batches if batch)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def take_turns(videos: list[list[list[int]]], lanes: int) -> list[list[int]]:
    """Return the batches of all videos in lanes' turns, empty ones where a lane has none left."""
    waiting = iter(videos)
    at_work: list[Iterator[list[int]]] = [iter(()) for _ in range(lanes)]
    taken: list[list[int]] = []
    while True:
        turn: list[list[int]] = []
        for lane in range(lanes):
            batch = next(at_work[lane], None)
            if batch is None:
                at_work[lane] = iter(next(waiting, ()))
                batch = next(at_work[lane], [])
            turn.append(batch)
        if not any(turn):
            return taken
        taken += turn
