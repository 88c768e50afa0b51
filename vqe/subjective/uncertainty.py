"""Sums by rater and by content -> standard errors and intervals that know that votes cluster.

Votes of one rater resemble each other, and so do votes on one content. The variance of a figure is
that over raters plus that over contents less that over single votes, which both contain (Cameron,
Gelbach, Miller: Robust inference with multiway clustering, 2011); degrees of freedom follow
Satterthwaite. "The same if other raters had voted on other contents like these" is what such an
interval says.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

CONFIDENCE = 0.95
CHUNK = 50  # replicates at a time: memory does not grow with their number


@dataclass(frozen=True)
class Spread:
    """Standard errors and their degrees of freedom, an array each."""

    error: np.ndarray
    freedom: np.ndarray

    @property
    def half_width(self) -> np.ndarray:
        """Half of the interval; NaN where there is too little to tell."""
        with np.errstate(invalid="ignore"):
            known = self.freedom >= 1
            quantile = student.ppf((1 + CONFIDENCE) / 2, np.where(known, self.freedom, 1))
        return np.where(known, quantile * self.error, np.nan)


def combine(
    parts: list[tuple[np.ndarray, int]], single: tuple[np.ndarray, np.ndarray | int]
) -> Spread:
    """Combine variances over clusters of each kind with that over single votes.

    Args:
        parts: of raters, of contents: the variance, and how many clusters there are; kinds with
            fewer than two clusters are left out.
        single: the same of votes.
    """
    parts = [(np.asarray(v, float), n) for v, n in parts if n > 1]
    votes, count = np.asarray(single[0], float), single[1]
    if not parts:
        return Spread(np.sqrt(votes), np.broadcast_to(count - 1.0, votes.shape))
    variance = sum(v for v, _ in parts) - (len(parts) - 1) * votes
    # chance can make the difference smaller than what votes alone would give
    variance = np.maximum(variance, np.minimum.reduce([votes, *(v for v, _ in parts)]))
    doubt = sum(v**2 / (n - 1) for v, n in parts)
    if len(parts) > 1:
        doubt = doubt + votes**2 / np.maximum(count - 1, 1)
    freedom = variance**2 / np.maximum(doubt, 1e-300)
    return Spread(np.sqrt(variance), np.clip(freedom, 1, np.maximum(count - 1, 1)))


def bootstrap_means(
    sums: np.ndarray, counts: np.ndarray, *, replicates: int, seed: int
) -> np.ndarray:
    """Return the variance [Q] of means when clusters are drawn anew with replacement.

    Args:
        sums: [G,Q], a row a cluster.
        counts: [G,Q], what the sums are over.
        replicates: how many draws.
        seed: of the draws.
    """
    size = len(sums)
    random = np.random.default_rng(seed)
    total = np.zeros((3, sums.shape[1]))  # how many, sum, sum of squares
    centre = sums.sum(0) / np.maximum(counts.sum(0), 1)
    for start in range(0, replicates, CHUNK):
        rows = min(CHUNK, replicates - start)
        weights = random.multinomial(size, np.full(size, 1 / size), rows).astype(np.float64)
        n = weights @ counts
        there = n > 0
        rest = np.where(there, weights @ sums / np.where(there, n, 1) - centre, 0)
        total += there.sum(0), rest.sum(0), (rest**2).sum(0)
    n = np.maximum(total[0], 1)
    variance = total[2] / n - (total[1] / n) ** 2
    return variance * size / max(size - 1, 1)


def sum_clusters(keys: np.ndarray, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum values by cluster and column: [clusters, columns]."""
    shape = (int(keys.max()) + 1, int(columns.max()) + 1)
    flat = np.bincount(keys * shape[1] + columns, values, shape[0] * shape[1])
    return flat.reshape(shape)
