"""Each cleaning rule on votes made to break it, and its count."""

import numpy as np
import pandas as pd
import pytest

from vqe.subjective.cleaning import (
    REMOVED,
    Gold,
    OneSided,
    PlayTime,
    SessionVariance,
    StraightLine,
    Trap,
    clean,
    count_removed,
)
from vqe.subjective.screening import Agreement, Kurtosis, estimate_bias
from vqe.subjective.votes import check_votes, encode


def make_votes(answers, *, rater="r", session=None, kind="pair", expected=np.nan, played=10.0):
    size = len(answers)
    return pd.DataFrame(
        {
            "rater": rater,
            "session": session or f"{rater}-1",
            "kind": kind,
            "content": [f"v{i}" for i in range(size)],
            "first": ["input" if i % 2 else "a" for i in range(size)],
            "second": ["a" if i % 2 else "input" for i in range(size)],
            "expected": expected,
            "vote": answers,
            "played": played,
            "length": 10.0,
        }
    )


def apply(rule, *parts):
    votes = check_votes(pd.concat(parts, ignore_index=True), "test")
    cleaned = clean(votes, {"rule": rule})
    return cleaned, sorted(set(cleaned.loc[cleaned[REMOVED] == "rule", "session"]))


def test_a_wrong_trap_removes_the_session_and_most_wrong_the_rater():
    good = make_votes([1, -2, 2])
    parts = [
        good.assign(session=name, rater=rater)
        for rater, name in [("x", "x1"), ("x", "x2"), ("x", "x3"), ("y", "y1"), ("y", "y2")]
    ]
    wrong = [
        make_votes([2], rater=r, session=s, kind="trap", expected=3)
        for r, s in (("x", "x1"), ("y", "y1"))
    ]
    right = make_votes([3], rater="x", session="x2", kind="trap", expected=3)
    assert apply(Trap(), *parts, *wrong, right)[1] == ["x1", "y1", "y2"]


def test_gold_may_be_off_by_the_tolerance():
    def gold(answer, rater):
        return make_votes([answer], rater=rater, session=rater, kind="gold", expected=-3)

    parts = [make_votes([1, 0], rater=r, session=r) for r in "xyz"]
    assert apply(Gold(), *parts, gold(-3, "x"), gold(-2, "y"), gold(-1, "z"))[1] == ["z"]


def test_play_time_removes_the_vote_and_sessions_full_of_them():
    fast = make_votes([1] * 4, rater="x", played=[5.0, 10, 11, 10])
    slow = make_votes([1] * 4, rater="y", played=[12.0, 12, 10, 10])
    unknown = make_votes([1] * 2, rater="z", played=np.nan)
    cleaned, _ = apply(PlayTime(), fast, slow, unknown)
    assert (cleaned[REMOVED] == "rule").tolist() == [True] + [False] * 3 + [True] * 4 + [False] * 2


def test_one_answer_to_nearly_all_is_a_straight_line_unless_gold_was_seen():
    line = make_votes([0] * 9 + [1], rater="x")
    seeing = pd.concat(
        [
            make_votes([0] * 8 + [1], rater="y"),
            make_votes([3], rater="y", kind="gold", expected=3),
        ]
    )
    assert apply(StraightLine(), line, seeing)[1] == ["x-1"]
    assert apply(SessionVariance(), line, seeing)[1] == ["x-1"]
    assert apply(SessionVariance(), make_votes([0, 0, 1]))[1] == []  # too few to tell


@pytest.mark.parametrize("sign", [-1, 1])
def test_always_one_side(sign):
    random = np.random.default_rng(0)
    spam = make_votes(sign * random.integers(1, 4, 20), rater="x")
    honest = make_votes(np.where(np.arange(20) % 2, 2, -2), rater="y")
    assert apply(OneSided(), spam, honest)[1] == ["x-1"]


def make_crowd(raters, contents, noise, seed):
    random = np.random.default_rng(seed)
    truth = np.linspace(-2, 2, contents)
    answers = truth + random.normal(0, noise, (raters, contents))
    sign = np.where(np.arange(contents) % 2, 1, -1)
    votes = np.clip(np.round(answers), -3, 3) * sign
    return [make_votes(v, rater=f"r{i:02d}") for i, v in enumerate(votes)]


def test_agreement_removes_who_answers_at_random():
    spam = make_votes(np.random.default_rng(1).integers(-3, 4, 40), rater="x")
    assert apply(Agreement(), *make_crowd(25, 40, 0.8, 0), spam)[1] == ["x-1"]
    assert apply(Agreement(), make_votes([1] * 30))[1] == []  # nobody to agree with


def test_kurtosis_is_bt500_s_screening():
    """Against a plain, slow reading of BT.500 with its own threshold."""
    random = np.random.default_rng(4)
    spam = make_votes(random.choice([-3, 3], 60), rater="x")
    votes = check_votes(pd.concat([*make_crowd(20, 60, 0.7, 2), spam], ignore_index=True), "test")
    table = votes.assign(vote=votes["vote"] * np.where(votes["first"] == "a", -1, 1))
    wide = table.pivot(index="rater", columns="content", values="vote")
    rejected = []
    for rater, row in wide.iterrows():
        p = q = 0
        for content in wide:
            x = wide[content].to_numpy()
            second = ((x - x.mean()) ** 2).mean()
            kurtosis = ((x - x.mean()) ** 4).mean() / second**2
            limit = (2 if 2 <= kurtosis <= 4 else 20**0.5) * x.std(ddof=1)
            p += row[content] >= x.mean() + limit
            q += row[content] <= x.mean() - limit
        if (p + q) / len(row) > 0.05 and abs(p - q) / (p + q) < 0.3:
            rejected.append(rater)
    found = Kurtosis(significance=1).find(votes)
    assert sorted(votes.loc[found, "rater"].unique()) == rejected
    assert "x" in rejected
    assert sorted(votes.loc[Kurtosis().find(votes), "rater"].unique()) == ["x"]


def test_bias_is_what_a_rater_adds_to_every_vote():
    parts = [
        make_votes([v - 1 for v in (1, 0, 1, 0)], rater="x"),
        make_votes([1, 0, 1, 0], rater="y"),
    ]
    codes = encode(check_votes(pd.concat(parts, ignore_index=True), "test"))
    bias = estimate_bias(codes)
    assert bias[0] - bias[1] == pytest.approx(-1)


def test_rules_work_in_turn_and_training_is_never_used():
    votes = check_votes(
        pd.concat(
            [
                make_votes([1] * 10, rater="x", played=1.0),
                make_votes([1, -1], rater="y"),
                make_votes([2], rater="y", kind="training"),
            ],
            ignore_index=True,
        ),
        "test",
    )
    rules = {"play_time": PlayTime(), "straight_line": StraightLine(), "trap": None}
    counts = count_removed(clean(votes, rules), rules).set_index("rule")["votes"].to_dict()
    assert counts == {"play_time": 10, "straight_line": 0, "trap": "off", "used": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vote": 4}, "expected votes of -3 to 3, got .* in row 2"),
        ({"vote": "good"}, "expected votes of -3 to 3"),
        ({"kind": "spam"}, "expected kinds of pair, trap, gold, training"),
        ({"second": "a"}, "two different methods"),
    ],
)
def test_a_wrong_row_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        check_votes(make_votes([1]).astype(object).assign(**change), "votes.csv")
