"""Votes in every form -> the same table; results written and read again."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import compose_config
from rating_simulation import World, simulate
from study_data import make_study

from vqe.subjective.analyse import analyse
from vqe.subjective.correlation import correlate_scores, read_scores
from vqe.subjective.reading import read_votes
from vqe.subjective.toolkit import PATTERN, write_toolkit
from vqe.subjective.votes import COLUMNS, check_votes

TEXT = """[each hiit has 30 votes] [read] got 2/2 = 100% hiits

--------- per-experiment stats ---------
BA_WI       : nos=4000, DMOS=2.50, median=2.0, ci_95%=±0.03, p(colors)=0.17
IN_BA       : nos=5000, DMOS=3.60, median=4.0, ci_95%=±0.03, p(colors)=0.16
IN_WI       : nos=4500, DMOS=2.90, median=2.0, ci_95%=±0.04, p(colors)=0.16

--------- per-method bradley terry scores ---------
BAseline        : vote=1.12, color=1.14
WIzard          : vote=0.43, color=0.35
INputs          : vote=0.42, color=0.60
"""


@pytest.fixture
def config(tmp_path):
    def make(*overrides):
        small = ("options.replicates=50",)
        return compose_config(tmp_path / "run", *small, *overrides, name="ratings_analyse")

    return make


@pytest.fixture(scope="module")
def votes():
    return simulate(World(), raters=30, contents=12, seed=4)


def test_votes_of_ours_are_analysed_into_all_tables(votes, config, tmp_path):
    votes.to_csv(tmp_path / "votes.csv", index=False)
    results = analyse(config(f"votes='{tmp_path}/votes.csv'", f"output='{tmp_path}/out'"))
    written = {path.name for path in (tmp_path / "out").iterdir()}
    tables = {"methods", "pairs", "videos", "raters", "cleaning", "votes", "wins"}
    assert written == {f"{t}.csv" for t in tables} | {"results.json", "ratings.html", "p910"}
    told = json.loads((tmp_path / "out/results.json").read_text())
    assert [m["method"] for m in told["methods"]] == list(results.methods["method"])
    assert told["methods"][-1]["cmos"] is None  # the input against itself
    again = pd.read_csv(tmp_path / "out/votes.csv")
    assert set(COLUMNS) <= set(again)
    assert len(again) == len(votes)
    assert again["removed_by"].fillna("").tolist() == results.votes["removed_by"].tolist()


def test_the_toolkit_s_tables_make_the_round_trip(votes, tmp_path):
    used = check_votes(votes[votes["kind"] == "pair"], "test")
    write_toolkit(used, tmp_path)
    against = used[(used["first"] == "input") | (used["second"] == "input")]
    score = against["vote"] * np.where(against["second"] == "input", -1, 1)
    method = against["first"].where(against["second"] == "input", against["second"])
    expected = score.groupby([method, against["content"]]).agg(["sum", "size"])
    for name in ("votes_per_worker.csv", "votes_per_clip.csv"):
        found = read_votes(tmp_path / name, PATTERN)
        assert (found["first"] == "input").all()
        again = found.groupby(["second", "content"])["vote"].agg(["sum", "size"])
        assert again.to_numpy().tolist() == expected.to_numpy().tolist()
    clips = pd.read_csv(tmp_path / "votes_per_clip.csv")
    row = clips.iloc[0]
    single = row[[c for c in clips if c.startswith("vote_")]].dropna().astype(float)
    assert row["n"] == len(single)
    assert row["CMOS"] == pytest.approx(single.mean(), rel=1e-4)
    assert row["95%CI"] == pytest.approx(1.96 * single.std() / len(single) ** 0.5, rel=1e-4)


def test_a_clip_that_does_not_fit_the_pattern_is_named(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("HITId,workerid,file,vote\n1,w,clip.mp4,2\n")
    with pytest.raises(ValueError, match=r"toolkit_pattern=.* got 'clip.mp4'"):
        read_votes(path, PATTERN)


@pytest.mark.parametrize("form", ["text", "csv"])
def test_published_pairs_are_ranked(form, config, tmp_path):
    path = tmp_path / f"final.{form}"
    lines = "first,second,count,mean\nBAseline,WIzard,4000,2.5\nINputs,BAseline,5000,3.6\n"
    path.write_text(TEXT if form == "text" else lines + "INputs,WIzard,4500,2.9\n")
    results = analyse(config(f"votes='{path}'", f"output='{tmp_path}/out'"))
    assert list(results.methods["method"]) == ["BAseline", "INputs", "WIzard"]
    assert results.facts["votes"] == 13500
    assert results.pairs.set_index(["a", "b"])["cmos"]["INputs", "BAseline"] == pytest.approx(0.6)
    assert (tmp_path / "out/ratings.html").read_text().count("<svg") == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "expected a vote a row .* got the columns a, b"),
        ("first,second,count,mean\na,b,0,3\n", "expected counts above 0 and means from 1 to 5"),
        ("first,second,count,mean\na,b,9,5.5\n", "expected counts above 0 and means from 1 to 5"),
    ],
)
def test_what_is_no_table_of_votes_is_told(text, message, tmp_path):
    (tmp_path / "votes.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_votes(tmp_path / "votes.csv", PATTERN)


@pytest.mark.parametrize("content", [b"", b"first,\xff\xfe\n", b'"a'])
def test_what_is_no_csv_is_named(content, tmp_path):
    (tmp_path / "votes.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a (CSV|table) in UTF-8, got: .*votes\.csv"):
        read_votes(tmp_path / "votes.csv", PATTERN)


def test_study_or_votes_must_be_given(config):
    with pytest.raises(ValueError, match="expected one of study=<folder> and votes=<csv>"):
        analyse(config())


def test_names_from_elsewhere_are_escaped_in_the_section(votes, config, tmp_path):
    named = votes.replace({"c": "<script>alert(1)</script>"})
    named.to_csv(tmp_path / "votes.csv", index=False)
    analyse(config(f"votes='{tmp_path}/votes.csv'", f"output='{tmp_path}/out'"))
    page = (tmp_path / "out/ratings.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_objective_scores_are_held_against_people_s(votes, config, tmp_path):
    votes.to_csv(tmp_path / "votes.csv", index=False)
    arguments = [f"votes='{tmp_path}/votes.csv'", f"output='{tmp_path}/out'"]
    people = analyse(config(*arguments)).videos
    random = np.random.default_rng(0)
    scores = pd.DataFrame({"path": people["method"] + "/" + people["video"] + ".mp4"})
    scores["frames"], scores["error"] = 3, ""
    scores["dover_overall"] = 0.1 * people["cmos"] + 0.5
    scores["dover_technical"] = random.normal(size=len(people))
    for name in ("p", *(f"a{i}" for i in range(1, 12))):
        scores[name] = (1 if name != "a4" else -1) * people["cmos"] / 10 + (name == "a4")
    scores.to_csv(tmp_path / "scores.csv", index=False)
    analyse(config(*arguments, f"scores='{tmp_path}/scores.csv'"))
    table = pd.read_csv(tmp_path / "out/correlation.csv").set_index("score")
    exact, noise = table.loc["dover_overall"], table.loc["dover_technical"]
    for name in ("plcc", "srcc", "kendall"):
        assert exact[name] == pytest.approx(1, abs=1e-4)
        assert noise[f"{name}_low"] < 0 < noise[f"{name}_high"]
    assert table.loc["score", "plcc"] == pytest.approx(1, abs=1e-4)
    assert table.loc["a4", "plcc"] == pytest.approx(-1, abs=1e-4)
    assert "frames" not in table.index


def test_scores_of_other_videos_are_told(tmp_path):
    (tmp_path / "scores.csv").write_text("path,dover_overall\nother/v.mp4,0.5\n")
    people = pd.DataFrame({"method": ["a"] * 4, "video": list("wxyz"), "cmos": [0, 1, 2, 3.0]})
    with pytest.raises(ValueError, match="got 0 that match by method and video"):
        correlate_scores(people, read_scores(f"{tmp_path}/scores.csv"), replicates=9, seed=0)


def test_a_study_without_votes_is_told(tmp_path, config):
    with pytest.raises(FileNotFoundError, match=r"expected a study in .* python ratings.py plan"):
        analyse(config(f"study='{tmp_path}'"))
    with pytest.raises(FileNotFoundError, match=r"expected votes in the study .* got none yet"):
        analyse(config(f"study='{make_study(tmp_path)}'"))
