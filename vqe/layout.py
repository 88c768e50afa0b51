"""The challenge's folders and file names, and which files count as videos."""

from pathlib import Path

from vqe.schema import SUBSETS

LAYOUT = """\
train/supervised/synthetic/video_XXXX/{x,y}/*.jpg
train/supervised/real/video_XXXX_{x,y}.mp4
train/unsupervised/video_XXXX_x.mp4
test/supervised/synthetic/video_XXXX/{x,y}/*.jpg
test/unsupervised/video_XXXX_x.mp4"""

FOLDERS = {subset: Path(*subset.split("_")) for subset in SUBSETS}  # train_x -> train/x
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
