"""Votes on pairs -> how far raters agree with each other and with themselves."""

import numpy as np
import pandas as pd

from vqe.subjective.screening import correlate_raters
from vqe.subjective.votes import GRADES, Codes


def describe_raters(codes: Codes, bias: np.ndarray) -> pd.DataFrame:
    """Return a row a rater: votes, reliability (r with the others' means), bias, own consistency.

    `consistency` is the share of pairs a rater saw more than once, as in both orders, whose
    answers are at most one grade apart.
    """
    consistency, repeats = _find_repeats(codes)
    return pd.DataFrame(
        {
            "rater": codes.raters,
            "votes": np.bincount(codes.rater),
            "reliability": correlate_raters(codes),
            "bias": bias,
            "repeats": repeats,
            "consistency": consistency,
        }
    )


def krippendorff_alpha(counts: np.ndarray) -> float:
    """Compute Krippendorff's alpha for ordinal answers (Krippendorff, 2011).

    Args:
        counts: [units,grades], how often each unit got each grade, grades in their order. Units
            with fewer than two answers tell nothing.

    Returns:
        1 for full agreement, 0 for that of chance; NaN where there is nothing to compare.
    """
    counts = np.asarray(counts, float)
    counts = counts[counts.sum(1) > 1]
    if not len(counts):
        return float("nan")
    others = counts.sum(1, keepdims=True) - 1
    observed = counts.T @ (counts / others) - np.diag((counts / others).sum(0))
    total = observed.sum(0)
    n = total.sum()
    expected = (np.outer(total, total) - np.diag(total)) / (n - 1)
    middle = np.cumsum(total) - total / 2  # of each grade among all answers in order
    distance = np.subtract.outer(middle, middle) ** 2
    disagreement = (expected * distance).sum()
    if disagreement <= 0:
        return float("nan")
    return float(1 - (observed * distance).sum() / disagreement)


def measure_agreement(codes: Codes) -> float:
    """Return alpha over all contents and pairs, each vote turned the pair's way round."""
    grades = (codes.shown * codes.turned - GRADES[0]).astype(int)
    unit = np.unique(codes.content * len(codes.pairs) + codes.pair, return_inverse=True)[1]
    flat = np.bincount(unit * len(GRADES) + grades, minlength=(unit.max() + 1) * len(GRADES))
    return krippendorff_alpha(flat.reshape(-1, len(GRADES)))


def _find_repeats(codes: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Return each rater's consistency and how many pairs it is over."""
    key = codes.content * len(codes.pairs) + codes.pair
    table = pd.DataFrame({"rater": codes.rater, "key": key, "vote": codes.shown * codes.turned})
    seen = table[table.duplicated(["rater", "key"], keep=False)]
    range_ = seen.groupby(["rater", "key"])["vote"].agg(["min", "max"])
    near = (range_["max"] - range_["min"] <= 1).groupby("rater")
    everyone = range(len(codes.raters))
    share, repeats = near.mean().reindex(everyone), near.size().reindex(everyone, fill_value=0)
    return share.to_numpy(float), repeats.to_numpy()
