"""Means, intervals, flicker and comparisons against other sources of the same."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tested_runs import write_large_run

from vqe.reporting.charts import find_ticks
from vqe.reporting.choice import choose_frames, merge, rank_videos
from vqe.reporting.comparison import compare_videos, share_videos
from vqe.reporting.estimates import Estimates
from vqe.reporting.intervals import VideoDraws, find_frame_interval, find_interval
from vqe.reporting.run import name_runs, read_run
from vqe.reporting.series import thin
from vqe.reporting.videos import build_videos, measure_flicker
from vqe.schema import SCORES, leaderboard_score


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("numbers")
    return [read_run(write_large_run(root / n, 40, 30, seed), n) for seed, n in enumerate("AB")]


@pytest.fixture(scope="module")
def tables(runs):
    return [build_videos(run, None) for run in runs]


def test_the_bootstrap_is_scipy_s():
    values = np.random.default_rng(0).gamma(2, size=60)
    draws = VideoDraws(60, replicates=4000, seed=1).means(values)
    found = find_interval(draws, 60)
    other = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=4000,
        method="percentile",
        random_state=np.random.default_rng(2),
    ).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert [found.low, found.high] == pytest.approx([other.low, other.high], abs=0.03)


def test_frames_that_resemble_their_neighbours_tell_less():
    random = np.random.default_rng(3)
    noise = random.normal(size=900)
    walk = np.zeros(900)
    for i in range(1, 900):
        walk[i] = 0.9 * walk[i - 1] + noise[i]
    alone, alike = (find_frame_interval(v, replicates=2000, seed=0) for v in (noise, walk))
    assert alone.high - alone.low == pytest.approx(2 * 1.96 / 30, rel=0.25)
    # the mean of an AR(1) of 0.9 varies as if it were of 900 (1 - 0.9) / (1 + 0.9) frames
    expected = 2 * 1.96 * walk.std() / np.sqrt(900 * 0.1 / 1.9)
    assert alike.high - alike.low == pytest.approx(expected, rel=0.35)
    assert np.isnan(find_frame_interval(np.ones(1), replicates=10, seed=0).low)


def test_tiles_are_the_leaderboard_s_numbers(runs, tables):
    found = {e.number.name: e for e in Estimates(tables[:1], replicates=200, seed=0).estimate_all()}
    means = runs[0].videos.mean()
    assert found["score"].after[0].value == pytest.approx(leaderboard_score(means, means["rmse"]))
    before = runs[0].frames.groupby(["kind", "video_id"]).mean(numeric_only=True).mean()
    scores = {name: before[f"input_{name}"] for name in SCORES}
    expected = leaderboard_score(scores, before["rmse_input"])
    assert found["score"].before.value == pytest.approx(expected)
    for e in found.values():
        assert e.change.value == pytest.approx(e.after[0].value - e.before.value)
        assert e.change.low <= e.change.value <= e.change.high
    assert found["rmse"].verdict == "better"  # 0.2 on average, after 0.45: less is better


def test_a_run_against_itself_changes_nothing(runs, tables):
    for e in Estimates([tables[0], tables[0]], replicates=50, seed=0).estimate_all():
        assert (e.change.value, e.change.low, e.change.high) == (0, 0, 0)
        assert e.verdict == ""
    pair = [runs[0], runs[0]]
    compared = compare_videos([tables[0], tables[0]], pair, replicates=50, seed=0)
    assert not compared["changed"].any()
    assert (compared["better"] == "").all()


def test_changed_sides_are_those_on_either_side_of_the_input(runs, tables):
    compared = compare_videos(tables, runs, replicates=50, seed=0)
    a, b = tables
    expected = (a["rmse"] < a["rmse_input"]) != (b["rmse"] < a["rmse_input"])
    expected |= (a["p"] > 0.5) != (b["p"] > 0.5)
    assert compared["changed"].tolist() == expected.tolist()
    assert 0 < expected.sum() < len(expected)


def test_other_counts_of_frames_are_not_compared(runs, tables):
    short = read_run(runs[1].folder, "short")
    short.frames = short.frames.drop(index=0)
    with pytest.raises(ValueError, match="expected as many frames of video_0000 in both runs"):
        compare_videos(tables, [runs[0], short], replicates=5, seed=0)
    with pytest.raises(ValueError, match="none in common"):
        share_videos(tables[0].iloc[:3], tables[1].iloc[3:])


def test_flicker_is_what_the_docs_say():
    luma = pd.Series([100.0, 104, 100, 104] * 15)
    target = pd.Series(np.linspace(90, 120, 60))
    assert measure_flicker(luma, target, 30) == pytest.approx(np.std(luma - target))
    assert measure_flicker(target + 7, target, 30) == pytest.approx(0, abs=1e-9)
    steady = pd.Series([100.0, 104] * 600)
    assert measure_flicker(steady, None, 30) == pytest.approx(2, abs=0.05)
    ramp = pd.Series(np.linspace(50, 150, 300))  # light that changes slowly is no flicker
    assert measure_flicker(ramp, None, 30) < 0.1 * ramp.std()


def test_lists_begin_with_the_extremes(tables):
    table = tables[0]
    lists = {ranked.name: ranked.keys for ranked in rank_videos(table, None, count=6)}
    assert ("supervised", table["rmse"].xs("supervised").idxmax()) in lists["worst"][:2]
    assert ("unsupervised", table["quality"].xs("unsupervised").idxmax()) in lists["best"][:2]
    assert table["flicker"].idxmax() in lists["flicker"][:2]
    assert not set(lists["worst"]) & set(lists["best"])
    assert len(merge(rank_videos(table, None, count=6))) <= 24


def test_frames_are_spread_and_show_the_largest_step():
    luma = np.array([5.0] * 6 + [50.0] * 6)
    assert choose_frames(luma, 12, 3) == [6, 5]
    assert choose_frames(luma, 12, 4) == [7, 4, 5, 6]
    assert choose_frames(None, 9, 1) == [4]
    assert choose_frames(None, 0, 3) == []


def test_thinning_keeps_ends_and_extremes():
    values = np.random.default_rng(0).normal(size=5000)
    kept = thin(values, 100)
    assert len(kept) <= 102
    assert {0, 4999, values.argmin(), values.argmax()} <= set(kept.tolist())


@pytest.mark.parametrize("low, high", [(0, 1), (-3.2, 7), (0.00012, 0.00019), (99, 100000)])
def test_ticks_are_round_and_inside(low, high):
    ticks = find_ticks(low, high, 5)
    assert 2 <= len(ticks) <= 6
    assert all(low <= value <= high for value, _ in ticks)


def test_runs_of_one_name_are_told_apart(tmp_path):
    assert name_runs([tmp_path / "a/run", tmp_path / "b/run"]) == ["a/run", "b/run"]
    assert len(set(name_runs([tmp_path, tmp_path]))) == 2
