"""Agreement against the published example, reliability against numpy."""

import numpy as np
import pytest
from rating_simulation import World, simulate

from vqe.subjective.agreement import describe_raters, krippendorff_alpha
from vqe.subjective.screening import estimate_bias
from vqe.subjective.votes import check_votes, encode


def test_alpha_is_the_published_one():
    """Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, example C; 0: no answer."""
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
    counts = np.array(
        [[(np.array(unit) == g).sum() for g in range(1, 6)] for unit in zip(*table, strict=True)]
    )
    assert krippendorff_alpha(counts) == pytest.approx(0.815, abs=5e-4)


def test_alpha_without_anything_to_compare_is_no_number():
    assert np.isnan(krippendorff_alpha(np.eye(3)))
    assert np.isnan(krippendorff_alpha(np.array([[3, 0], [2, 0]])))


def test_reliability_is_the_correlation_with_the_others_means():
    votes = check_votes(simulate(World(), raters=12, contents=10, seed=2), "test")
    codes = encode(votes)
    table = describe_raters(codes, estimate_bias(codes))
    score = codes.shown * codes.turned
    for rater in range(3):
        own = np.flatnonzero(codes.rater == rater)
        others = []
        for i in own:
            same = (codes.pair == codes.pair[i]) & (codes.rater != rater)
            exact = same & (codes.content == codes.content[i])
            others.append(score[exact if exact.sum() >= 3 else same].mean() * codes.turned[i])
        expected = np.corrcoef(codes.shown[own], others)[0, 1]
        assert table["reliability"][rater] == pytest.approx(expected)


def test_consistency_is_over_pairs_seen_again():
    votes = simulate(
        World(noise=0.01, by_rater=0, lean=0, order=0),
        raters=5,
        contents=2,
        pairs=2,
        sessions=20,
        seed=0,
    )
    table = describe_raters(encode(check_votes(votes, "test")), np.zeros(5))
    assert (table["repeats"] > 0).all()
    assert table["consistency"].tolist() == [1] * 5
