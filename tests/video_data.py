"""A data folder of videos whose CSVs name extracted images, and the same CSVs naming the videos."""

from pathlib import PurePosixPath

import cv2
import pandas as pd
from challenge_data import REAL, TEST_SYNTHETIC, TEST_UNSUPERVISED, UNSUPERVISED, build, make_images
from clips import make_clip

FPS = 30


def make_videos(root):
    """Two or three videos of each subset, of 25 fps and of variable rate, and one of images."""
    times = [0, 40, 55, 140, 233, 250, 301]
    for number in range(2):
        for side in "xy":
            make_clip(
                root / REAL / f"video_{number:04d}_{side}.mp4", frames=7, rotation=90 * number
            )
        make_clip(root / UNSUPERVISED / f"video_{number:04d}_x.mp4", frames=8)
    make_clip(root / TEST_UNSUPERVISED / "video_0000_x.mp4", times=times)
    make_clip(root / TEST_UNSUPERVISED / "video_0001_x.mp4", frames=6, rotation=90)
    make_images(root / TEST_SYNTHETIC / "video_0000")
    for path in (root / TEST_SYNTHETIC / "video_0000" / "x").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path)) // 2)
    make_clip(root / "odd.mp4", width=65, height=47, pix_fmt="yuv444p").replace(
        root / TEST_UNSUPERVISED / "video_0002_x.mp4"
    )
    return root


def make_video_folder(root):
    """Videos, extracted images, and CSVs of each."""
    build(make_videos(root), video_fps=FPS)
    for name in ("train", "test"):
        table = pd.read_csv(root / f"{name}.csv", dtype=str, keep_default_na=False)
        name_videos(table).to_csv(root / f"{name}_video.csv", index=False)
    return root


def name_videos(table):
    """Rows of extracted images as rows of their videos: .../video_0000/x/frame_0001.png is the
    first frame of .../video_0000_x.mp4.
    """
    table = table.assign(frame="", fps="")
    for i, row in table.iterrows():
        image = PurePosixPath(row["img_source"])
        if "synthetic" in row["subset"]:
            continue
        table.loc[i, ["frame", "fps"]] = [str(int(image.stem.removeprefix("frame_")) - 1), str(FPS)]
        for column, side in (("img_source", "x"), ("img_target", "y")):
            if row[column]:
                table.loc[i, column] = f"{image.parents[1]}_{side}.mp4"
    return table
