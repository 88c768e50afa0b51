"""Files from a server that cuts, lies and changes its mind; archives that mean harm."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from conftest import compose_config, run_command
from file_server import Cut, Headers, Stall, pack, run_server
from omegaconf import OmegaConf

from vqe.config import CONF_DIR, REPOSITORY
from vqe.critics.weights import SOURCES
from vqe.download import download, quote_parts
from vqe.downloading.archive import unpack_archive
from vqe.downloading.connection import DownloadError, Patience
from vqe.downloading.fetch import fetch_file
from vqe.downloading.space import Need, count_peak_bytes
from vqe.downloading.verify import Counts
from vqe.schema import TEST_SUBSETS, TRAIN_SUBSETS

PATIENCE = Patience(retries=2, backoff_seconds=0.01, timeout_seconds=0.5)
BODY = random.Random(1).randbytes(3_000_000)
OTHER = random.Random(2).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with run_server() as server:
        server.files["a.bin"] = BODY
        yield server


@pytest.fixture
def fetch(server, tmp_path):
    """Return a function that fetches a.bin and returns its content."""

    def run(**options):
        fetch_file(f"{server.url}/a.bin", tmp_path / "a.bin", PATIENCE, **options)
        return (tmp_path / "a.bin").read_bytes()

    return run


def leave_part(server, fetch, after=1_000_000):
    """Fetch the first bytes of a file, as a killed run leaves it."""
    server.faults["a.bin"] = [Cut(after), *[500] * PATIENCE.retries]
    with pytest.raises(DownloadError, match="500"):
        fetch()
    server.seen.clear()


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_comes_whole_and_leaves_no_part(server, fetch, tmp_path):
    assert fetch() == BODY
    assert list_names(tmp_path) == ["a.bin", "a.bin.download.json"]
    assert server.seen == [("GET", "a.bin", None)]


@pytest.mark.parametrize("reset", [False, True])
def test_cut_connections_are_taken_up_where_they_ended(server, fetch, reset):
    cuts = [Cut(700_000, reset) for _ in range(4)]  # more than the retries: each gets on
    server.faults["a.bin"] = cuts
    assert fetch() == BODY
    starts = [int(r[2].removeprefix("bytes=").rstrip("-")) for r in server.seen[1:]]
    assert starts == [700_000, 1_400_000, 2_100_000, 2_800_000]


def test_cuts_without_a_new_byte_end_it_and_the_part_stays(server, fetch, tmp_path):
    server.faults["a.bin"] = [Cut(700_000), Cut(0), Cut(0)]
    with pytest.raises(DownloadError, match=r"expected 3000000 bytes, got a cut after 700000"):
        fetch()
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:700_000]
    assert not (tmp_path / "a.bin").exists()
    assert fetch() == BODY
    assert server.seen[-1][2] == "bytes=700000-"


def test_silence_is_a_cut(server, fetch):
    server.faults["a.bin"] = [Stall(500_000, seconds=1.5)]
    assert fetch() == BODY
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [500, 503, 429])
def test_server_errors_pass(server, fetch, status):
    server.faults["a.bin"] = [status] * PATIENCE.retries
    assert fetch() == BODY


def test_pauses_double(server, fetch, monkeypatch):
    pauses = []
    monkeypatch.setattr("vqe.downloading.connection.time.sleep", pauses.append)
    server.faults["a.bin"] = [500] * 3
    with pytest.raises(DownloadError, match=r"within 3 attempts, got 500 .*a\.bin"):
        fetch()
    assert pauses == [0.01, 0.02]


@pytest.mark.parametrize("status", [403, 404])
def test_client_errors_are_not_tried_again(server, fetch, tmp_path, status):
    server.faults["a.bin"] = [status]
    words = rf"got {status} .*{server.url}/a\.bin.*conf/download\.yaml"
    with pytest.raises(DownloadError, match=words):
        fetch()
    assert len(server.seen) == 1
    assert list_names(tmp_path) == []


def test_no_server_is_an_error_after_retries(tmp_path):
    with run_server() as gone:
        url = gone.url
    with pytest.raises(DownloadError, match=r"(?i)refused"):
        fetch_file(f"{url}/a", tmp_path / "a", PATIENCE)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "a.bin", "ftp://127.0.0.1/a"])
def test_other_urls_are_refused(url, tmp_path):
    with pytest.raises(ValueError, match="http"):
        fetch_file(url, tmp_path / "a", PATIENCE)


def test_server_without_ranges_starts_over(server, fetch):
    leave_part(server, fetch)
    server.ranges = False
    assert fetch() == BODY
    assert server.seen == [("GET", "a.bin", "bytes=1000000-")]


def test_server_without_ranges_that_always_cuts_ends(server, fetch):
    server.ranges = False
    server.faults["a.bin"] = [Cut(1_000_000)] * 99
    with pytest.raises(DownloadError, match="cut after 1000000"):
        fetch()
    assert len(server.seen) == 1 + PATIENCE.retries  # only the first one brought new bytes


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("size", [3_000_000, 2_000_000, 500_000, 4_000_000])
def test_another_version_is_not_glued_on(server, fetch, size, if_range):
    leave_part(server, fetch)
    server.if_range = if_range
    server.files["a.bin"] = new = (OTHER + BODY)[:size]
    server.versions["a.bin"] = '"2"'
    assert fetch() == new
    assert len(server.seen) == (1 if if_range else 2)  # If-Range saves the second request


def test_version_known_by_its_date_alone_is_gone_on_with(server, fetch):
    server.versions["a.bin"] = None
    leave_part(server, fetch)
    assert fetch() == BODY
    assert server.seen == [("GET", "a.bin", "bytes=1000000-")]


def test_redirect_is_followed_when_going_on(server, fetch):
    server.redirects["a.bin"] = "elsewhere/b.bin"
    server.files["elsewhere/b.bin"] = BODY
    server.faults["elsewhere/b.bin"] = [Cut(1_000_000)]
    assert fetch() == BODY
    assert server.seen[-1] == ("GET", "elsewhere/b.bin", "bytes=1000000-")


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_version_that_nothing_tells_is_fetched_from_the_start(server, fetch, etag):
    server.versions["a.bin"] = etag
    leave_part(server, fetch)
    assert fetch() == BODY
    assert server.seen == [("GET", "a.bin", None)]


@pytest.mark.parametrize(
    "content_range", ["bytes 999999-2999999/3000000", "bytes 1000000-2999999/9000000", "x", None]
)
def test_wrong_range_starts_over(server, fetch, content_range):
    leave_part(server, fetch)
    server.faults["a.bin"] = [Headers({"Content-Range": content_range})]
    assert fetch() == BODY
    assert [r[2] for r in server.seen] == ["bytes=1000000-", None]


@pytest.mark.parametrize("damage", ["no json", '{"url": 1}', None])
def test_part_of_unknown_origin_is_not_used(server, fetch, tmp_path, damage):
    (tmp_path / "a.bin.part").write_bytes(OTHER[:1_000_000])
    if damage:
        (tmp_path / "a.bin.download.json").write_text(damage)
    assert fetch() == BODY


def test_part_of_another_url_is_not_used(server, fetch, tmp_path):
    leave_part(server, fetch)
    server.files["b.bin"] = OTHER
    fetch_file(f"{server.url}/b.bin", tmp_path / "a.bin", PATIENCE)
    assert (tmp_path / "a.bin").read_bytes() == OTHER


def test_part_that_was_whole_is_kept_without_a_request(server, fetch, tmp_path):
    fetch()
    (tmp_path / "a.bin").rename(tmp_path / "a.bin.part")
    server.seen.clear()
    assert fetch() == BODY
    assert server.seen == []


@pytest.mark.parametrize("expected", [2_999_999, 3_000_001])
def test_size_other_than_the_config_s_is_an_error(server, fetch, tmp_path, expected):
    words = rf"expected {expected} bytes, got a file of 3000000 .*{server.url}"
    with pytest.raises(DownloadError, match=words):
        fetch(expected_bytes=expected)
    assert list_names(tmp_path) == []
    assert len(server.seen) == 1


def test_body_shorter_than_its_length_is_no_file(server, fetch, tmp_path):
    server.ranges = False
    server.faults["a.bin"] = [Headers({"Content-Length": 3_000_500, "Connection": "close"})] * 9
    with pytest.raises(DownloadError, match="expected 3000500 bytes, got a cut after 3000000"):
        fetch()
    assert not (tmp_path / "a.bin").exists()


@pytest.mark.parametrize("length", [None, "-5", "many"])
def test_no_length_is_an_error(server, fetch, length):
    server.faults["a.bin"] = [Headers({"Content-Length": length})]
    with pytest.raises(DownloadError, match="Content-Length"):
        fetch()


def test_empty_file_is_a_file(server, fetch):
    server.files["a.bin"] = b""
    assert fetch() == b""


# archives

FILES = {"train_supervised_synthetic": 4, "train_supervised_real": 2, "train_unsupervised": 3}
TRAIN = {
    **{f"train/supervised/synthetic/video_0001/{s}/{i}.jpg": b"j" * 10 for s in "xy" for i in "12"},
    **{f"train/supervised/real/video_0001_{side}.mp4": b"m" * 100 for side in "xy"},
    **{f"train/unsupervised/video_{i:04d}_x.mp4": b"u" * 1000 for i in range(3)},
}
TRAIN_BYTES = 4 * 10 + 2 * 100 + 3 * 1000
TEST_FILES = {"test_supervised_synthetic": 2, "test_unsupervised": 1}
TEST = {
    **{f"./test/supervised/synthetic/video_0001/{side}/1.jpg": b"j" * 7 for side in "xy"},
    "./test/unsupervised/video_0001_x.mp4": b"u" * 70,
}
EXPECTED = Counts(FILES, TRAIN_BYTES)


@pytest.fixture
def unpack(tmp_path):
    """Return a function that unpacks an archive's bytes to data/train; a file lies outside."""
    (tmp_path / "data").mkdir()
    (tmp_path / "secret").write_text("mine")

    def run(archive, expected=EXPECTED):
        path = tmp_path / "data/train.tar.gz"
        path.write_bytes(archive)
        return unpack_archive(path, tmp_path / "data/train", expected)

    return run


@pytest.mark.parametrize("top", ["", "./", "data/", "data/2025/"])
@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_archive_becomes_its_folder(unpack, tmp_path, top, mode):
    folders = {top or ".": None, f"{top}train": None, f"{top}train/supervised": None}
    files = {top + name: content for name, content in TRAIN.items()}
    counts = unpack(pack(folders | files, mode))
    assert counts == EXPECTED
    for name, content in TRAIN.items():
        assert (tmp_path / "data" / name).read_bytes() == content
    assert list_names(tmp_path / "data") == ["train", "train.tar.gz"]


OUT = "../../secret"
LINK = {"type": tarfile.SYMTYPE}
HARD = {"type": tarfile.LNKTYPE}
HOSTILE = {
    "parent": {"train/../../evil": b"x"},
    "parent first": {"../evil": b"x"},
    "parent folder": {"../evil": None},
    "absolute": {"/evil": b"x"},
    "backslash": {"train\\..\\..\\evil": b"x"},
    "drive": {"C:/evil": b"x"},
    "symlink out": {"train/evil": LINK | {"linkname": OUT}},
    "symlink far out": {"train/a/evil": LINK | {"linkname": "../../../../../secret"}},
    "symlink out and in": {
        "train/a/evil": LINK | {"linkname": "../../../../train/unsupervised/video_0000_x.mp4"}
    },
    "symlink absolute": {"train/evil": LINK | {"linkname": "/etc/hostname"}},
    "symlink to a folder": {"train/evil": LINK | {"linkname": "unsupervised"}},
    "symlink to nothing": {"train/evil": LINK | {"linkname": "nothing"}},
    "symlink to itself": {"train/evil": LINK | {"linkname": "evil"}},
    "hard link out": {"train/evil": HARD | {"linkname": "../secret"}},
    "hard link absolute": {"train/evil": HARD | {"linkname": "/etc/hostname"}},
    "device": {"train/evil": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}},
    "block device": {"train/evil": {"type": tarfile.BLKTYPE}},
    "pipe": {"train/evil": {"type": tarfile.FIFOTYPE}},
    "file twice": {"train/evil": b"x", "./train/evil": b"y"},
    "file as folder": {"train/f": b"x", "train/f/evil": b"y"},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archive_is_named_and_leaves_nothing(unpack, tmp_path, kind):
    with pytest.raises(DownloadError, match=r"train\.tar\.gz, member '.*evil'"):
        unpack(pack(TRAIN | HOSTILE[kind]))
    assert list_names(tmp_path / "data") == ["train.tar.gz"]
    assert list_names(tmp_path) == ["data", "secret"]
    assert (tmp_path / "secret").read_text() == "mine"


def test_file_through_a_link_stays_inside(unpack, tmp_path):
    attack = {"train/l": LINK | {"linkname": ".."}, "train/l/l/evil": b"x"}
    with pytest.raises(DownloadError, match="member 'train/l'"):
        unpack(pack(TRAIN | attack))
    assert list_names(tmp_path) == ["data", "secret"]


@pytest.mark.parametrize(
    "link",
    [
        LINK | {"linkname": "../real/video_0001_x.mp4"},
        HARD | {"linkname": "train/supervised/real/video_0001_x.mp4"},
    ],
)
def test_link_inside_becomes_a_file(unpack, tmp_path, link):
    place = "train/supervised/synthetic/more.jpg"
    unpack(pack(TRAIN | {place: link}))
    made = tmp_path / "data" / place
    assert made.read_bytes() == b"m" * 100
    assert not made.is_symlink()
    assert made.stat().st_nlink == 1


GOOD = pack(TRAIN)
FLIPPED = bytearray(pack({"train/supervised/real/video_0001_x.mp4": BODY}))
FLIPPED[1_000_000] ^= 255


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>Sign in</html>" * 100, id="not a tar"),
        pytest.param(b"\x1f\x8b" + b"x" * 999, id="not a gzip"),
        pytest.param(GOOD[: len(GOOD) // 2], id="cut"),
        pytest.param(GOOD[:-4], id="cut in the checksum"),
        pytest.param(bytes(FLIPPED), id="flipped"),
    ],
)
def test_damaged_archive_is_an_error(unpack, tmp_path, archive):
    with pytest.raises(DownloadError, match=r"whole tar archive, got: .*train\.tar\.gz.*Remove"):
        unpack(archive)
    assert list_names(tmp_path / "data") == ["train.tar.gz"]


def test_archive_of_something_else_is_an_error(unpack, tmp_path):
    with pytest.raises(DownloadError, match="expected a folder supervised or unsupervised"):
        unpack(pack({"photos/a.jpg": b"x"}))
    assert list_names(tmp_path / "data") == ["train.tar.gz"]


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("train/supervised/synthetic/video_0001/y/2.jpg", "4 files in train/supervised/synth.*3"),
        ("train/supervised/real/video_0001_y.mp4", "2 files in train/supervised/real, got 1"),
        ("train/unsupervised/video_0001_x.mp4", "3 files in train/unsupervised, got 2"),
    ],
)
def test_missing_file_is_an_error(unpack, tmp_path, lost, words):
    members = {name: content for name, content in TRAIN.items() if name != lost}
    folder = str(tmp_path / "data/train")
    with pytest.raises(DownloadError, match=rf"{words}.*{TRAIN_BYTES} bytes in all, got.*{folder}"):
        unpack(pack(members))
    assert list_names(tmp_path / "data") == ["train.tar.gz"]


def test_wrong_bytes_alone_are_an_error_and_null_leaves_them_unchecked(unpack):
    wrong = Counts(FILES, TRAIN_BYTES + 1)
    with pytest.raises(DownloadError, match=f"^expected {TRAIN_BYTES + 1} bytes.*{TRAIN_BYTES} "):
        unpack(GOOD, wrong)
    assert unpack(GOOD, Counts(FILES, None)).size_bytes == TRAIN_BYTES


def test_interrupt_while_unpacking_leaves_the_archive_alone(unpack, tmp_path, monkeypatch):
    def interrupt(*_):
        assert (tmp_path / "data/.train.part/train/supervised").is_dir()
        raise KeyboardInterrupt

    monkeypatch.setattr("vqe.downloading.archive.count_files", interrupt)
    with pytest.raises(KeyboardInterrupt):
        unpack(GOOD)
    assert list_names(tmp_path / "data") == ["train.tar.gz"]


def test_what_a_killed_run_left_is_cleared(unpack, tmp_path):
    (tmp_path / "data/.train.part/train").mkdir(parents=True)
    (tmp_path / "data/.train.part/train/old").write_text("old")
    unpack(GOOD)
    assert not list((tmp_path / "data").rglob("old"))


# the whole download


@pytest.fixture
def site(server):
    """A server with everything, small."""
    server.files = {
        "train.tar.gz": GOOD,
        "test.tar.gz": pack(TEST),
        "VQA.ckpt": b"v" * 50,
        "DOVER.pth": b"d" * 60,
        "v0.5.0/DOVER-Mobile.pth": b"e" * 70,
    }
    return server


def make_overrides(site):
    counts = {"train": (FILES, TRAIN_BYTES), "test": (TEST_FILES, 2 * 7 + 70)}
    return [
        *(f"base_url={site.url}", f"dover_url={site.url}", "backoff_seconds=0.01", "retries=2"),
        *(f"archives.{part}.unpacked_bytes={counts[part][1]}" for part in counts),
        *(f"archives.{p}.files.{k}={v}" for p in counts for k, v in counts[p][0].items()),
    ]


USED = ("parts", "archives", "weights", "keep_archives")


@pytest.fixture
def run(site, tmp_path):
    """Return a function that downloads as configured to data/."""

    def run(*overrides, **options):
        changes = OmegaConf.from_dotlist([*make_overrides(site), *overrides])
        config = OmegaConf.merge(OmegaConf.load(CONF_DIR / "download.yaml"), changes)
        config = OmegaConf.masked_copy(config, [*USED, "base_url", "dover_url"])
        given = OmegaConf.to_container(config, resolve=True)
        options = {key: given[key] for key in USED} | {"patience": PATIENCE} | options
        return download(source_dir=tmp_path / "data", **options)

    return run


WEIGHTS = ["DOVER-Mobile.pth", "DOVER.pth", "VQA.ckpt"]
SIDECARS = [f"{name}.download.json" for name in WEIGHTS]


def test_everything_lands_in_the_data_folder(run, site, tmp_path):
    made = run()
    data = tmp_path / "data"
    assert sorted(path.name for path in made) == sorted(["train", "test", *WEIGHTS])
    assert list_names(data) == sorted(["train", "test", *WEIGHTS, *SIDECARS])
    assert (data / "DOVER-Mobile.pth").read_bytes() == b"e" * 70
    marker = json.loads((data / "train/download.json").read_text())
    assert marker["files"] == FILES
    assert marker["unpacked_bytes"] == TRAIN_BYTES
    assert marker["archive"] == {
        "url": f"{site.url}/train.tar.gz",
        "size_bytes": len(GOOD),
        "validator": '"1"',
    }


def test_second_run_asks_for_nothing(run, site):
    run()
    site.seen.clear()
    assert run() == []
    assert site.seen == []


def test_kept_archives_are_unpacked_again_without_a_request(run, site, tmp_path):
    run("keep_archives=true")
    assert (tmp_path / "data/train.tar.gz").read_bytes() == GOOD
    shutil.rmtree(tmp_path / "data/train")
    site.seen.clear()
    assert run("keep_archives=true") == [tmp_path / "data/train"]
    assert site.seen == []


def test_extracted_frames_do_not_disturb(run, site, tmp_path):
    run()
    for name in ("supervised/real/video_0001/x", "unsupervised/video_0001/x"):
        (tmp_path / "data/train" / name).mkdir(parents=True)
        (tmp_path / "data/train" / name / "frame_0001.png").write_bytes(b"p")
    (tmp_path / "data/train.csv").write_text("a")
    assert run() == []


def test_lost_file_is_noticed_and_nothing_is_overwritten(run, tmp_path):
    run()
    (tmp_path / "data/train/unsupervised/video_0002_x.mp4").unlink()
    with pytest.raises(DownloadError, match=r"1 of 5(.|\n)*3 files in .*got 2.*Move the folder"):
        run()
    (tmp_path / "data/train").rename(tmp_path / "data/train_old")
    assert run() == [tmp_path / "data/train"]


def test_shrunk_file_is_noticed_by_the_marker_where_the_config_has_no_size(run, tmp_path):
    run("archives.train.unpacked_bytes=null")
    (tmp_path / "data/train/unsupervised/video_0002_x.mp4").write_bytes(b"")
    with pytest.raises(DownloadError, match=f"expected {TRAIN_BYTES} bytes"):
        run("archives.train.unpacked_bytes=null")


def test_weights_from_elsewhere_are_held_against_the_server(run, site, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/VQA.ckpt").write_bytes(b"V" * 50)
    (tmp_path / "data/DOVER.pth").write_bytes(b"d" * 59)
    with pytest.raises(DownloadError, match=r"1 of 3(.|\n)*expected 60 bytes.*got 59.*Move"):
        run(parts="weights")
    assert (tmp_path / "data/VQA.ckpt").read_bytes() == b"V" * 50
    assert (tmp_path / "data/DOVER.pth").read_bytes() == b"d" * 59
    assert [r[1] for r in site.gets()] == ["v0.5.0/DOVER-Mobile.pth"]


def test_part_of_an_old_version_goes_when_a_file_from_elsewhere_is_taken_over(run, site, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/VQA.ckpt").write_bytes(b"v" * 50)
    (tmp_path / "data/VQA.ckpt.part").write_bytes(b"old")
    run(parts="weights")
    (tmp_path / "data/VQA.ckpt").unlink()
    run(parts="weights")
    assert (tmp_path / "data/VQA.ckpt").read_bytes() == b"v" * 50


@pytest.mark.parametrize("parts", [["weights", "test"], "test,weights", "weights, test"])
def test_parts_are_chosen(run, site, parts):
    run(parts=parts)
    assert [r[1] for r in site.gets()] == [
        *("test.tar.gz", "VQA.ckpt", "DOVER.pth", "v0.5.0/DOVER-Mobile.pth")
    ]


@pytest.mark.parametrize("parts", ["", [], "train,valid"])
def test_unknown_part_lists_the_valid_ones(run, parts):
    with pytest.raises(ValueError, match=r"expected parts to be of train, test, weights, got"):
        run(parts=parts)


def test_null_leaves_weights_out(run, tmp_path):
    run("weights.dover_mobile=null", parts="weights")
    assert not (tmp_path / "data/DOVER-Mobile.pth").exists()


def test_failed_parts_do_not_stop_the_others(run, site, tmp_path):
    del site.files["DOVER.pth"]
    site.files["train.tar.gz"] = b"no archive" * 99
    with pytest.raises(DownloadError, match=r"2 of 5 files failed") as caught:
        run()
    assert "  train.tar.gz: expected a whole tar" in str(caught.value)
    assert "  DOVER.pth: expected a file, got 404" in str(caught.value)
    names = list_names(tmp_path / "data")
    assert {"test", "VQA.ckpt", "DOVER-Mobile.pth", "train.tar.gz"} <= set(names)
    assert not {"train", "DOVER.pth", ".train.part"} & set(names)


def test_too_little_space_stops_before_the_first_byte(run, site, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=20_000)
    monkeypatch.setattr("vqe.downloading.space.shutil.disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match=rf"GB free.*got 0\.0 GB \({tmp_path / 'data'}\)"):
        run()
    assert site.gets() == []
    run(parts="weights")  # small enough


def test_needed_space_is_the_peak():
    first = Need(fetch_bytes=100, unpack_bytes=150, freed_bytes=100)
    second = Need(fetch_bytes=10, unpack_bytes=50, freed_bytes=10)
    assert count_peak_bytes([first, second]) == 250
    assert count_peak_bytes([second, first]) == 50 + 250
    assert count_peak_bytes([Need(5), Need(6), Need(0, 1, unpack_files=2)]) == 5 + 6 + 1 + 8192


def test_config_speaks_of_the_challenge(tmp_path):
    config = compose_config(tmp_path, name="download")
    for part, subsets, files in (
        ("train", TRAIN_SUBSETS, 460_600),
        ("test", TEST_SUBSETS, 153_000),
    ):
        assert tuple(config.archives[part].files) == subsets
        assert sum(config.archives[part].files.values()) == files
    urls = {url.rsplit("/", 1)[1]: url for url in config.weights.values()}
    assert urls.keys() == SOURCES.keys()
    assert all(url in SOURCES[name].split(" or ") for name, url in urls.items())


def test_commas_between_parts_reach_hydra_as_a_list():
    given = ["parts=train,test", "parts=[test]", "parts=test", "retries=3", "base_url=http://a,b"]
    assert quote_parts(given) == ["parts=[train,test]", "parts=[test]", "parts=[test]", *given[3:]]


@pytest.mark.parametrize(
    "options", [{"retries": -1}, {"backoff_seconds": "x"}, {"timeout_seconds": 0}]
)
def test_impatience_is_an_error(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Patience(**options)


def make_command(site, tmp_path, *overrides):
    return [
        *(sys.executable, "download.py", f"data.source_dir='{tmp_path / 'my data'}'"),
        *(*make_overrides(site), f"paths.outputs='{tmp_path / 'outputs'}'", *overrides),
    ]


def test_command_downloads(site, tmp_path):
    site.faults["train.tar.gz"] = [503, Cut(200)]
    run_command(make_command(site, tmp_path, "parts=train,test,weights"), REPOSITORY / "vqe")
    for name, content in (TRAIN | TEST).items():
        assert (tmp_path / "my data" / name).read_bytes() == content


def test_command_ends_with_what_failed(site, tmp_path):
    del site.files["DOVER.pth"]
    command = make_command(site, tmp_path, "parts=weights")
    place = REPOSITORY / "vqe"
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 of 3 files failed" in done.stdout.splitlines()[-2]
    assert done.stdout.splitlines()[-1].startswith("  DOVER.pth: expected a file, got 404")
    assert "Traceback" not in done.stdout + done.stderr


def test_interrupt_leaves_a_part_that_the_next_run_goes_on_with(site, tmp_path):
    site.files["VQA.ckpt"] = BODY
    site.faults["VQA.ckpt"] = [Stall(1_000_000, seconds=30)]
    command = make_command(site, tmp_path, "parts=weights", "weights.dover=null")
    process = subprocess.Popen(
        command,
        **{"cwd": REPOSITORY / "vqe", "env": os.environ | {"OMP_NUM_THREADS": "1"}},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True},
    )
    part = tmp_path / "my data/VQA.ckpt.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size >= 900_000):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 130, printed
    assert "the same command goes on" in printed.splitlines()[-1]
    assert list_names(part.parent) == ["VQA.ckpt.download.json", "VQA.ckpt.part"]
    assert BODY.startswith(part.read_bytes())
    site.seen.clear()
    run_command(command, REPOSITORY / "vqe")
    assert (part.parent / "VQA.ckpt").read_bytes() == BODY
    assert site.gets("VQA.ckpt")[0][2].startswith("bytes=")
