"""Votes -> raters unlike the others: BT.500's screening, agreement, and P.913's bias."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binom, norm

from vqe.subjective.votes import PAIR, Codes, encode

NORMAL_KURTOSIS = (2, 4)  # between these BT.500 takes votes for normally distributed
NORMAL_LIMIT, OTHER_LIMIT = 2.0, 20**0.5  # standard deviations


@dataclass(frozen=True)
class Kurtosis:
    """Raters of whom BT.500-15 (annex 1, 2.3.1) says that they are inconsistent.

    A rater's votes far from the mean of a presentation, one content and pair, are counted: P above
    and Q below. Far is 2 standard deviations where the votes' kurtosis is between 2 and 4, else
    sqrt(20). BT.500 rejects whoever has (P + Q) / votes > share and |P - Q| / (P + Q) < balance.
    Of honest raters with few votes that rejects many, so the first must be significant here.

    Attributes:
        share: of a rater's votes that may be far from the others'.
        balance: below it votes err both ways.
        significance: 1 is BT.500's own rule.
        votes: presentations with fewer do not count.
    """

    share: float = 0.05
    balance: float = 0.3
    significance: float = 1e-3
    votes: int = 10

    def find(self, votes: pd.DataFrame) -> np.ndarray:
        """Find the raters' votes."""
        if not (votes["kind"] == PAIR).any():
            return np.zeros(len(votes), bool)
        codes = encode(votes)
        score, group = codes.shown * codes.turned, _number_presentations(codes)
        above, below = _find_far(score, group)
        counted = np.bincount(group)[group] >= self.votes
        size = len(codes.raters)
        total = np.bincount(codes.rater, counted, size)
        p, q = (np.bincount(codes.rater, far & counted, size) for far in (above, below))
        far = p + q
        chance = binom.sf(far - 1, total, self.share)
        bad = (far > self.share * total) & (chance <= self.significance)
        bad &= np.abs(p - q) < self.balance * np.maximum(far, 1)
        return votes["rater"].isin(np.array(codes.raters)[bad]).to_numpy()


@dataclass(frozen=True)
class Agreement:
    """Raters who agree with the others far less than most raters do.

    Each rater's correlation with the means of the others' votes, as Fisher's z, is held against
    the median; with methods that look alike nobody agrees, and nobody is removed.

    Attributes:
        deviations: standard deviations below the median, of robust ones, that are too many.
        votes: raters with fewer stay.
    """

    deviations: float = 3.0
    votes: int = 10

    def find(self, votes: pd.DataFrame) -> np.ndarray:
        """Find the raters' votes."""
        if not (votes["kind"] == PAIR).any():
            return np.zeros(len(votes), bool)
        codes = encode(votes)
        r = correlate_raters(codes)
        known = np.isfinite(r) & (np.bincount(codes.rater) >= self.votes)
        if not known.any():
            return np.zeros(len(votes), bool)
        z = np.arctanh(np.clip(r, -0.99, 0.99))
        middle = np.median(z[known])
        spread = np.median(np.abs(z[known] - middle)) / norm.ppf(0.75)
        bad = known & (z < middle - self.deviations * spread)
        return votes["rater"].isin(np.array(codes.raters)[bad]).to_numpy()


def correlate_raters(codes: Codes) -> np.ndarray:
    """Return each rater's Pearson correlation with the means of the others' votes, [R].

    The mean is over the others' votes on the same content and pair, or on the same pair where
    they are fewer than three.
    """
    score = codes.shown * codes.turned
    fine = _leave_out(score, _number_presentations(codes), codes.rater, least=3)
    coarse = _leave_out(score, codes.pair, codes.rater, least=1)
    others = np.where(np.isfinite(fine), fine, coarse) * codes.turned
    there = np.isfinite(others)
    rater, size = codes.rater[there], len(codes.raters)
    x, y = codes.shown[there], others[there]
    n = np.maximum(np.bincount(rater, minlength=size), 1)
    mean_x, mean_y = (np.bincount(rater, v, size) / n for v in (x, y))
    x, y = x - mean_x[rater], y - mean_y[rater]
    xx, yy, xy = (np.bincount(rater, v, size) for v in (x * x, y * y, x * y))
    known = (xx > 1e-12) & (yy > 1e-12)
    return np.where(known, xy / np.sqrt(np.where(known, xx * yy, 1)), np.nan)


def estimate_bias(codes: Codes) -> np.ndarray:
    """Return each rater's bias [R], P.913 12.4: the mean of the vote less that of all raters.

    Votes are taken as they were given, so it is a leaning towards the clip shown second; where
    all pairs are (input, enhanced), as in the P.910 toolkit's tables, towards the enhanced one.
    """
    score = codes.shown * codes.turned
    n = np.bincount(codes.pair)
    mean = np.bincount(codes.pair, score) / n
    rest = codes.shown - mean[codes.pair] * codes.turned
    return np.bincount(codes.rater, rest) / np.bincount(codes.rater)


def _number_presentations(codes: Codes) -> np.ndarray:
    keys = codes.content * len(codes.pairs) + codes.pair
    return np.unique(keys, return_inverse=True)[1]


def _leave_out(score: np.ndarray, group: np.ndarray, rater: np.ndarray, least: int) -> np.ndarray:
    """Return for each vote the mean of the other raters' in its group; NaN with too few."""
    own = np.unique(group * (rater.max() + 1) + rater, return_inverse=True)[1]
    total = np.bincount(group, score)[group] - np.bincount(own, score)[own]
    count = np.bincount(group)[group] - np.bincount(own)[own]
    return np.where(count >= least, total / np.maximum(count, 1), np.nan)


def _find_far(score: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which votes are far above and far below the mean of their presentation."""
    n = np.bincount(group)
    mean = np.bincount(group, score) / n
    rest = score - mean[group]
    second, fourth = (np.bincount(group, rest**power) / n for power in (2, 4))
    kurtosis = fourth / np.maximum(second, 1e-12) ** 2
    low, high = NORMAL_KURTOSIS
    limit = np.where((kurtosis >= low) & (kurtosis <= high), NORMAL_LIMIT, OTHER_LIMIT)
    deviation = np.sqrt(second * n / np.maximum(n - 1, 1))
    reach = np.maximum(limit * deviation, 1e-9)[group]
    return rest >= reach, rest <= -reach
