"""Votes on pairs -> comparison mean opinion scores (CMOS), standard deviations, intervals."""

import numpy as np
import pandas as pd
from scipy.stats import t as student

from vqe.subjective.uncertainty import CONFIDENCE, Spread, bootstrap_means, combine, sum_clusters
from vqe.subjective.votes import REFERENCE, Codes

MEASURES = ["votes", "cmos", "sd", "t_low", "t_high", "low", "high"]


def rate_pairs(
    codes: Codes, votes: np.ndarray, *, replicates: int, seed: int, precision: float
) -> pd.DataFrame:
    """Return a row a pair of methods: how much better `b` is than `a`.

    `t_low` .. `t_high` takes votes for independent, as P.910 does; `low` .. `high` is the
    bootstrap over raters and contents. `votes_needed` more make the half of the latter
    `precision` if raters and contents grow with the votes.

    Args:
        codes: the votes' pairs.
        votes: [N], each shown-second-minus-first, bias taken off.
        replicates: of the bootstrap.
        seed: of the bootstrap.
        precision: half of the interval that is wanted.
    """
    score = votes * codes.turned
    names = [codes.name_pair(p) for p in range(len(codes.pairs))]
    table = pd.DataFrame(names, columns=["a", "b"])
    table[MEASURES[:5]] = describe(score, codes.pair, len(names))
    table["votes"] = table["votes"].astype(int)
    spread = spread_pairs(codes, score, replicates=replicates, seed=seed)
    half = spread.half_width
    table["low"], table["high"] = table["cmos"] - half, table["cmos"] + half
    wanted = table["votes"] * (half / precision) ** 2
    table["votes_needed"] = np.ceil((wanted - table["votes"]).clip(lower=0))
    shown = codes.shown * codes.turned
    for name, sign in (("wins_a", -1), ("ties", 0), ("wins_b", 1)):
        table[name] = np.bincount(codes.pair, np.sign(shown) == sign, len(names)).astype(int)
    return table


def rate_videos(codes: Codes, votes: np.ndarray, *, replicates: int, seed: int) -> pd.DataFrame:
    """Return a row a method and video: how much better than the input; raters are drawn anew."""
    if REFERENCE not in codes.methods:
        return pd.DataFrame(columns=["method", "video", *MEASURES])
    against = codes.pairs[codes.pair][:, 0] == codes.methods.index(REFERENCE)
    method = codes.pairs[codes.pair][against, 1]
    content, rater = codes.content[against], codes.rater[against]
    score = (votes * codes.turned)[against]
    keys, group = np.unique(method * len(codes.contents) + content, return_inverse=True)
    table = pd.DataFrame(
        {
            "method": [codes.methods[k // len(codes.contents)] for k in keys],
            "video": [codes.contents[k % len(codes.contents)] for k in keys],
        }
    )
    table[MEASURES[:5]] = describe(score, group, len(keys))
    table["votes"] = table["votes"].astype(int)
    rater = np.unique(rater, return_inverse=True)[1]
    half = np.full(len(keys), np.nan)
    for start in range(0, len(keys), 500):  # columns at a time: all do not fit into memory
        part = (group >= start) & (group < start + 500)
        columns = group[part] - start
        sums = sum_clusters(rater[part], columns, score[part])
        counts = sum_clusters(rater[part], columns, np.ones(part.sum()))
        seen = counts.any(1)
        variance = bootstrap_means(sums[seen], counts[seen], replicates=replicates, seed=seed)
        raters = (counts > 0).sum(0)
        # drawn from all raters, a mean over few of them varies as with (n - 1) / n
        variance *= np.where(raters > 1, raters / np.maximum(raters - 1, 1), np.nan)
        spread = Spread(np.sqrt(variance), raters - 1.0)
        half[start : start + 500] = spread.half_width
    table["low"], table["high"] = table["cmos"] - half, table["cmos"] + half
    return table


def spread_pairs(codes: Codes, score: np.ndarray, *, replicates: int, seed: int) -> Spread:
    """Return the spread of each pair's mean over raters and contents."""
    parts = []
    ones = np.ones(len(score))
    for keys in (codes.rater, codes.content):
        sums, counts = (sum_clusters(keys, codes.pair, v) for v in (score, ones))
        variance = bootstrap_means(sums, counts, replicates=replicates, seed=seed)
        parts.append((variance, len(sums)))
    n = np.bincount(codes.pair)
    sd = describe(score, codes.pair, len(n))[:, 2]
    return combine(parts, (sd**2 / n, n))


def describe(score: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Return number, mean, standard deviation and the ends of the t interval, [groups,5]."""
    n = np.bincount(group, minlength=groups)
    mean = np.bincount(group, score, groups) / np.maximum(n, 1)
    square = np.bincount(group, (score - mean[group]) ** 2, groups)
    sd = np.where(n > 1, np.sqrt(square / np.maximum(n - 1, 1)), np.nan)
    half = student.ppf((1 + CONFIDENCE) / 2, np.maximum(n - 1, 1)) * sd / np.sqrt(n)
    return np.stack([n, mean, sd, mean - half, mean + half], axis=1)
