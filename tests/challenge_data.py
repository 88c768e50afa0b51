"""A small data set in the challenge's layout, and what tests of the builder ask of it."""

import csv
from pathlib import Path

import cv2
from clips import draw_frame, make_clip

from vqe.building.build import build_dataset

SYNTHETIC = Path("train/supervised/synthetic")
REAL = Path("train/supervised/real")
UNSUPERVISED = Path("train/unsupervised")
TEST_SYNTHETIC = Path("test/supervised/synthetic")
TEST_UNSUPERVISED = Path("test/unsupervised")
CSVS = ("train.csv", "train_minimal.csv", "test.csv", "test_minimal.csv")


def make_images(folder, *, frames=3, width=64, height=48, sides="xy", suffix=".jpg"):
    """Image folders below `folder`: x/00000.jpg and so on."""
    for side in sides:
        (folder / side).mkdir(parents=True)
        for number in range(frames):
            _, data = cv2.imencode(suffix, draw_frame(number, width, height))
            (folder / side / f"{number:05d}{suffix}").write_bytes(data)


def make_data(root):
    """Nine videos, one to three of each subset; the mp4s have 25 frames per second."""
    make_images(root / SYNTHETIC / "video_0000")
    make_images(root / SYNTHETIC / "video_0001", frames=2, suffix=".png")
    make_images(root / TEST_SYNTHETIC / "video_0000")
    for side in "xy":
        make_clip(root / REAL / f"video_0000_{side}.mp4", frames=5)
    for folder, count in ((UNSUPERVISED, 3), (TEST_UNSUPERVISED, 2)):
        for number in range(count):
            make_clip(root / folder / f"video_{number:04d}_x.mp4", frames=4 + number)
    return root


def build(source_dir, **options):
    """Run the builder in this process, at 30 frames per second."""
    return build_dataset(**{"source_dir": source_dir, "video_fps": 30, "jobs": 1} | options)


def read_rows(path):
    """Rows of a CSV as dicts of text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_errors(source_dir):
    """Reason by path."""
    return {row["path"]: row["reason"] for row in read_rows(source_dir / "build_errors.csv")}


def snapshot(root, *, mtime=False):
    """Content, and time of change, of every file."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), mtime and path.stat().st_mtime_ns)
        for path in files
    }
