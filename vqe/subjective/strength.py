"""Votes on pairs -> the methods' strengths with intervals, or what is missing to have any."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vqe.subjective.bradley_terry import Counts, Strengths, fit_strengths
from vqe.subjective.connectedness import check_connectedness
from vqe.subjective.uncertainty import Spread, combine, sum_clusters
from vqe.subjective.votes import Codes

ANSWERS = 3  # first better, tie, second better


@dataclass(frozen=True, eq=False)
class Ranking:
    """What Bradley-Terry says.

    Attributes:
        table: a row a method, best first: method, rank, strength, low, high; the strengths are
            blank where there are none.
        wins: [K,K] table, wins of the row's method over the column's, ties as half.
        order: advantage of the second place in logits and its interval; None where unknown.
        problem: why there are no strengths, else empty.
    """

    table: pd.DataFrame
    wins: pd.DataFrame
    order: tuple[float, float, float] | None
    problem: str


def rank_votes(codes: Codes, *, ties: str = "davidson") -> Ranking:
    """Fit the strengths; intervals know that votes of a rater or on a content resemble."""
    size = len(codes.methods)
    cell = (codes.first * size + codes.second) * ANSWERS + np.sign(codes.shown).astype(int) + 1
    wins = np.bincount(cell, minlength=size * size * ANSWERS).reshape(-1, ANSWERS)
    rows = np.flatnonzero(wins.sum(1))
    counts = Counts(rows // size, rows % size, wins[rows], size)
    place = np.full(size * size, -1)
    place[rows] = np.arange(len(rows))
    answer = place[cell // ANSWERS] * ANSWERS + cell % ANSWERS

    def spread(fit: Strengths) -> Spread:
        scores = fit.scores.reshape(-1, fit.scores.shape[-1])
        return _spread(fit, scores, answer, [codes.rater, codes.content])

    return rank_counts(counts, codes.methods, ties=ties, spread=spread)


def rank_counts(
    counts: Counts, methods: list[str], *, ties: str = "davidson", spread=None
) -> Ranking:
    """Fit the strengths to counts.

    Args:
        counts: of the methods.
        methods: their names.
        ties: davidson or half.
        spread: of a fit's theta and order effect; None takes votes for independent.
    """
    size = len(methods)
    wins = np.zeros((size, size))
    np.add.at(wins, (counts.first, counts.second), counts.wins[:, 0] + counts.wins[:, 1] / 2)
    np.add.at(wins, (counts.second, counts.first), counts.wins[:, 2] + counts.wins[:, 1] / 2)
    found = check_connectedness(wins, wins + wins.T > 0)
    matrix = pd.DataFrame(wins, index=methods, columns=methods)
    if not found.is_whole:
        return Ranking(_without_strengths(methods, found), matrix, None, found.explain(methods))
    try:
        fit = fit_strengths(counts, ties=ties)
    except ValueError:
        problem = "no finite strengths: the answers are one-sided. More votes are missing"
        return Ranking(_without_strengths(methods, found), matrix, None, problem)
    spread = _independent(fit, counts) if spread is None else spread(fit)
    half = spread.half_width
    table = pd.DataFrame({"method": methods, "theta": fit.theta})
    table["strength"] = np.exp(fit.theta)
    table["low"] = np.exp(fit.theta - half[:size])
    table["high"] = np.exp(fit.theta + half[:size])
    table = table.sort_values("theta", ascending=False, kind="stable", ignore_index=True)
    table.insert(1, "rank", np.arange(size) + 1)
    order = (
        None if fit.order is None else (fit.order, *(fit.order + half[size] * np.array([-1, 1])))
    )
    return Ranking(table.drop(columns="theta"), matrix, order, "")


def _without_strengths(methods: list[str], found) -> pd.DataFrame:
    """List the methods, ranked by tiers where the tiers have an order."""
    table = pd.DataFrame({"method": methods})
    ranked = len(found.groups) == 1 and len(found.tiers) > 1
    place = {m: i + 1 for i, tier in enumerate(found.tiers) for m in tier}
    table["rank"] = [place[i] if ranked else np.nan for i in range(len(methods))]
    table[["strength", "low", "high"]] = np.nan
    return table.sort_values("rank", kind="stable", ignore_index=True)


def _project(fit: Strengths) -> np.ndarray:
    """Return what turns parameters into theta and, where there is one, the order effect."""
    rows = np.zeros((len(fit.theta) + (fit.order is not None), len(fit.information)))
    rows[: len(fit.theta), : fit.basis.shape[1]] = fit.basis
    if fit.order is not None:
        rows[-1, fit.basis.shape[1]] = 1
    return rows


def _independent(fit: Strengths, counts: Counts) -> Spread:
    project = _project(fit)
    covariance = project @ np.linalg.inv(fit.information) @ project.T
    total = np.full(len(project), max(float(counts.wins.sum()) - 1, 1))
    return Spread(np.sqrt(np.diag(covariance)), total)


def _spread(
    fit: Strengths, scores: np.ndarray, answer: np.ndarray, clusters: list[np.ndarray]
) -> Spread:
    """Return the sandwich estimate over raters and contents.

    Args:
        fit: the strengths.
        scores: [answers,P], derivatives of each answer's log-likelihood.
        answer: [N], which answer a vote is.
        clusters: [N] each, the votes' raters and contents.
    """
    influence = scores @ (np.linalg.inv(fit.information) @ _project(fit).T)  # [answers,K(+1)]
    parts = []
    for keys in clusters:
        sums = sum_clusters(keys, answer, np.ones(len(answer)))
        sums = sums @ influence[: sums.shape[1]]
        size = len(sums)
        parts.append(((sums**2).sum(0) * size / max(size - 1, 1), size))
    single = (np.bincount(answer, minlength=len(influence))[:, None] * influence**2).sum(0)
    return combine(parts, (single, len(answer)))
