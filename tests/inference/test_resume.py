"""Cut off at any moment and started again: frame for frame the undisturbed result."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich_clips import describe_file, make_video, read_frames

from vqe.cli import REPOSITORY
from vqe.files import NoSpaceError
from vqe.inference import Enhancer, VideoOptions, enhance_video
from vqe.inference.work_folder import WorkFolder
from vqe.video import VideoError, segments

SHORT = VideoOptions(segment_seconds=0.24, preset="veryfast")  # six frames
FULL = Path("/dev/full")
FULL_ENCODER = """
import os, runpy, sys
os.symlink("/dev/full", f"{sys.argv[2]}/.{os.getpid()}.part")
runpy.run_path(ENCODER, run_name="__main__")
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("source") / "talk.mp4", frames=40, audio=("eng",))


@pytest.fixture(scope="module")
def whole(source, nano_checkpoint, tmp_path_factory):
    """The undisturbed result."""
    target = tmp_path_factory.mktemp("whole") / "talk.mp4"
    report = enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT)
    assert (report.frames, report.resumed) == (40, 0)
    return target


class Stop(Exception):
    pass


def stop_after(frames):
    def on_frames(done, total):
        assert total == 40
        if done >= frames:
            raise Stop

    return on_frames


def same(one, other):
    """Whether two files show the same frames at the same times and hold the same else."""
    (times, pictures), (other_times, other_pictures) = read_frames(one), read_frames(other)
    assert times == other_times
    for planes, other_planes in zip(pictures, other_pictures, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(planes, other_planes, strict=True))
    assert describe_file(one) == describe_file(other)
    return True


@pytest.mark.parametrize("frames", [1, 5, 6, 7, 23, 39, 40])
def test_a_run_that_was_cut_goes_on(source, whole, nano_checkpoint, tmp_path, frames):
    target = tmp_path / "talk.mp4"
    with pytest.raises(Stop):
        enhance_video(
            source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT, stop_after(frames)
        )
    assert not target.exists()
    report = enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT)
    assert report.resumed == (frames - 1) // 6 * 6  # whole segments
    assert same(target, whole)
    assert [p.name for p in tmp_path.iterdir()] == ["talk.mp4"]


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is full")
def test_a_full_disk_is_explained_and_the_next_run_goes_on(
    source, whole, nano_checkpoint, tmp_path, monkeypatch
):
    target = tmp_path / "talk.mp4"
    script = tmp_path / "encoder.py"
    script.write_text(f"ENCODER = {str(segments.ENCODER)!r}\n{FULL_ENCODER}")
    with monkeypatch.context() as patch:
        patch.setattr(segments, "ENCODER", script)
        with pytest.raises(NoSpaceError, match=rf"expected enough space .*{tmp_path}.* MB free"):
            enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT)
    assert not target.exists()
    assert not list(tmp_path.glob("**/.*.part"))
    enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT)
    assert same(target, whole)


def test_a_cut_before_the_end_was_said(source, whole, nano_checkpoint, tmp_path, monkeypatch):
    """All segments are there, the short last one too, but not the word that it is the last."""
    target = tmp_path / "talk.mp4"

    def stop(self):
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(WorkFolder, "set_complete", stop)
        enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT)
    report = enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT)
    assert report.resumed == 36
    assert same(target, whole)


def test_a_cut_while_joining(source, whole, nano_checkpoint, tmp_path, monkeypatch):
    target = tmp_path / "talk.mp4"

    def stop(*arguments, **options):
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr("vqe.inference.video_file.join_segments", stop)
        enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT)
    report = enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT)
    assert (report.resumed, report.frames) == (40, 40)
    assert same(target, whole)


@pytest.mark.parametrize("change", ["option", "source", "weights"])
def test_what_changed_starts_anew_and_says_so(
    source, nano_checkpoint, nano_onnx, tmp_path, caplog, change
):
    clip, target = tmp_path / "clip.mp4", tmp_path / "talk.mp4"
    clip.write_bytes(source.read_bytes())
    with pytest.raises(Stop):
        enhance_video(clip, target, Enhancer(nano_checkpoint, device="cpu"), SHORT, stop_after(20))
    options, weights = SHORT, nano_checkpoint
    if change == "option":
        options = VideoOptions(segment_seconds=0.24, preset="veryfast", crf=30)
    elif change == "source":
        os.utime(clip, (1, 1))
    else:
        weights = nano_onnx
    report = enhance_video(clip, target, Enhancer(weights, device="cpu"), options)
    assert report.resumed == 0
    word = {"option": "encoder", "source": "source", "weights": "network"}[change]
    assert f"starts anew, as this changed: {word}" in caplog.text


def test_a_target_that_was_there_stays_until_the_new_one_is_whole(
    source, nano_checkpoint, tmp_path
):
    target = tmp_path / "talk.mp4"
    target.write_bytes(b"old")
    with pytest.raises(Stop):
        enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT, stop_after(9))
    assert target.read_bytes() == b"old"


def test_two_processes_do_not_make_one_target(source, nano_checkpoint, tmp_path):
    target = tmp_path / "talk.mp4"
    enhancer = Enhancer(nano_checkpoint, device="cpu")

    def start_second(done, total):
        with pytest.raises(ValueError, match="second one"):
            enhance_video(source, target, Enhancer(nano_checkpoint, device="cpu"), SHORT)

    enhance_video(source, target, enhancer, SHORT, start_second)


def test_an_encoder_that_dies_is_said(source, nano_checkpoint, tmp_path):
    options = VideoOptions(encoder={"x264-params": "threads=1:nonsense=1"}, preset="nonsense")
    with pytest.raises(VideoError, match="cannot be encoded"):
        enhance_video(source, tmp_path / "a.mp4", Enhancer(nano_checkpoint, device="cpu"), options)
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.slow
def test_killed_at_random_moments(source, nano_checkpoint, tmp_path):
    """SIGKILL to the process as it runs, again and again, until it comes to its end."""
    long = make_video(tmp_path / "long.mp4", frames=250, audio=("eng",), width=320, height=240)
    command = [
        *(sys.executable, str(REPOSITORY / "vqe" / "enhance.py"), f"input={long}"),
        *(f"weights={nano_checkpoint}", "segment_seconds=0.4", "device=cpu", "progress=json"),
    ]
    subprocess.run([*command, f"output={tmp_path / 'whole.mp4'}"], check=True, cwd=tmp_path)
    target, chance, kills = tmp_path / "cut.mp4", random.Random(4), 0
    for _ in range(40):
        process = subprocess.Popen(
            [*command, f"output={target}"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        )
        first = json.loads(process.stdout.readline())  # it is at work
        if first["state"] == "running" and kills < 6:
            time.sleep(chance.uniform(0, 1.0))
        else:
            process.wait()
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        process.stdout.close()
        if process.returncode == 0:
            break
        assert not target.exists()
    assert kills >= 2
    assert same(target, tmp_path / "whole.mp4")
