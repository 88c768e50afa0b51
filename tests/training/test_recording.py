"""A test that was cut goes on: what is known is not tested again, and the same bytes come out."""

import shutil
import signal
import subprocess
import sys

import pytest
from conftest import compose_config

from vqe.cli import REPOSITORY
from vqe.records import RecordWriter, read_records
from vqe.training import testing
from vqe.training.module import VQEModule

OPTIONS = (
    "model_vqa=standin",
    "model_dover=off",
    "trainer=cpu",
    "dataloader.eval_batch_size=2",
    "dataloader.num_workers=0",
    "callbacks.progress_bar=null",
    "callbacks.before_after=null",
    "callbacks.split_screen=null",
)
VIDEOS = 5  # of the small data: two with targets, three without


@pytest.fixture
def run_test(tmp_path, data_folder, nano_checkpoint):
    """Return a function that tests the small network in a run folder of its own."""

    def run(name, *overrides, data=data_folder, checkpoint=nano_checkpoint):
        given = (f"dataset.path='{data}'", f"checkpoint='{checkpoint}'", *OPTIONS, *overrides)
        config = compose_config(tmp_path / name, *given, name="test_vqe")
        config.paths.runs = str(tmp_path)
        numbers = testing.test(config)
        return numbers, read_results(tmp_path / name)

    return run


def read_results(run):
    files = [*run.glob("results/*"), *run.glob("videos/*"), run / "critics.json"]
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in files if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_folder, nano_checkpoint):
    run = tmp_path_factory.mktemp("undisturbed")
    given = (f"dataset.path='{data_folder}'", f"checkpoint='{nano_checkpoint}'", *OPTIONS)
    numbers = testing.test(compose_config(run, *given, name="test_vqe"))
    results = read_results(run)
    assert len(results) == 6  # two CSVs, three videos, and what the scores were made with
    return numbers, results, run


@pytest.fixture
def tested(monkeypatch):
    """The videos that a network saw since, each once."""
    seen, plain = [], VQEModule.test_step

    def look(self, batch, number):
        video = self.trainer.datamodule.video_of(int(batch["index"][0]))
        if video not in seen:
            seen.append(video)
        return plain(self, batch, number)

    monkeypatch.setattr(VQEModule, "test_step", look)
    return seen


def cut_after(monkeypatch, videos):
    """Let a test end as by Ctrl-C once it wrote so many records."""
    plain, written = RecordWriter.append, []

    def append(self, record):
        plain(self, record)
        written.append(record.video)
        if len(set(written) - known) == videos:
            raise KeyboardInterrupt

    known: set[str] = set()
    monkeypatch.setattr(RecordWriter, "append", append)
    return known


def list_known(folder):
    """Return the videos that the runs in a folder know."""
    files = [file for run in folder.iterdir() for file in read_records(run)]
    return {tuple(record.video.split("/")) for file in files for record in file.records}


@pytest.fixture
def first(undisturbed, tmp_path):
    """A run folder of a whole test."""
    return shutil.copytree(undisturbed[2], tmp_path / "first")


def test_a_test_goes_on_after_every_cut(run_test, undisturbed, tested, monkeypatch, tmp_path):
    known: set[tuple[str, ...]] = set()
    while len(known) < VIDEOS - 1:  # each run gets at least a video further
        with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, SystemExit)):
            cut_after(patch, 1).update(map("/".join, known))
            run_test(f"cut {len(known)}", "resume=auto")
        assert not known & set(tested)
        tested.clear()
        assert list_known(tmp_path) > known
        known = list_known(tmp_path)
    known = list_known(tmp_path)
    numbers, results = run_test("last", "resume=auto")
    assert results == undisturbed[1]
    assert numbers == pytest.approx(undisturbed[0])  # which Lightning rounds to float32
    assert not known & set(tested)
    tested.clear()
    numbers, results = run_test("nothing left", f"resume='{tmp_path / 'last'}'")
    assert results == undisturbed[1]
    assert numbers == pytest.approx(undisturbed[0])
    assert tested == []


@pytest.mark.slow
def test_a_half_line_and_a_lost_video_are_made_again(run_test, undisturbed, tested, first):
    [file] = (first / "records").iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    whole = [tuple(record.video.split("/")) for record in read_records(first)[0].records]
    lost = next(video for video in whole if video[0] == "test_unsupervised")  # in any order
    (first / f"videos/{lost[1]}.mp4").write_bytes(b"another")
    assert run_test("second", "resume=auto") == undisturbed[:2]
    assert len(tested) == 2
    assert set(tested) & set(whole) == {lost}


@pytest.mark.slow
def test_another_option_or_footage_is_tested_anew(
    run_test, undisturbed, tested, first, tmp_path, data_folder
):
    run_test("strength", "resume=auto", "strength=0.5", "only_csv=true")
    assert len(tested) == VIDEOS
    with pytest.raises(ValueError, match=r"same weights and options, got other strength \(.*first"):
        run_test("named", f"resume='{first}'", "strength=0.5")
    tested.clear()
    data = shutil.copytree(data_folder, tmp_path / "data")  # keeps the files' times
    assert run_test("copy", "resume=auto", data=data)[1] == undisturbed[1]
    assert tested == []
    (data / "test/unsupervised/video_0003/x/frame_0002.png").touch()
    assert run_test("touched", "resume=auto", data=data) == undisturbed[:2]
    assert tested == [("test_unsupervised", "video_0003")]


@pytest.mark.slow
def test_where_files_are_missing_or_encoded_otherwise_they_are_made(run_test, first, tested):
    csvs = run_test("csvs", "resume=auto", "only_csv=true")[1]
    assert tested == []
    assert (
        run_test("coarse", "resume=auto", "callbacks.render_videos.crf=30")[1].keys() > csvs.keys()
    )
    assert {subset for subset, _ in tested} == {"test_unsupervised"}  # the others have no file
    shutil.rmtree(first)
    tested.clear()
    run_test("all", "resume=auto", "dataset.holdout_query=\"video_id=='video_0002'\"")
    assert tested == [("test_unsupervised", "video_0002")]


KILLED = """
import os, runpy, signal, sys
from vqe.records import RecordWriter

plain, written = RecordWriter.append, []

def append(self, record):
    plain(self, record)
    written.append(record.video)
    if len(written) == 2:
        self._file.write('{"video": "half')
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

RecordWriter.append = append
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.slow
def test_a_killed_test_goes_on(
    run_test, undisturbed, tested, tmp_path, data_folder, nano_checkpoint
):
    places = (f"hydra.run.dir='{tmp_path}/killed'", f"dataset.path='{data_folder}'")
    given = (*places, f"checkpoint='{nano_checkpoint}'", *OPTIONS)
    script = REPOSITORY / "vqe/test_vqe.py"
    command = [sys.executable, "-c", KILLED.replace("sys.argv[1]", repr(str(script))), *given]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "killed/results").exists()
    known = list_known(tmp_path)
    assert len(known) == 2
    assert run_test("on", "resume=auto") == undisturbed[:2]
    assert len(tested) == VIDEOS - 2 and not known & set(tested)
