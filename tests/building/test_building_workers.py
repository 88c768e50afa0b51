"""Where the work is done: a dask cluster gives what this machine's processes give."""

import socket

import pytest
from challenge_data import UNSUPERVISED, build, make_data, read_errors, snapshot
from clips import make_clip

from vqe import parallel
from vqe.building import workers
from vqe.synthesis.plan import Clips, Layout
from vqe.synthesis.presets import find_preset
from vqe.synthesis.synthesize import synthesize

ADDRESS = "tcp://127.0.0.1:1"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    folder = str(tmp_path_factory.mktemp("dask"))
    with distributed.LocalCluster(processes=True, local_directory=folder, **options) as cluster:
        yield cluster


@pytest.mark.slow
def test_dask_cluster_builds_the_same(cluster, tmp_path):
    from distributed import Client

    ours, theirs = (make_data(tmp_path / name) for name in ("ours", "theirs"))
    for root in (ours, theirs):
        (root / UNSUPERVISED / "video_0001_x.mp4").write_bytes(b"")
    build(ours, on_error="skip")
    address = cluster.scheduler_address
    report = build(theirs, on_error="skip", backend="dask", dask_address=address, jobs=-1)
    assert report.extracted == 5
    assert snapshot(theirs) == snapshot(ours)
    assert list(read_errors(theirs)) == ["train/unsupervised/video_0001_x.mp4"]
    with Client(address) as client:  # the cluster did the work
        assert all(client.run(lambda: "vqe.building.preparation" in __import__("sys").modules))


def make_pairs(root, **options):
    """Make pairs of two short clips below `root`."""
    for number in range(2):
        make_clip(root / f"clean/{number}.mp4", rate=30, frames=4)
    return synthesize(
        **{"source": root / "clean", "target_dir": root / "data", "sheet_rows": 1},
        ranges=find_preset("v1"),
        clips=Clips(frames=3, per_source=1, max_size=[32, 48], zoom=[1.05, 1.4]),
        layout=Layout(["train_supervised_synthetic"], ["test_unsupervised"], 0.0),
        **options,
    )


@pytest.mark.slow
def test_dask_cluster_synthesizes_the_same(cluster, tmp_path):
    from distributed import Client

    address = cluster.scheduler_address
    make_pairs(tmp_path / "ours", jobs=1)
    made = make_pairs(tmp_path / "theirs", jobs=-1, backend="dask", dask_address=address).made
    assert made == 2
    assert snapshot(tmp_path / "theirs/data") == snapshot(tmp_path / "ours/data")
    with Client(address) as client:  # the cluster did the work
        loaded = client.run(lambda: "vqe.synthesis.production" in __import__("sys").modules)
        assert any(loaded.values())


def test_synthesis_takes_dask_and_its_address_together(tmp_path):
    with pytest.raises(ValueError, match=r"data\.backend=dask together with data\.dask_address"):
        make_pairs(tmp_path, backend="dask")


@pytest.mark.parametrize(
    "options", [{"backend": "dask"}, {"backend": "loky", "dask_address": ADDRESS}]
)
def test_dask_and_its_address_go_together(tmp_path, options):
    with pytest.raises(ValueError, match=r"data\.backend=dask together with data\.dask_address"):
        build(make_data(tmp_path), **options)


def test_missing_dask_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install distributed"):
        build(make_data(tmp_path), backend="dask", dask_address=ADDRESS)


def test_absent_scheduler_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel, "ANSWER_SECONDS", 1)
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RuntimeError, match=f"expected a dask scheduler at .*{address}"):
            build(make_data(tmp_path), backend="dask", dask_address=address)


def test_quick_and_slow_videos_share_no_task(tmp_path, monkeypatch):
    """Else minutes of extraction would wait behind each other in one worker."""
    make_data(tmp_path)
    sizes = []
    plain = parallel.joblib.Parallel

    def spy(**options):
        sizes.append(options["batch_size"])
        return plain(**options)

    monkeypatch.setattr(parallel.joblib, "Parallel", spy)
    assert build(tmp_path).videos == 9
    assert sizes == [1, workers.LISTED_AT_ONCE]
