"""Counts of wins and ties -> strengths by Bradley and Terry (1952), ties by Davidson (1970).

The three answers to a pair shown as (i, j) have the utilities: first i, second j + order, tie
half of both + tie. `order` is the advantage of being shown second, `tie` how readily raters say
"the same". Strengths are exp(theta) with geometric mean 1.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

MAX_STEPS = 200
TOLERANCE = 1e-12  # of a step's largest entry
SLACK = 1e-7  # of the linear program


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each pair, in each order, had each answer.

    Attributes:
        first: [M] index of the method shown first.
        second: [M] of the one shown second.
        wins: [M,3] first better, tie, second better; need not be whole numbers.
        methods: how many there are.
    """

    first: np.ndarray
    second: np.ndarray
    wins: np.ndarray
    methods: int


@dataclass(frozen=True, eq=False)
class Strengths:
    """A fit.

    Attributes:
        theta: [K] logarithms of the strengths, their sum 0.
        order: advantage of the second place, None where the data do not tell.
        tie: None where no pair was a tie, or ties are counted as half a win each.
        basis: [K,K-1], theta = basis @ parameters[:K-1].
        information: [P,P] Fisher information of the parameters.
        scores: [M,3,P] derivatives of an answer's log-likelihood, by pair and answer.
    """

    theta: np.ndarray
    order: float | None
    tie: float | None
    basis: np.ndarray
    information: np.ndarray
    scores: np.ndarray


def fit_strengths(counts: Counts, *, ties: str = "davidson") -> Strengths:
    """Maximise the likelihood by Newton's method.

    Args:
        counts: of a connected set of methods; see `is_bounded`.
        ties: davidson, or half: a tie is half a win for each.

    Raises:
        ValueError: there is no finite maximum.
    """
    design, wins, names = build_design(counts, ties)
    if not is_bounded(design, wins):
        raise ValueError("expected wins both ways between all methods, got none for some")
    parameters = np.zeros(design.shape[-1])
    for _ in range(MAX_STEPS):
        step = _newton_step(design, wins, parameters)
        value, scale = _log_likelihood(design, wins, parameters), 1.0
        while _log_likelihood(design, wins, parameters + scale * step) < value - 1e-9 * abs(value):
            scale /= 2
        parameters = parameters + scale * step
        if np.abs(scale * step).max() < TOLERANCE:
            break
    share = _shares(design, parameters)
    mean = np.einsum("mo,mop->mp", share, design)
    basis = sum_zero_basis(counts.methods)
    found = dict(zip(names, parameters[counts.methods - 1 :], strict=True))
    scores = design - mean[:, None]
    if ties == "half":
        scores = np.stack([scores[:, 0], scores.mean(1), scores[:, 1]], axis=1)
    return Strengths(
        theta=basis @ parameters[: counts.methods - 1],
        order=found.get("order"),
        tie=found.get("tie"),
        basis=basis,
        information=_information(design, wins, share),
        scores=scores,
    )


def build_design(counts: Counts, ties: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return utilities' derivatives [M,answers,P], counts [M,answers], and what follows theta.

    The order effect is left out where it cannot be told from the strengths, as when every pair
    was shown in one order; the tie where there is none.
    """
    if ties not in ("davidson", "half"):
        raise ValueError(f"expected ties to be davidson or half, got {ties!r}")
    wins = np.asarray(counts.wins, float)
    unit = np.eye(counts.methods)
    rows = len(counts.first)
    first = np.hstack([unit[counts.first], np.zeros((rows, 2))])
    second = np.hstack([unit[counts.second], np.ones((rows, 1)), np.zeros((rows, 1))])
    tie = (first + second) / 2
    tie[:, -1] = 1
    if ties == "half":
        wins = np.stack([wins[:, 0] + wins[:, 1] / 2, wins[:, 2] + wins[:, 1] / 2], axis=1)
        utilities = np.stack([first, second], axis=1)
    else:
        utilities = np.stack([first, tie, second], axis=1)
    seen = wins.sum(1) > 0
    difference = (second - first)[seen]
    has_order = _is_order_told(difference[:, :-2])
    has_tie = ties == "davidson" and wins[:, 1].sum() > 0
    if ties == "davidson" and not has_tie:
        utilities, wins = utilities[:, ::2], wins[:, ::2]
    kept = [name for name, there in (("order", has_order), ("tie", has_tie)) if there]
    others = utilities[..., [counts.methods + i for i, t in enumerate((has_order, has_tie)) if t]]
    theta = utilities[..., : counts.methods] @ sum_zero_basis(counts.methods)
    return np.concatenate([theta, others], axis=-1), wins, kept


def is_bounded(design: np.ndarray, wins: np.ndarray) -> bool:
    """Whether the likelihood has a finite maximum: no direction favours every answer given.

    A linear program looks for a direction along which no answer that was given loses against
    another that was possible, and at least one gains.
    """
    rows, answers = np.nonzero(wins > 0)
    gains = design[rows, answers][:, None] - design[rows]  # [given,answers,P]
    gains = np.unique(gains.reshape(-1, design.shape[-1]).round(9), axis=0)
    found = linprog(
        -gains.sum(0), A_ub=-gains, b_ub=np.zeros(len(gains)), bounds=(-1, 1), method="highs"
    )
    return -found.fun < SLACK


def sum_zero_basis(size: int) -> np.ndarray:
    """Return orthonormal columns [K,K-1] whose every combination sums to 0."""
    return np.linalg.svd(np.ones((1, size)))[2][1:].T


def _is_order_told(differences: np.ndarray) -> bool:
    """Whether a constant is no combination of the methods' columns."""
    constant = np.ones((len(differences), 1))
    both = np.hstack([differences, constant])
    return np.linalg.matrix_rank(both) > np.linalg.matrix_rank(differences)


def _shares(design: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    utility = design @ parameters
    share = np.exp(utility - utility.max(1, keepdims=True))
    return share / share.sum(1, keepdims=True)


def _log_likelihood(design: np.ndarray, wins: np.ndarray, parameters: np.ndarray) -> float:
    utility = design @ parameters
    top = utility.max(1, keepdims=True)
    log_sum = top + np.log(np.exp(utility - top).sum(1, keepdims=True))
    return float((wins * (utility - log_sum)).sum())


def _information(design: np.ndarray, wins: np.ndarray, share: np.ndarray) -> np.ndarray:
    total = wins.sum(1)
    mean = np.einsum("mo,mop->mp", share, design)
    square = np.einsum("m,mo,mop,moq->pq", total, share, design, design)
    return square - np.einsum("m,mp,mq->pq", total, mean, mean)


def _newton_step(design: np.ndarray, wins: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    share = _shares(design, parameters)
    rest = wins - wins.sum(1, keepdims=True) * share
    gradient = np.einsum("mo,mop->p", rest, design)
    return np.linalg.solve(_information(design, wins, share), gradient)
