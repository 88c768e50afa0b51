"""Scoring, or a test in shards, that was cut goes on: the same bytes come out, nothing twice."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from clips import make_clip
from conftest import compose_config
from omegaconf import OmegaConf

from vqe.records import RecordWriter, read_records
from vqe.scoring import VideoScorer
from vqe.scoring.score_videos import score_videos
from vqe.scoring.spread import pack_config, spread_test
from vqe.training import testing

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


DATA = "dataset.holdout_query='subset == \"test_unsupervised\"'"
OPTIONS = (
    *("model_vqa=standin", "model_dover=off", "trainer=cpu", "dataloader.eval_batch_size=2"),
    *("dataloader.num_workers=0", "callbacks.progress_bar=null", "callbacks.before_after=null"),
    *("callbacks.split_screen=null", DATA),
)


def compose_test(run, data_folder, nano_checkpoint, *overrides):
    given = (f"dataset.path='{data_folder}'", f"checkpoint='{nano_checkpoint}'", *OPTIONS)
    return compose_config(run, *given, *overrides, name="test_vqe")


def read_tested(run):
    files = [*run.glob("results/*"), *run.glob("videos/*"), run / "critics.json"]
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in files if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_folder, nano_checkpoint):
    """The numbers of a test in one piece, and its files."""
    run = tmp_path_factory.mktemp("whole")
    numbers = testing.test(compose_test(run, data_folder, nano_checkpoint))
    files = read_tested(run)
    assert len(files) == 1 + 3 + 1  # a CSV, three videos, critics.json
    return numbers, files


def test_shards_of_a_test_give_the_same_bytes_once_and_again(
    data_folder, nano_checkpoint, tmp_path, whole
):
    shards = ("parallel.backend=sequential", "parallel.jobs=2")  # one after the other, here
    for known in (set(), {"run.1-of-2", "run.2-of-2"}):
        assert {p.name for p in tmp_path.glob("run.*")} == known
        config = compose_test(tmp_path / "run", data_folder, nano_checkpoint, *shards)
        assert spread_test(config) == pytest.approx(whole[0])  # which Lightning rounds to float32
        assert read_tested(tmp_path / "run") == whole[1]
    assert not (tmp_path / "run/records").exists()


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_tests_the_same(
    data_folder, nano_checkpoint, cluster, tmp_path, whole
):
    loses = f"{{_target_: lost_worker.LoseWorker, marker: '{tmp_path / 'lost'}'}}"
    dask = ("parallel.backend=dask", f"parallel.dask_address={cluster.scheduler_address}")
    options = (*dask, "parallel.jobs=2", f"+callbacks.lost={loses}")
    spread = compose_test(tmp_path / "spread", data_folder, nano_checkpoint, *options)
    assert spread_test(spread) == pytest.approx(whole[0])
    assert read_tested(tmp_path / "spread") == whole[1]
    lost = tmp_path / (tmp_path / "lost").read_text()
    assert len(read_records(lost)) == 2  # of the worker that was lost, and of the next


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("parallel.jobs=0",), "the number of shards, from 1 on, got 0"),
        (("parallel.jobs=2", "shard=1/2"), "expected shard=null with several parallel.jobs"),
        (("parallel.jobs=2", "resume=somewhere"), "expected resume=auto or null.*got somewhere"),
        (("parallel.backend=dask",), "parallel.backend=dask together with parallel.dask_address"),
    ],
)
def test_options_of_a_test_in_shards_that_do_not_fit(
    data_folder, nano_checkpoint, tmp_path, options, words
):
    with pytest.raises(ValueError, match=words):
        spread_test(compose_test(tmp_path / "run", data_folder, nano_checkpoint, *options))


def test_a_shard_s_config_depends_on_no_place(data_folder, nano_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(data_folder.parent)
    config = compose_test(Path("run"), data_folder.name, nano_checkpoint)
    packed = OmegaConf.create(pack_config(config))
    assert packed.dataset.path == str(data_folder)
    assert packed.callbacks.render_videos.folder == str(data_folder.parent / "run/videos")
    config.checkpoint = "nano"  # one that ships
    assert OmegaConf.create(pack_config(config)).checkpoint == "nano"
