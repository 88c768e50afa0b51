"""Where the work is done: a dask cluster gives what this machine's processes give."""

import socket

import pytest
from challenge_data import UNSUPERVISED, build, make_data, read_errors, snapshot

from vqe.building import workers

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


@pytest.mark.parametrize(
    "options", [{"backend": "dask"}, {"backend": "loky", "dask_address": ADDRESS}]
)
def test_dask_and_its_address_go_together(tmp_path, options):
    with pytest.raises(ValueError, match=r"data\.backend=dask together with data\.dask_address"):
        build(make_data(tmp_path), **options)


def test_missing_dask_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(workers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install distributed"):
        build(make_data(tmp_path), backend="dask", dask_address=ADDRESS)


def test_absent_scheduler_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "ANSWER_SECONDS", 1)
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RuntimeError, match=f"expected a dask scheduler at .*{address}"):
            build(make_data(tmp_path), backend="dask", dask_address=address)


def test_quick_and_slow_videos_share_no_task(tmp_path, monkeypatch):
    """Else minutes of extraction would wait behind each other in one worker."""
    make_data(tmp_path)
    sizes = []
    parallel = workers.joblib.Parallel

    def spy(**options):
        sizes.append(options["batch_size"])
        return parallel(**options)

    monkeypatch.setattr(workers.joblib, "Parallel", spy)
    assert build(tmp_path).videos == 9
    assert sizes == [1, workers.LISTED_AT_ONCE]
