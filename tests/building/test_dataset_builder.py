"""The builder on a small data set in the challenge's layout: whole, anew, and killed half-way."""

import contextlib
import inspect
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from challenge_data import (
    CSVS,
    REAL,
    SYNTHETIC,
    TEST_SYNTHETIC,
    TEST_UNSUPERVISED,
    UNSUPERVISED,
    build,
    make_images,
    read_errors,
    read_rows,
    snapshot,
)
from clips import FFMPEG, make_clip
from conftest import HANGS, HAS_PROC, is_running, wait_for_end
from hydra import compose, initialize_config_dir

from vqe.building import extraction
from vqe.building.build import build_dataset
from vqe.cli import CONF_DIR, REPOSITORY
from vqe.locks import FolderHeldError
from vqe.schema import FRAME_COLUMNS

SLOW = {"rate": 1, "frames": 5, "width": 640, "height": 270}  # 150 frames of 5 ms


def expected_row(subset, folder, name, has_target):
    return {
        "img_source": f"{folder}/x/{name}",
        "img_target": f"{folder}/y/{name}" if has_target else "",
        "h": "48",
        "w": "64",
        "subset": subset,
        "video_id": folder.rsplit("/", 1)[1],
    }


def expected_rows(videos):
    return [
        expected_row(subset, folder, name, has_target)
        for subset, folder, names, has_target in videos
        for name in names
    ]


def jpgs(count):
    return [f"{number:05d}.jpg" for number in range(count)]


def frames(count):
    return [f"frame_{number:04d}.png" for number in range(1, count + 1)]


def test_csvs_hold_every_frame_in_order(source_dir):
    report = build(source_dir)
    assert read_rows(source_dir / "train.csv") == expected_rows(
        [
            ("train_supervised_synthetic", f"{SYNTHETIC.as_posix()}/video_0000", jpgs(3), True),
            (
                "train_supervised_synthetic",
                f"{SYNTHETIC.as_posix()}/video_0001",
                ["00000.png", "00001.png"],
                True,
            ),
            ("train_supervised_real", f"{REAL.as_posix()}/video_0000", frames(6), True),
            ("train_unsupervised", f"{UNSUPERVISED.as_posix()}/video_0000", frames(5), False),
            ("train_unsupervised", f"{UNSUPERVISED.as_posix()}/video_0001", frames(6), False),
            ("train_unsupervised", f"{UNSUPERVISED.as_posix()}/video_0002", frames(7), False),
        ]
    )
    assert read_rows(source_dir / "test.csv") == expected_rows(
        [
            ("test_supervised_synthetic", f"{TEST_SYNTHETIC.as_posix()}/video_0000", jpgs(3), True),
            ("test_unsupervised", f"{TEST_UNSUPERVISED.as_posix()}/video_0000", frames(5), False),
            ("test_unsupervised", f"{TEST_UNSUPERVISED.as_posix()}/video_0001", frames(6), False),
        ]
    )
    header = (source_dir / "train.csv").read_bytes().split(b"\n")[0]
    assert header.decode() == ",".join(FRAME_COLUMNS)
    assert (report.videos, report.frames, report.extracted, report.bad) == (9, 43, 6, ())
    assert [path.name for path in report.csvs] == list(CSVS)
    assert not read_errors(source_dir)


def test_every_path_in_the_csvs_can_be_read(source_dir):
    build(source_dir)
    for row in read_rows(source_dir / "train.csv") + read_rows(source_dir / "test.csv"):
        for path in filter(None, (row["img_source"], row["img_target"])):
            data = np.frombuffer((source_dir / path).read_bytes(), np.uint8)
            assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (48, 64, 3)


def test_minimal_csvs_hold_the_first_frames_of_the_first_videos(source_dir):
    build(source_dir, minimal_videos=2, minimal_frames=3)
    rows = read_rows(source_dir / "train_minimal.csv")
    counts = {}
    for row in rows:
        key = (row["subset"], row["video_id"])
        counts[key] = counts.get(key, 0) + 1
    assert counts == {
        ("train_supervised_synthetic", "video_0000"): 3,
        ("train_supervised_synthetic", "video_0001"): 2,
        ("train_supervised_real", "video_0000"): 3,
        ("train_unsupervised", "video_0000"): 3,
        ("train_unsupervised", "video_0001"): 3,
    }
    full = read_rows(source_dir / "train.csv")
    assert rows == [row for row in full if row in rows]
    assert len(read_rows(source_dir / "test_minimal.csv")) == 9


@pytest.mark.parametrize("fps", [30, 7])
def test_extraction_equals_the_ffmpeg_command(tmp_path, fps):
    clips = {
        "video_0000": {"audio": True, "frames": 30},
        "video_0001": {"rate": "24000/1001", "frames": 25},
        "video_0002": {"times": [0, 40, 55, 140, 300, 301, 333, 390, 900]},
        "video_0003": {"codec": "mpeg4", "rate": 60, "frames": 40, "width": 80},
    }
    for video_id, options in clips.items():
        make_clip(tmp_path / UNSUPERVISED / f"{video_id}_x.mp4", **options)
    build(tmp_path, video_fps=fps)
    for video_id in clips:
        clip = tmp_path / UNSUPERVISED / f"{video_id}_x.mp4"
        theirs = tmp_path / "ffmpeg" / video_id
        theirs.mkdir(parents=True)
        pattern = str(theirs / "frame_%04d.png")
        command = [FFMPEG, "-v", "error", "-i", str(clip), "-vf", f"fps={fps}", pattern]
        subprocess.run(command, check=True)
        ours = tmp_path / UNSUPERVISED / video_id / "x"
        names = sorted(path.name for path in theirs.iterdir())
        assert names == sorted(path.name for path in ours.iterdir())
        for name in names:
            a, b = (cv2.imread(str(folder / name), -1) for folder in (ours, theirs))
            assert np.array_equal(a, b)


def test_second_run_touches_no_frame(source_dir):
    build(source_dir)
    before = snapshot(source_dir / "train", mtime=True) | snapshot(source_dir / "test", mtime=True)
    csvs = [(source_dir / name).read_bytes() for name in CSVS]
    assert build(source_dir).extracted == 0
    after = snapshot(source_dir / "train", mtime=True) | snapshot(source_dir / "test", mtime=True)
    assert before == after
    assert csvs == [(source_dir / name).read_bytes() for name in CSVS]


def test_second_run_makes_what_is_missing(source_dir):
    build(source_dir)
    before = snapshot(source_dir / "train")
    kept = snapshot(source_dir / REAL, mtime=True)
    shutil.rmtree(source_dir / UNSUPERVISED / "video_0001")
    make_clip(source_dir / UNSUPERVISED / "video_0009_x.mp4")
    assert build(source_dir).extracted == 2
    assert snapshot(source_dir / REAL, mtime=True) == kept
    after = snapshot(source_dir / "train")
    assert {path: after[path] for path in before} == before
    assert len(read_rows(source_dir / "train.csv")) == 29 + 14


def test_parallel_build_is_the_same(original, source_dir, tmp_path):
    other = shutil.copytree(original, tmp_path / "other")
    build(source_dir, jobs=1)
    build(other, jobs=2)
    assert snapshot(source_dir) == snapshot(other)


def test_source_is_left_as_it_was(source_dir, original):
    before = snapshot(source_dir, mtime=True)
    build(source_dir)
    after = snapshot(source_dir, mtime=True)
    assert {path: after[path] for path in before} == before


def test_extracted_frames_work_without_their_mp4s(source_dir):
    build(source_dir)
    before = [(source_dir / name).read_bytes() for name in CSVS]
    for path in source_dir.rglob("*.mp4"):
        path.unlink()
    assert build(source_dir).extracted == 0
    assert [(source_dir / name).read_bytes() for name in CSVS] == before


def test_other_files_and_hidden_names_are_passed_over(source_dir):
    expected = build(source_dir)
    for name in ("README.txt", "train/notes.md", "train/unsupervised/._video_0007_x.mp4"):
        (source_dir / name).write_text("...")
    (source_dir / SYNTHETIC / "video_0000/x/.00000.jpg").write_text("...")
    (source_dir / SYNTHETIC / "video_0000/x/Thumbs.db").write_text("...")
    (source_dir / SYNTHETIC / ".cache").mkdir()
    assert build(source_dir).frames == expected.frames


def test_frames_beyond_four_digits_stay_in_order(tmp_path):
    make_images(tmp_path / UNSUPERVISED / "video_0000", sides="x", frames=3)
    folder = tmp_path / UNSUPERVISED / "video_0000/x"
    for old, new in zip(
        jpgs(3), ("frame_9999.jpg", "frame_10000.jpg", "frame_10001.jpg"), strict=True
    ):
        (folder / old).rename(folder / new)
    build(tmp_path)
    names = [row["img_source"].rsplit("/")[-1] for row in read_rows(tmp_path / "train.csv")]
    assert names == ["frame_9999.jpg", "frame_10000.jpg", "frame_10001.jpg"]


def test_train_alone_is_said(source_dir, caplog):
    shutil.rmtree(source_dir / "test")
    with caplog.at_level(logging.WARNING):
        report = build(source_dir)
    assert [path.name for path in report.csvs] == ["train.csv", "train_minimal.csv"]
    assert not (source_dir / "test.csv").exists()
    assert "no usable video below test/: test.csv is not written" in caplog.text


def hear_interrupts():
    """Undo what a shell does to jobs in the background, which pass it on: they hear no Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_builder(source_dir, *overrides, heed_interrupts=False):
    command = [sys.executable, "dataset_builder.py", "--config-name", "data/all_30fps"]
    command += [f"data.source_dir='{source_dir}'", f"paths.outputs='{source_dir.parent}/out'"]
    return subprocess.Popen(
        [*command, *overrides],
        cwd=REPOSITORY / "vqe",
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=os.name == "posix",  # its workers can be killed with it
        preexec_fn=hear_interrupts if heed_interrupts else None,
    )


def run_builder(source_dir, *overrides):
    process = start_builder(source_dir, *overrides)
    _, words = process.communicate(timeout=HANGS)
    return process.returncode, words


def test_command_builds_the_data(source_dir, original, tmp_path):
    code, words = run_builder(source_dir, "data.jobs=2", "data.minimal_frames=2")
    assert code == 0, words
    assert "videos: 100%" in words
    other = shutil.copytree(original, tmp_path / "other")
    build(other, minimal_frames=2)
    assert snapshot(source_dir) == snapshot(other)


def test_command_fails_with_the_names_of_bad_files(source_dir):
    (source_dir / UNSUPERVISED / "video_0000_x.mp4").write_bytes(b"")
    code, words = run_builder(source_dir, "data.jobs=1")
    assert code == 1
    assert "train/unsupervised/video_0000_x.mp4: expected a video, got an empty file" in words


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills a process group")
def test_killed_build_goes_on_to_the_same_result(tmp_path, original):
    killed = shutil.copytree(original, tmp_path / "killed")
    make_clip(killed / TEST_UNSUPERVISED / "video_0009_x.mp4", **SLOW)
    undisturbed = shutil.copytree(killed, tmp_path / "undisturbed")
    build(undisturbed)
    process = start_builder(killed, "data.jobs=2")
    finished = killed / UNSUPERVISED / "video_0000"
    deadline = time.monotonic() + HANGS
    while not (finished.exists() and list(killed.glob("test/unsupervised/.*.part/x/*_0009.png"))):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (killed / TEST_UNSUPERVISED / "video_0009").exists()
    assert not (killed / "train.csv").exists()
    report = build(killed)
    assert 1 <= report.extracted < 7
    assert snapshot(killed) == snapshot(undisturbed)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PROC, reason="asks /proc")
def test_a_build_restarted_after_its_parent_alone_was_killed(tmp_path, original):
    """Its workers would go on and meet the next run's."""
    killed = shutil.copytree(original, tmp_path / "killed")
    make_clip(killed / TEST_UNSUPERVISED / "video_0009_x.mp4", **SLOW)
    undisturbed = shutil.copytree(killed, tmp_path / "undisturbed")
    build(undisturbed)
    process = start_builder(killed, "data.jobs=2")
    parts = []
    deadline = time.monotonic() + HANGS
    while not parts:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.001)
        parts = list(killed.glob("test/unsupervised/.*.part/x/*_0009.png"))
    worker = int(parts[0].parents[1].name.split("-")[1])  # temporary names say whose they are
    assert worker != process.pid and is_running(worker)
    with pytest.raises(FolderHeldError):
        build(killed)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    try:
        report = build(killed)
        assert 1 <= report.extracted <= 7
        assert snapshot(killed) == snapshot(undisturbed)
        assert wait_for_end(process.pid) == []
        assert not list(killed.rglob(".*"))
    finally:
        with contextlib.suppress(ProcessLookupError):  # none is left
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends Ctrl-C to a process group")
def test_ctrl_c_leaves_no_half_video(tmp_path, original):
    data = shutil.copytree(original, tmp_path / "data")
    make_clip(data / TEST_UNSUPERVISED / "video_0009_x.mp4", **SLOW)
    process = start_builder(data, "data.jobs=2", heed_interrupts=True)
    deadline = time.monotonic() + HANGS
    while not list(data.glob("test/unsupervised/.*.part/x/*_0009.png")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    _, words = process.communicate(timeout=HANGS)
    assert process.returncode == 130, words
    assert not list(data.rglob(".*"))
    assert not (data / TEST_UNSUPERVISED / "video_0009").exists()
    assert not (data / "train.csv").exists()


def test_faster_rival_is_accepted(source_dir, monkeypatch):
    """A worker may outlive its killed run and finish a video that the next run works on."""
    extract = extraction._extract_mp4s

    def let_rival_win(video, part, options):
        record = extract(video, part, options)
        sizes = {side: clip.stat().st_size for side, clip in video.mp4s.items()}
        origin = {"video_fps": options.video_fps, "bytes": sizes, "frame_format": "png"}
        shutil.copytree(part, video.folder)
        (video.folder / extraction.MARKER).write_text(json.dumps(origin | record))
        return record

    monkeypatch.setattr(extraction, "_extract_mp4s", let_rival_win)
    report = build(source_dir)
    assert (report.videos, report.frames, report.extracted) == (9, 43, 0)
    assert not list(source_dir.rglob(".*"))


@pytest.mark.parametrize("name", ["default", "all_30fps", "demo"])
def test_config_holds_the_arguments_of_build_dataset(name):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = compose(f"data/{name}", overrides=["data.source_dir=/data"])
    assert set(cfg) == {"paths", "data"}
    assert set(cfg.data) == set(inspect.signature(build_dataset).parameters)
    assert name == "default" or cfg.data.video_fps == 30


def test_marker_says_what_was_extracted(source_dir):
    build(source_dir)
    folder = source_dir / REAL / "video_0000"
    clips = {side: source_dir / REAL / f"video_0000_{side}.mp4" for side in "xy"}
    assert json.loads((folder / extraction.MARKER).read_text()) == {
        "video_fps": 30,
        "bytes": {side: clip.stat().st_size for side, clip in clips.items()},
        "frame_format": "png",
        "frames": 6,
        "size": [64, 48],
        "frame_bytes": {
            side: sum(path.stat().st_size for path in (folder / side).iterdir()) for side in "xy"
        },
    }


def test_import_is_light():
    code = "import sys, vqe.building.build; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
