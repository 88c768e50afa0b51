"""Damaged and hostile input of every kind: an error by name, in time, and nothing outside.

Seeds are fixed. What a reader takes must be right: finite numbers, the shapes that it promised.
"""

import csv
import faulthandler
import gzip
import importlib.util
import io
import json
import math
import random
import signal
import sys
import zipfile
from contextlib import contextmanager

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from challenge_data import build, make_data
from clips import draw_frame, make_clip
from download_data import FILES, TRAIN, TRAIN_BYTES
from file_server import pack
from safetensors.torch import save

from vqe.building.build import BuildError
from vqe.cli import REPOSITORY
from vqe.critics import UNetLite
from vqe.critics.weights import load_weights
from vqe.data.index import read_index
from vqe.data.reading import FrameReader
from vqe.data.rows import FrameRows
from vqe.downloading.archive import unpack_archive
from vqe.downloading.connection import DownloadError
from vqe.downloading.verify import Counts
from vqe.inference import Enhancer
from vqe.inference.pictures import enhance_picture
from vqe.mistakes import find_status
from vqe.synthesis.sources import read_picture
from vqe.training.checkpoints import load_network
from vqe.video import VideoFrames, iter_frames, probe_video
from vqe.video.facts import probe_facts
from vqe.video.timed import Cut, read_timed

pytestmark = pytest.mark.slow

CASE_SECONDS = 60  # on a busy machine; a case takes some hundredths
NUMBERS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00010000)
WORDS = ("", "nan", "inf", "-1", "1e999", "99999999999999999999", "0.5", "../x", "/etc/hostname")
WORDS = (*WORDS, "a\\..\\..\\b", '"', "\0", "\n", ",", "ü", "=1+1", "video_0001", "x" * 5000)


class Hang(BaseException):
    """A case did not end in time."""


def mutate(data, rng):
    """Return bytes with one to three faults."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data)) if data else 0
        length = rng.choice((1, 4, 64, 512))
        fault = rng.randrange(7)
        if fault == 0:
            for _ in range(rng.randint(1, 8)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif fault == 1:
            del data[max(at, 1) :]
        elif fault == 2:
            data[at:at] = rng.randbytes(length)
        elif fault == 3:
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif fault == 4:
            data[at:at] = data[at // 2 : at // 2 + length]
        elif fault == 5:
            data[at : at + 4] = rng.choice(NUMBERS).to_bytes(4, rng.choice(("big", "little")))
        else:
            del data[at : at + length]
    return bytes(data) or b"\0"


def mutate_table(text, rng):
    """Return a CSV's bytes with some cells replaced, or a fault as of any bytes."""
    if rng.random() < 0.4:
        return mutate(text.encode(), rng)
    rows = list(csv.reader(io.StringIO(text)))
    for _ in range(rng.randint(1, 3)):
        row = rng.choice(rows)
        if row:
            row[rng.randrange(len(row))] = rng.choice(WORDS)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


@contextmanager
def in_time():
    """Raise `Hang` in Python, and end the process where a library hangs."""

    def end(*_):
        raise Hang(f"a case took more than {CASE_SECONDS} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(CASE_SECONDS)
    faulthandler.dump_traceback_later(2 * CASE_SECONDS, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def try_reader(reader, *arguments):
    """Return whether a reader took its input; what it raises must be a mistake told by name."""
    with in_time():
        try:
            reader(*arguments)
        except (AssertionError, pytest.fail.Exception):
            raise
        except Exception as error:
            assert find_status(error) is not None, f"raw {type(error).__name__}: {error}"
            assert str(error).strip()
            return False
    return True


def fuzz(cases, seed, make, reader, folder):
    """Run cases; each starts from its own seed. Returns how many were taken.

    Args:
        make: (rng, folder) -> arguments of the reader.
        folder: where all files of the cases lie, and nothing else appears beside it.
    """
    beside = sorted(folder.parent.iterdir())
    taken = 0
    for number in range(cases):
        rng = random.Random(f"{seed} {number}")
        try:
            taken += try_reader(reader, *make(rng, folder))
        except BaseException as error:
            error.add_note(f"case {seed} {number}") if hasattr(error, "add_note") else None
            raise
        assert sorted(folder.parent.iterdir()) == beside
    return taken


def replace(folder, name, content):
    """Write a file under a name of its own: what readers recall of another must not count."""
    replace.number += 1
    path = folder / f"{replace.number}_{name}"
    path.write_bytes(content)
    return path


replace.number = 0


@pytest.fixture
def folder(tmp_path):
    """A folder in one that holds a file of the user's."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


VIDEOS = {
    "h264.mp4": {"audio": True},
    "h264.mov": {"rotation": 90},
    "times.mp4": {"times": [0, 40, 55, 140, 233, 250, 301]},
    "h264.mkv": {},
    "mpeg2.ts": {"codec": "mpeg2video"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "vp9.webm": {"codec": "libvpx-vp9", "frames": 4},
    "ffv1.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p"},
}


def read_video(path, *, whole=False):
    """Read a video as every command does: header, frames in order, by number, and with times.

    A frame whose damage the decoder hides is filled from what was decoded before it, so that only
    of whole files the pixels are the same in any order.
    """
    info = probe_video(path)
    assert info.width > 0 and info.height > 0
    assert info.fps is None or math.isfinite(info.fps)
    shapes, frames = set(), 0
    for frame in iter_frames(path):
        assert frame.dtype == np.uint8
        shapes.add(frame.shape)
        frames += 1
        last = frame
    assert shapes == {(info.height, info.width, 3)}
    videos = VideoFrames(path, 30)
    by_number = videos.read(frames - 1)
    assert by_number.shape == last.shape
    if whole:
        np.testing.assert_array_equal(by_number, last)
    videos.close()
    facts = probe_facts(path)
    for timed in read_timed(path, facts, Cut()):
        assert timed.planes.shape[-2:] == (facts.height, facts.width)
        assert timed.duration >= 0


@pytest.mark.parametrize("name", VIDEOS)
def test_videos(folder, name):
    path = make_clip(folder / name, **VIDEOS[name])
    read_video(path, whole=True)
    data = path.read_bytes()

    def make(rng, folder):
        return (replace(folder, name, mutate(data, rng)),)

    fuzz(100, name, make, read_video, folder)


def test_tables(folder):
    (folder / "a").mkdir()
    for name in ("x", "y"):
        cv2.imwrite(str(folder / f"a/{name}.png"), draw_frame(0, 64, 48))
    make_clip(folder / "a/v.mp4", frames=4)
    rows = ["img_source,img_target,h,w,subset,video_id,frame,fps"]
    rows += ["a/x.png,a/y.png,48,64,train_supervised_real,video_0001,,"] * 3
    rows += [f"a/v.mp4,,48,64,train_unsupervised,video_0002,{i},25" for i in range(4)]

    def read(path):
        table = read_index(path)
        reader = FrameReader(folder, str(path), open_videos=1, threads=1)
        for row in FrameRows(table):
            assert "/" not in row.video_id and ".." not in row.video_id.split("\\")
            for column in ("img_source", "img_target"):
                if row.paths[column]:
                    inside = (folder / row.paths[column]).resolve().is_relative_to(folder)
                    assert inside
                    assert reader.read(row, column).shape == (row.h, row.w, 3)

    def make(rng, folder):
        return (replace(folder, "train.csv", mutate_table("\n".join(rows) + "\n", rng)),)

    assert try_reader(read, replace(folder, "train.csv", ("\n".join(rows) + "\n").encode()))
    fuzz(300, "tables", make, read, folder)


def check_network(network):
    for name, value in network.state_dict().items():
        assert torch.isfinite(value).all(), name
    return network


def test_checkpoints_of_networks(folder, nano_checkpoint):
    data = nano_checkpoint.read_bytes()
    shapes = {k: v.shape for k, v in load_network(nano_checkpoint)[0].state_dict().items()}

    def read(path):
        network = check_network(load_network(path)[0])
        assert {k: v.shape for k, v in network.state_dict().items()} == shapes

    def make(rng, folder):
        return (replace(folder, "best.ckpt", mutate(data, rng)),)

    fuzz(150, "checkpoints", make, read, folder)


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_weights_of_critics(folder, suffix):
    widths, depths = (4, 8), (1, 1)
    state = {k: v.contiguous() for k, v in UNetLite(widths, depths).state_dict().items()}
    if suffix == "ckpt":
        buffer = io.BytesIO()
        torch.save({"state_dict": state}, buffer)
        data = buffer.getvalue()
    else:
        data = save(state)

    def read(path):
        check_network(load_weights(UNetLite(widths, depths), path))

    def make(rng, folder):
        return (replace(folder, f"VQA.{suffix}", mutate(data, rng)),)

    assert try_reader(read, replace(folder, f"VQA.{suffix}", data))
    fuzz(60, suffix, make, read, folder)


@pytest.mark.parametrize("inner", [True, False])
def test_archives(folder, inner):
    """Faults in the tar within the gzip, and of the gzip."""
    tar = pack(TRAIN, "w")

    def make(rng, folder):
        if inner:
            return (replace(folder, "train.tar.gz", gzip.compress(mutate(tar, rng), 1)),)
        return (replace(folder, "train.tar.gz", mutate(gzip.compress(tar), rng)),)

    def read(path):
        target = folder / f"{path.name}.train"
        try:
            counts = unpack_archive(path, target, Counts(FILES, TRAIN_BYTES))
            assert counts == Counts(FILES, TRAIN_BYTES)
        except DownloadError:
            assert not target.exists()
            assert not list(folder.glob(".*.part"))
            raise

    fuzz(120, f"archives {inner}", make, read, folder)


def load_score():
    path = REPOSITORY / "codalab_scoring/score.py"
    spec = importlib.util.spec_from_file_location("score", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_submissions(folder, capsys):
    score = load_score()
    tables = {
        score.SUPERVISED_CSV: "video_i,rmse\nvideo_0001,0.05\nvideo_0002,0.15\n",
        score.UNSUPERVISED_CSV: ",".join(score.COLUMNS[score.UNSUPERVISED_CSV])
        + "".join(f"\nvideo_000{i}" + ",0.5" * 12 for i in range(3)),
    }

    def zip_up(content):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return buffer.getvalue()

    def make(rng, folder):
        if rng.random() < 0.5:
            return (replace(folder, "results.zip", mutate(zip_up(tables), rng)),)
        name = rng.choice(list(tables))
        content = tables | {name: mutate_table(tables[name], rng)}
        return (replace(folder, "results.zip", zip_up(content)),)

    def read(path):
        options = ["--supervised", "2", "--unsupervised", "3", "--json"]
        status = score.main(["--results", str(path), *options])
        out, err = capsys.readouterr()
        assert status in (0, 2)
        if status == 0:
            assert math.isfinite(json.loads(out)["score"]) and not err
        else:
            assert err.startswith("error: ") and err.count("\n") == 1 and not out

    assert fuzz(800, "submissions", make, read, folder) == 800


PICTURES = (".png", ".jpg", ".tif", ".webp", ".bmp")


@pytest.mark.parametrize("suffix", PICTURES)
def test_pictures(folder, nano_checkpoint, suffix):
    data = cv2.imencode(suffix, draw_frame(0, 64, 48))[1].tobytes()
    enhancer = Enhancer(nano_checkpoint, device="cpu")

    def make(rng, folder):
        return (replace(folder, f"a{suffix}", mutate(data, rng)),)

    def read(path):
        target = folder / f"out_{path.name}"
        try:
            enhance_picture(path, target, enhancer, compare=False)
        except BaseException:
            assert not target.exists()
            raise
        assert cv2.imread(str(target)) is not None

    def read_clean(path):
        picture = read_picture(path)
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.size

    fuzz(60, suffix, make, read, folder)
    fuzz(60, suffix, make, read_clean, folder)


def test_data_folders(folder):
    """A build leaves out what is bad, and what its CSVs name can be read."""
    make_data(folder / "data")
    files = sorted(path for path in (folder / "data").rglob("*") if path.is_file())
    whole = {path: path.read_bytes() for path in files}

    def make(rng, folder):
        for path, data in whole.items():
            path.write_bytes(mutate(data, rng) if rng.random() < 0.2 else data)
        return (folder / "data",)

    def read(data):
        try:
            report = build(data, on_error="skip", source="video")
        except BuildError:
            return
        assert report.videos
        for path in report.csvs:
            table = pd.read_csv(path)
            assert (table[["h", "w"]] > 0).all(axis=None)
            if len(table):
                read_index(path)

    fuzz(30, "data", make, read, folder)
