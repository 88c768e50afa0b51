"""Uint8 input frames -> DOVER's scores of those that this process scored before, in memory.

Where nothing is drawn anew, a frame that comes again, in a clip that overlaps the last or in the
next epoch, has the score that it had. Features of the VQA are too large to be kept here, and cheap
beside DOVER; `feature_cache` keeps both on a disk.
"""

from collections.abc import Sequence

import numpy as np

from vqe.critics.feature_cache import CacheLookup, CacheSpec

LIMIT = 1_000_000  # frames, about 200 MB


class ScoreMemory:
    """Scores of the frames seen last, found by pixels, weights, options and seeds.

    Args:
        limit: frames to remember.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._scores: dict[bytes, float] = {}  # the oldest first

    def look_up(
        self, spec: CacheSpec, frames: Sequence[bytes], seeds: Sequence[int] | None = None
    ) -> CacheLookup:
        """Find the scores of frames, given their digests and seeds; nothing else is known."""
        if spec.width != 1:
            return CacheLookup([None] * len(frames))
        keys = spec.make_keys(frames, seeds)
        scores = [self._scores.get(key) for key in keys]
        found = [None if score is None else np.array([score], np.float32) for score in scores]

        def keep(places: list[int], values: np.ndarray) -> None:
            for place, value in zip(places, values[:, 0].tolist(), strict=True):
                self._scores[keys[place]] = value
            while len(self._scores) > self.limit:
                del self._scores[next(iter(self._scores))]

        return CacheLookup(found, keep, keys)

    def flush(self) -> None:
        """Write nothing."""

    def report(self) -> None:
        """Say nothing."""
