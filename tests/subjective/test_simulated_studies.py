"""Simulated raters: the order is found again, intervals cover, spammers go, honest raters stay."""

import numpy as np
import pandas as pd
import pytest
from conftest import compose_config
from hydra.utils import instantiate
from rating_simulation import SPAMMERS, World, simulate
from ratings import measure_cleaning, measure_coverage

from vqe.subjective.analyse import analyse_votes
from vqe.subjective.cleaning import REMOVED
from vqe.subjective.votes import check_votes

OPTIONS = {"ties": "davidson", "remove_bias": True, "seed": 1, "precision": 0.1}


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    config = compose_config(tmp_path_factory.mktemp("run"), name="ratings_analyse")
    return instantiate(config.cleaning, _convert_="all")


def analyse(votes, rules, **changed):
    return analyse_votes(
        check_votes(votes, "test"), rules, **OPTIONS | {"replicates": 200} | changed
    )


@pytest.mark.slow
def test_intervals_cover_the_truth_in_200_studies():
    found = measure_coverage(studies=200)
    assert 0.93 <= found["coverage_cmos"] <= 0.97
    assert 0.93 <= found["coverage_strength"] <= 0.97
    assert 0.93 <= found["coverage_video"] <= 0.97
    assert found["order_found"] >= 0.97


@pytest.mark.slow
def test_spammers_go_and_honest_raters_stay(rules):
    found = measure_cleaning(rules, studies=40)
    assert found["spammers_out"] >= 0.95
    assert min(found[f"{kind}_out"] for kind in SPAMMERS) >= 0.9
    assert found["honest_kept"] >= 0.97


def test_order_is_found_among_spammers(rules):
    votes = simulate(World(), raters=60, contents=20, seed=3, spammers=dict.fromkeys(SPAMMERS, 3))
    results = analyse(votes, rules)
    assert list(results.methods["method"]) == ["c", "b", "a", "input"]
    assert results.facts["votes"] == 75 * 20
    assert len(results.votes) == len(votes)  # none is deleted
    by_rule = results.rules.set_index("rule")["votes"]
    assert by_rule.sum() == results.facts["votes"]
    assert by_rule["used"] == results.facts["votes_used"]


def test_turning_the_order_of_every_pair_changes_nothing(rules):
    votes = simulate(World(), raters=40, contents=15, seed=5, spammers=dict.fromkeys(SPAMMERS, 2))
    turned = votes.rename(columns={"first": "second", "second": "first"})
    turned[["vote", "expected"]] *= -1
    results, other = analyse(votes, rules), analyse(turned, rules)
    for name in ("methods", "pairs", "videos", "wins", "rules"):
        pd.testing.assert_frame_equal(getattr(results, name), getattr(other, name), atol=1e-9)
    assert (results.votes[REMOVED] == other.votes[REMOVED]).all()
    facts, turned_facts = results.facts, other.facts
    order, turned_order = facts.pop("order_effect"), turned_facts.pop("order_effect")
    assert turned_facts == pytest.approx(facts)
    assert turned_order == pytest.approx([-order[0], -order[2], -order[1]])
    assert order[0] > 0


def test_more_votes_are_needed_for_less(rules):
    votes = simulate(World(), raters=40, contents=20, seed=1)
    coarse, fine = (analyse(votes, rules, precision=h).pairs for h in (0.5, 0.05))
    assert (fine["votes_needed"] > coarse["votes_needed"]).all()
    half = (fine["high"] - fine["low"]) / 2
    expected = np.ceil(fine["votes"] * (half / 0.05) ** 2 - fine["votes"])
    assert fine["votes_needed"].tolist() == pytest.approx(expected.tolist())


def test_one_rater_and_one_vote_get_no_interval(rules):
    one = pd.DataFrame([{"content": "v", "first": "input", "second": "a", "vote": 2, "rater": "r"}])
    results = analyse(one, rules)
    assert results.pairs["cmos"].tolist() == [2.0]
    assert results.pairs[["low", "high", "t_low"]].isna().all(axis=None)
    assert "no finite strengths" in results.facts["problem"]


def test_no_vote_left_says_which_rules_removed_them(rules):
    votes = simulate(World(), raters=0, contents=10, seed=0, spammers={"straight": 3})
    with pytest.raises(ValueError, match="expected votes that are used, got none; removed were: "):
        analyse(votes, rules)
