"""Scoring that was cut goes on: what is known is not scored again, and the same bytes come out."""

import os
import shutil
import signal

import pytest
from clips import make_clip
from conftest import compose_config

from vqe.records import RecordWriter, read_records
from vqe.scoring import VideoScorer
from vqe.scoring.score_videos import score_videos

VIDEOS = ("a/z.mp4", "a.mp4", "bad.mp4", "deep/b.mkv", "deep/c.mp4")  # in the order of their paths


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """`results/` and `inputs/` of the same names; one cannot be read."""
    root = tmp_path_factory.mktemp("footage")
    for place in ("results", "inputs"):
        make_clip(root / place / "a.mp4", frames=4, rate=30)
        make_clip(root / place / "a/z.mp4", frames=2, rate=30)
        make_clip(root / place / "deep/b.mkv", frames=6, rate=30)
        make_clip(root / place / "deep/c.mp4", frames=2, rate=30)
        (root / place / "bad.mp4").write_text("no video")
    return root


@pytest.fixture
def scored(monkeypatch):
    """Names of the videos that were scored since."""
    names, plain = [], VideoScorer.score

    def look(self, name, *args, **options):
        names.append(name)
        return plain(self, name, *args, **options)

    monkeypatch.setattr(VideoScorer, "score", look)
    return names


@pytest.fixture
def score(tmp_path, footage):
    """Return a function that scores in a run folder of its own; it returns the CSV's bytes."""

    def run(name, *overrides, root=footage):
        config = compose_config(
            tmp_path / name,
            f"input='{root}/results'",
            f"reference='{root}/inputs'",
            *("model_vqa=standin", "model_dover=off", "every=2", "device=cpu"),
            *overrides,
            name="score_videos",
        )
        config.paths.runs = str(tmp_path)
        score_videos(config)
        [table] = (tmp_path / name).glob("*.csv")
        return table.read_bytes()

    return run


def test_scoring_goes_on_after_every_cut(score, scored, monkeypatch, tmp_path):
    whole = score("whole")
    shutil.rmtree(tmp_path / "whole")
    for _ in range(len(VIDEOS)):
        scored.clear()
        look = VideoScorer.score

        def cut(self, name, *args, **options):
            if [n for n in scored if n != "bad.mp4"]:
                raise KeyboardInterrupt
            return look(self, name, *args, **options)  # noqa: B023

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(VideoScorer, "score", cut)
            score("cut", "resume=auto")
            raise KeyboardInterrupt  # nothing was left to cut
    scored.clear()
    assert score("last", "resume=auto") == whole
    assert scored == ["bad.mp4"]  # what failed is tried again


def test_what_changed_is_scored_anew(score, scored, tmp_path, footage):
    root = shutil.copytree(footage, tmp_path / "footage")
    whole = score("first", root=root)
    scored.clear()
    assert score("all", "resume=auto", "every=1", root=root) != whole
    assert len(scored) == len(VIDEOS)
    for changed in ("results/a.mp4", "inputs/deep/b.mkv"):
        (root / changed).touch()
        scored.clear()
        assert score("again", "resume=auto", root=root) == whole
        assert scored == sorted({changed.partition("/")[2], "bad.mp4"})
    (root / "inputs/deep/c.mp4").unlink()
    assert b"expected the reference" in score("gone", "resume=auto", root=root)


def test_a_record_holds_the_row(score, tmp_path):
    score("run")
    [file] = read_records(tmp_path / "run")
    assert [record.video for record in file.records] == list(VIDEOS)
    assert file.head.videos == list(VIDEOS)
    assert [bool(record.content["error"]) for record in file.records] == [0, 0, 1, 0, 0]


@pytest.mark.slow
def test_processes_of_this_machine_score_the_same(score):
    assert score("two", "parallel.jobs=2") == score("one")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    distributed = pytest.importorskip("distributed")
    folder = str(tmp_path_factory.mktemp("dask"))
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=True, local_directory=folder, **options) as cluster:
        yield cluster


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_scores_the_same(score, cluster, monkeypatch, tmp_path):
    from distributed import Client

    address, plain, lost = cluster.scheduler_address, RecordWriter.append, []

    def append(self, record):
        plain(self, record)
        if not lost:  # as the first record comes, in the middle of the second video
            with Client(address) as client:
                lost.append(client.run(os.getpid).popitem()[1])
            os.kill(lost[0], signal.SIGKILL)

    monkeypatch.setattr(RecordWriter, "append", append)
    dask = ("parallel.backend=dask", f"parallel.dask_address={address}")
    found = score("dask", *dask)
    assert lost
    monkeypatch.setattr(RecordWriter, "append", plain)
    assert found == score("one")
    assert score("again", "resume=auto", *dask) == found
