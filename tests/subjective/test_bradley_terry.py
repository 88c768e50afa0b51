"""Strengths against statsmodels, and answers where no number would mean anything."""

import numpy as np
import pytest
import statsmodels.api as sm

from vqe.subjective.bradley_terry import Counts, fit_strengths
from vqe.subjective.strength import rank_counts

NAMES = ["a", "b", "c", "d"]
PUBLISHED = {  # of the challenge's final: strengths with geometric mean 1
    "SUmmer": 3.73,
    "DEepview": 2.39,
    "BAseline": 1.11,
    "MAqic": 0.81,
    "LUt": 0.70,
    "WIzard": 0.43,
    "INputs": 0.41,
}


def draw_counts(methods, *, ties, seed=0, both_orders=True):
    random = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(methods) for j in range(methods) if i != j]
    pairs = pairs if both_orders else [(i, j) for i, j in pairs if i < j]
    wins = random.integers(3, 60, (len(pairs), 3)).astype(float)
    wins[:, 1] *= ties
    first, second = np.array(pairs).T
    return Counts(first, second, wins, methods)


def test_without_ties_it_is_statsmodels_logistic_regression():
    counts = draw_counts(5, ties=0)
    rows = len(counts.first)
    design = np.zeros((rows, 5))
    design[np.arange(rows), counts.second] += 1
    design[np.arange(rows), counts.first] -= 1
    design = np.hstack([design[:, 1:], np.ones((rows, 1))])  # the first strength is 0
    model = sm.GLM(counts.wins[:, [2, 0]], design, family=sm.families.Binomial())
    expected = model.fit(tol=1e-14)
    fit = fit_strengths(counts)
    theta = np.array([0, *expected.params[:-1]])
    assert fit.theta == pytest.approx(theta - theta.mean(), abs=1e-6)
    assert fit.order == pytest.approx(expected.params[-1], abs=1e-6)
    assert fit.tie is None
    covariance = np.linalg.inv(fit.information)
    difference = np.append(fit.basis[1] - fit.basis[0], 0)
    assert difference @ covariance @ difference == pytest.approx(expected.cov_params()[0, 0])


def test_with_ties_it_is_statsmodels_log_linear_model():
    """Davidson's model is a Poisson regression with a constant for each pair as it was shown."""
    counts = draw_counts(4, ties=1)
    rows = len(counts.first)
    constant, theta, other = np.eye(rows), np.eye(4), np.zeros((3, rows, 2))
    other[2, :, 0], other[1, :, 0], other[1, :, 1] = 1, 0.5, 1
    utility = [theta[counts.first], (theta[counts.first] + theta[counts.second]) / 2]
    utility.append(theta[counts.second])
    design = np.vstack(
        [np.hstack([constant, u[:, 1:], o]) for u, o in zip(utility, other, strict=True)]
    )
    model = sm.GLM(counts.wins.T.ravel(), design, family=sm.families.Poisson())
    expected = model.fit(tol=1e-14).params[rows:]
    fit = fit_strengths(counts)
    theta = np.array([0, *expected[:3]])
    assert fit.theta == pytest.approx(theta - theta.mean(), abs=1e-6)
    assert [fit.order, fit.tie] == pytest.approx(expected[3:], abs=1e-6)


def test_half_ties_are_weighted_logistic_regression():
    counts = draw_counts(4, ties=1)
    half = counts.wins[:, [0, 2]] + counts.wins[:, [1]] / 2
    without = Counts(counts.first, counts.second, np.insert(half, 1, 0, axis=1), 4)
    assert fit_strengths(counts, ties="half").theta == pytest.approx(fit_strengths(without).theta)


def test_turning_every_pair_turns_the_order_effect_alone():
    counts = draw_counts(5, ties=1)
    turned = Counts(counts.second, counts.first, counts.wins[:, ::-1], 5)
    fit, other = fit_strengths(counts), fit_strengths(turned)
    assert other.theta == pytest.approx(fit.theta, abs=1e-9)
    assert other.order == pytest.approx(-fit.order, abs=1e-9)
    assert other.tie == pytest.approx(fit.tie, abs=1e-9)


def test_pairs_in_one_order_tell_no_order_effect():
    against = Counts(np.zeros(3, int), np.arange(1, 4), np.full((3, 3), 5.0), 4)
    assert fit_strengths(against).order is None
    assert fit_strengths(draw_counts(4, ties=1, both_orders=False)).order is not None


def test_geometric_mean_is_1():
    table = rank_counts(draw_counts(5, ties=1), list("abcde")).table
    assert np.prod(table["strength"]) == pytest.approx(1)
    assert (table["low"] < table["strength"]).all()
    assert (table["strength"] < table["high"]).all()


def test_published_strengths_are_found_again_from_their_shares():
    names = list(PUBLISHED)
    strength = np.array(list(PUBLISHED.values()))
    pairs = np.array([(i, j) for i in range(7) for j in range(i)])
    share = strength[pairs[:, 1]] / strength[pairs].sum(1)
    wins = np.stack([1 - share, np.zeros(21), share], axis=1) * 6000
    table = rank_counts(Counts(*pairs.T, wins, 7), names).table
    assert list(table["method"]) == names
    assert table["strength"].to_numpy() == pytest.approx(strength / strength.prod() ** (1 / 7))


def test_methods_never_compared_get_no_strength_and_the_missing_pair_is_named():
    counts = Counts(np.array([0, 2]), np.array([1, 3]), np.full((2, 3), 9.0), 4)
    found = rank_counts(counts, NAMES)
    assert found.table["strength"].isna().all()
    assert "a, b; c, d" in found.problem
    assert "votes on a pair such as a and c" in found.problem


def test_a_method_that_always_wins_gets_a_rank_and_no_strength():
    first, second = np.array([0, 0, 1]), np.array([1, 2, 2])
    wins = np.array([[0.0, 0, 30], [4, 0, 5], [20, 0, 0]])
    found = rank_counts(Counts(first, second, wins, 3), NAMES[:3])
    assert found.table["strength"].isna().all()
    assert found.table.iloc[0]["method"] == "b"
    assert "(b) > (a, c)" in found.problem


def test_ties_alone_do_not_bound_a_method_that_never_loses():
    wins = np.array([[0.0, 10, 30], [10, 10, 10]])
    counts = Counts(np.array([0, 0]), np.array([1, 2]), wins, 3)
    found = rank_counts(counts, NAMES[:3])
    fit = fit_strengths(counts, ties="half")  # half a win bounds it
    assert np.isfinite(fit.theta).all()
    strengths = found.table["strength"]
    assert strengths.isna().all() == bool(found.problem)


def test_only_ties_have_no_finite_tie_parameter():
    counts = Counts(np.array([0]), np.array([1]), np.array([[0.0, 10, 0]]), 2)
    assert "no finite strengths" in rank_counts(counts, NAMES[:2]).problem


def test_an_unknown_way_with_ties_is_named():
    with pytest.raises(ValueError, match="davidson or half, got 'none'"):
        fit_strengths(draw_counts(3, ties=1), ties="none")
