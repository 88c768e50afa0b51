"""The whole download: everything lands in the data folder, once, and what failed is named."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import HANGS, compose_config, run_command
from download_data import BODY, FILES, GOOD, POLICY, TRAIN, TRAIN_BYTES, ZIP, list_names
from file_server import Cut, Stall, pack, run_server
from omegaconf import OmegaConf

from vqe.cli import CONF_DIR, REPOSITORY, quote_list
from vqe.downloading.connection import DownloadError
from vqe.downloading.download import download
from vqe.downloading.space import Need, count_peak_bytes
from vqe.inputs import SOURCES
from vqe.locks import FolderHeldError
from vqe.schema import TEST_SUBSETS, TRAIN_SUBSETS

TEST_FILES = {"test_supervised_synthetic": 2, "test_unsupervised": 1}
TEST = {
    **{f"./test/supervised/synthetic/video_0001/{side}/1.jpg": b"j" * 7 for side in "xy"},
    "./test/unsupervised/video_0001_x.mp4": b"u" * 70,
}


@pytest.fixture
def site():
    """A server with everything, small."""
    with run_server() as server:
        server.files = {
            "train.tar.gz": GOOD,
            "test.tar.gz": pack(TEST),
            "VQA.ckpt": ZIP + b"v" * 46,
            "DOVER.pth": ZIP + b"d" * 56,
            "v0.5.0/DOVER-Mobile.pth": ZIP + b"e" * 66,
        }
        yield server


def make_overrides(site):
    counts = {"train": (FILES, TRAIN_BYTES), "test": (TEST_FILES, 2 * 7 + 70)}
    return [
        *(f"base_url={site.url}", f"dover_url={site.url}", "backoff_seconds=0.01", "retries=2"),
        *(f"archives.{part}.unpacked_bytes={counts[part][1]}" for part in counts),
        *(f"archives.{p}.files.{k}={v}" for p in counts for k, v in counts[p][0].items()),
    ]


USED = ("parts", "archives", "weights", "digests", "keep_archives")


@pytest.fixture
def run(site, tmp_path):
    """Return a function that downloads as configured to data/."""

    def run(*overrides, **options):
        changes = OmegaConf.from_dotlist([*make_overrides(site), *overrides])
        config = OmegaConf.merge(OmegaConf.load(CONF_DIR / "download.yaml"), changes)
        config = OmegaConf.masked_copy(config, [*USED, "base_url", "dover_url"])
        given = OmegaConf.to_container(config, resolve=True)
        options = {key: given[key] for key in USED} | {"policy": POLICY} | options
        return download(target_dir=tmp_path / "data", **options)

    return run


WEIGHTS = ["DOVER-Mobile.pth", "DOVER.pth", "VQA.ckpt"]
SIDECARS = [f"{name}.download.json" for name in WEIGHTS]


def test_everything_lands_in_the_data_folder(run, site, tmp_path):
    made = run()
    data = tmp_path / "data"
    assert sorted(path.name for path in made) == sorted(["train", "test", *WEIGHTS])
    assert list_names(data) == sorted(["train", "test", *WEIGHTS, *SIDECARS])
    assert (data / "DOVER-Mobile.pth").read_bytes() == ZIP + b"e" * 66
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
    (tmp_path / "data/VQA.ckpt").write_bytes(ZIP + b"V" * 46)
    (tmp_path / "data/DOVER.pth").write_bytes(ZIP + b"d" * 55)
    with pytest.raises(DownloadError, match=r"1 of 3(.|\n)*expected 60 bytes.*got 59.*Move"):
        run(parts="weights")
    assert (tmp_path / "data/VQA.ckpt").read_bytes() == ZIP + b"V" * 46
    assert (tmp_path / "data/DOVER.pth").read_bytes() == ZIP + b"d" * 55
    assert [r[1] for r in site.gets()] == ["v0.5.0/DOVER-Mobile.pth"]


def test_part_of_an_old_version_goes_when_a_file_from_elsewhere_is_taken_over(run, site, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/VQA.ckpt").write_bytes(ZIP + b"v" * 46)
    (tmp_path / "data/VQA.ckpt.part").write_bytes(b"old")
    run(parts="weights")
    (tmp_path / "data/VQA.ckpt").unlink()
    run(parts="weights")
    assert (tmp_path / "data/VQA.ckpt").read_bytes() == ZIP + b"v" * 46


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


PAGE = b"<html><body>Sign in to the network</body></html>"


def test_page_of_a_proxy_is_no_weight_file(run, site, tmp_path):
    site.files |= {"VQA.ckpt": PAGE, "DOVER.pth": b"\n" + PAGE, "test.tar.gz": PAGE}
    with pytest.raises(DownloadError, match="3 of 4 files failed") as caught:
        run(parts="test,weights")
    for name in ("VQA.ckpt", "DOVER.pth", "test.tar.gz"):
        assert f"  {name}: expected a file of the kind" in str(caught.value)
    made = ["DOVER-Mobile.pth", "DOVER-Mobile.pth.download.json"]
    assert list_names(tmp_path / "data") == made


def test_page_that_was_kept_as_weights_is_told(run, site, tmp_path):
    site.files["VQA.ckpt"] = PAGE
    (tmp_path / "data").mkdir()
    (tmp_path / "data/VQA.ckpt").write_bytes(PAGE)
    with pytest.raises(DownloadError, match=r"1 of 3 .*\n  VQA\.ckpt: expected a file of the kind"):
        run(parts="weights")


def test_digest_that_the_config_knows_is_checked(run, tmp_path):
    right = hashlib.sha256(ZIP + b"v" * 46).hexdigest()
    with pytest.raises(DownloadError, match=rf"VQA\.ckpt: expected SHA-256 0+, got {right}"):
        run(f"digests.vqa='{'0' * 64}'", parts="weights")
    assert not (tmp_path / "data/VQA.ckpt").exists()
    run(f"digests.vqa={right.upper()}", parts="weights")
    assert (tmp_path / "data/VQA.ckpt").exists()


def test_null_leaves_weights_out(run, tmp_path):
    run("weights.dover_mobile=null", parts="weights")
    assert not (tmp_path / "data/DOVER-Mobile.pth").exists()


def test_failed_parts_do_not_stop_the_others(run, site, tmp_path):
    del site.files["DOVER.pth"]
    site.files["train.tar.gz"] = b"\x1f\x8b no archive" * 99
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
    assert quote_list("parts")(given) == [
        "parts=[train,test]",
        "parts=[test]",
        "parts=[test]",
        *given[3:],
    ]


def make_command(site, tmp_path, *overrides):
    return [
        *(sys.executable, "download.py", f"data.target_dir='{tmp_path / 'my data'}'"),
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
    assert done.stderr.splitlines()[-2].startswith("error: 1 of 3 files failed")
    assert done.stderr.splitlines()[-1].startswith("  DOVER.pth: expected a file, got 404")
    assert "Traceback" not in done.stdout + done.stderr


def hear_interrupts() -> None:
    """Undo what a shell does to jobs in the background, which pass it on: they hear no Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupt_leaves_a_part_that_the_next_run_goes_on_with(site, tmp_path):
    site.files["VQA.ckpt"] = BODY
    site.faults["VQA.ckpt"] = [Stall(1_000_000, seconds=30)]
    command = make_command(site, tmp_path, "parts=weights", "weights.dover=null")
    process = subprocess.Popen(
        command,
        **{"cwd": REPOSITORY / "vqe", "env": os.environ | {"OMP_NUM_THREADS": "1"}},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True},
        preexec_fn=hear_interrupts,
    )
    part = tmp_path / "my data/VQA.ckpt.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size >= 900_000):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 130, printed
    assert "the same command continues" in printed.splitlines()[-2]
    assert printed.splitlines()[-1] == "interrupted"
    assert list_names(part.parent) == ["VQA.ckpt.download.json", "VQA.ckpt.part"]
    assert BODY.startswith(part.read_bytes())
    site.seen.clear()
    run_command(command, REPOSITORY / "vqe")
    assert (part.parent / "VQA.ckpt").read_bytes() == BODY
    assert site.gets("VQA.ckpt")[0][2].startswith("bytes=")


HOLD = """
import sys, time
from pathlib import Path
from vqe.locks import hold_folder

with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_download_into_a_folder_is_refused_until_the_first_is_gone(run, site, tmp_path):
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(FolderHeldError, match=rf"running into this folder \({tmp_path}/data\)"):
            run()
        assert site.seen == []
        assert list_names(tmp_path / "data") == []
        other.kill()
    assert len(run()) == 5
