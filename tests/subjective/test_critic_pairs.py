"""A rated study -> pairs that train a critic."""

import time

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import compose_config
from study_data import QUALITY, make_study

from vqe.critic_training.pairs_csv import SCORE_COLUMNS, read_pairs
from vqe.critic_training.train import train
from vqe.subjective.analyse import analyse
from vqe.subjective.store import Store, votes
from vqe.subjective.study import load_study


def rate(folder):
    """Write the votes of raters who prefer the brighter method, and slip now and then."""
    study = load_study(folder)
    store = Store(study.database(folder))
    random = np.random.default_rng(0)
    rows = []
    for number, session in study.sessions.items():
        for trial in session if number else ():
            if trial.kind != "pair":
                vote = int(trial.expected)
            else:
                step = QUALITY[trial.second] - QUALITY[trial.first]
                vote = int(np.clip(np.round(4 * step + random.normal(0, 1)), -3, 3))
            place = {name: getattr(trial, name) for name in ("position", "kind", "content")}
            shown = {"first": trial.first, "second": trial.second, "vote": vote}
            known = {"expected": None if trial.kind == "pair" else trial.expected}
            length = study.seconds(trial)
            times = {"played": length, "length": length, "at": time.time(), "dropped": 0}
            rows.append(
                place | shown | known | times | {"assignment": number, "rater": f"r{number % 3}"}
            )
    with store.engine.begin() as connection:
        connection.execute(votes.insert(), rows)
    store.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("rated")
    folder = make_study(root)
    rate(folder)
    overrides = (f"study='{folder}'", "options.replicates=50", "cleaning.agreement=null")
    analyse(compose_config(root / "run", *overrides, name="ratings_analyse"))
    return folder


def test_pairs_have_p_and_blanks_elsewhere(folder):
    pairs = read_pairs(folder)
    assert pairs[list(SCORE_COLUMNS[1:])].isna().all(axis=None)
    votes = pd.read_csv(folder / "results/votes.csv")
    votes = votes[(votes["kind"] == "pair") & votes["removed_by"].isna()]
    assert len(pairs) == 3 * 6 * 4  # frames of each clip, pairs of methods, videos
    row = pairs.iloc[0]
    content = row["img_1"].split("/")[-2]
    a, b = (row[name].split("/")[-1].rsplit("_", 1)[0] for name in ("img_1", "img_2"))
    own = votes[(votes["content"] == content) & votes["first"].isin([a, b])]
    own = own[own["second"].isin([a, b])]
    won = np.sign(own["vote"] * np.where(own["second"] == b, 1, -1))
    assert row["p"] == pytest.approx(((won + 1).sum() / 2 + 0.5) / (len(own) + 1), abs=1e-4)


def test_frames_are_those_of_the_methods(folder):
    pairs = read_pairs(folder)
    light = {m: [] for m in QUALITY}
    for name in {*pairs["img_1"], *pairs["img_2"]}:
        light[name.split("/")[-1].rsplit("_", 1)[0]].append(cv2.imread(name).mean())
    means = {method: np.mean(values) for method, values in light.items()}
    assert sorted(means, key=means.get) == list(QUALITY)


def test_a_study_trains_a_critic(folder, tmp_path):
    overrides = (f"pairs='{folder}'", "side=32", "trainer=cpu", "dataloader.batch_size=4")
    short = ("trainer.max_epochs=1", "callbacks.progress_bar=null", "logger=none")
    config = compose_config(tmp_path, *overrides, *short, name="train_vqa")
    report = train(config)
    assert len(report)
    assert (tmp_path / "critic.safetensors").is_file()


def test_a_study_that_was_not_analysed_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python ratings.py analyse study="):
        read_pairs(tmp_path)
