"""Methods and what is known of them -> which pairs to show, and how often."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from vqe.subjective.bradley_terry import sum_zero_basis

Z95 = 1.96
STEPS = 300  # of the multiplicative algorithm
LEAST_SHARE = 0.01  # of an even share: pairs with less are left out


def votes_for(precision: float, vote_sd: float) -> int:
    """Return how many votes make half of a 95 % interval of a mean `precision` wide."""
    return math.ceil((Z95 * vote_sd / precision) ** 2)


def choose_pairs(
    methods: Sequence[str], scheme: str, strengths: Mapping[str, float] | None
) -> dict[tuple[str, str], float]:
    """Return each pair's share of the votes.

    Args:
        methods: all names, the input's first.
        scheme: all: every pair; chain: neighbours by strength, or as given where nothing is
            known; optimal: the D-optimal design for Bradley-Terry given the strengths, which
            spends votes on pairs whose outcome is open.
        strengths: of an earlier analysis, of some or all methods.

    Raises:
        ValueError: the scheme is unknown.
    """
    theta = {m: math.log((strengths or {}).get(m) or 1.0) for m in methods}
    if scheme == "all":
        pairs = list(itertools.combinations(methods, 2))
        return dict.fromkeys(pairs, 1 / len(pairs))
    if scheme == "chain":
        line = sorted(methods, key=theta.get) if strengths else list(methods)
        return dict.fromkeys(itertools.pairwise(line), 1 / (len(line) - 1))
    if scheme == "optimal":
        return _design_optimally(list(methods), np.array([theta[m] for m in methods]))
    raise ValueError(f"expected pairs to be all, chain or optimal, got {scheme!r}")


def _design_optimally(methods: list[str], theta: np.ndarray) -> dict[tuple[str, str], float]:
    """Maximise the determinant of Bradley-Terry's information over shares of votes."""
    pairs = list(itertools.combinations(range(len(methods)), 2))
    basis = sum_zero_basis(len(methods))
    rows = np.array([basis[i] - basis[j] for i, j in pairs])
    chance = np.array([1 / (1 + math.exp(theta[j] - theta[i])) for i, j in pairs])
    weight = chance * (1 - chance)
    share = np.full(len(pairs), 1 / len(pairs))
    for _ in range(STEPS):
        information = rows.T @ (rows * (share * weight)[:, None])
        gain = weight * np.einsum("kp,pq,kq->k", rows, np.linalg.inv(information), rows)
        share = share * gain / (len(methods) - 1)  # gains average to this at every step
    share = np.where(share < LEAST_SHARE / len(pairs), 0, share)
    share /= share.sum()
    return {
        (methods[i], methods[j]): s for (i, j), s in zip(pairs, share.tolist(), strict=True) if s
    }
