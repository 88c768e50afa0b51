"""Numbers of videos -> means with intervals: "the same if other videos like these had been drawn".

Videos are drawn anew with replacement, those with targets and those without apart (B. Efron,
"Bootstrap methods", 1979); the interval is what 95 % of the draws' means lie in. A difference is
taken within each draw. Frames of one video resemble their neighbours, and are drawn in blocks (D.
Politis and J. Romano, "A circular block-resampling procedure", 1992).
"""

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
LEAST = 2  # videos, or blocks of frames, for an interval


@dataclass(frozen=True)
class Interval:
    """A number and where it may lie; low and high are NaN where too little is there to tell."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return bool(np.isfinite(self.value))

    @property
    def sign(self) -> int:
        """1 or -1 where all of it lies on that side of 0, else 0."""
        if not np.isfinite([self.low, self.high]).all():
            return 0
        return int(self.low > 0) - int(self.high < 0)


class VideoDraws:
    """Draws of videos: the same ones for every number, so that differences are of one draw.

    Args:
        count: videos.
        replicates: draws.
        seed: of the draws.
    """

    def __init__(self, count: int, *, replicates: int, seed: int) -> None:
        self.count = count
        random = np.random.default_rng(seed)
        times = random.multinomial(count, np.full(count, 1 / count), replicates) if count else None
        self._weights = np.zeros((replicates, 0)) if times is None else times.astype(np.float64)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of all videos, then that of each draw; NaN are left out.

        Args:
            values: a number a video.
        """
        known = np.isfinite(values)
        if not known.any():
            return np.full(len(self._weights) + 1, np.nan)
        weights = self._weights[:, known]
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = weights @ values[known] / weights.sum(1)
        return np.concatenate([[values[known].mean()], drawn])


def find_interval(draws: np.ndarray, count: int) -> Interval:
    """Turn a number and its draws, the number first, into an interval.

    Args:
        draws: [1 + replicates].
        count: videos or blocks that were drawn from.
    """
    value, drawn = float(draws[0]), draws[1:][np.isfinite(draws[1:])]
    if not np.isfinite(value) or count < LEAST or not drawn.size:
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))


def find_frame_interval(values: np.ndarray, *, replicates: int, seed: int) -> Interval:
    """Return the mean over a video's frames, with the interval of a circular block bootstrap.

    Args:
        values: a number a frame, in order.
        replicates: draws.
        seed: of the draws.
    """
    count = len(values)
    length = max(1, int(np.sqrt(count)))
    blocks = count // length
    if blocks < LEAST:
        return Interval(float(values.mean()) if count else np.nan, np.nan, np.nan)
    around = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[: length - 1]]))])
    means = (around[length:] - around[:-length]) / length
    chosen = np.random.default_rng(seed).integers(0, count, (replicates, blocks))
    return find_interval(np.concatenate([[values.mean()], means[chosen].mean(1)]), blocks)
