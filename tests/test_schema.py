import pytest

from vqe import schema


def test_the_inverted_score_is_in_column_m_5():
    inverted = [c for c, s in schema.SCORE_OF_COLUMN.items() if s in schema.INVERTED_SCORES]
    assert inverted == ["m_5"]
    assert schema.SCORE_OF_COLUMN["m_1"] == "p"
    assert schema.SCORE_OF_COLUMN["m_12"] == "a11"


def test_leaderboard_score_by_hand():
    means = dict.fromkeys(schema.SCORES, 0.5) | {"p": 0.75, "a4": 0.25}
    # p 0.75, ten scores of 0.5, and 1 - 0.25
    assert schema.leaderboard_score(means, 0.05) == pytest.approx((0.75 + 5 + 0.75) / 12 / 0.05)


@pytest.mark.parametrize("rmse", [0.0, -1.0, float("nan"), float("inf")])
def test_leaderboard_score_refuses_an_impossible_rmse(rmse):
    with pytest.raises(ValueError, match="RMSE above 0"):
        schema.leaderboard_score(dict.fromkeys(schema.SCORES, 0.5), rmse)


def test_leaderboard_score_names_what_is_missing():
    means = dict.fromkeys(schema.SCORES, 0.5)
    del means["a7"]
    with pytest.raises(ValueError, match="a7"):
        schema.leaderboard_score(means, 0.05)
