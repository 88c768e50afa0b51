"""Prepared videos -> one table of frames, and its minimal cut."""

from pathlib import Path

import pandas as pd

from vqe.building.preparation import PreparedVideo
from vqe.schema import FRAME_COLUMNS, VIDEO_KEY


def build_table(prepared: list[PreparedVideo], source_dir: Path) -> pd.DataFrame:
    """Give each frame a row of `FRAME_COLUMNS`, in the order of the videos."""
    columns: dict[str, list] = {name: [] for name in FRAME_COLUMNS}
    for item in prepared:
        count = len(item.names)
        folder = item.video.folder.relative_to(source_dir).as_posix()
        has_target = "y" in item.video.sides
        columns["img_source"] += [f"{folder}/x/{name}" for name in item.names]
        columns["img_target"] += [f"{folder}/y/{name}" if has_target else "" for name in item.names]
        columns["w"] += [width for width, _ in item.sizes]
        columns["h"] += [height for _, height in item.sizes]
        columns["subset"] += [item.video.subset] * count
        columns["video_id"] += [item.video.video_id] * count
    return pd.DataFrame(columns)


def cut_table(table: pd.DataFrame, *, videos: int, frames: int) -> pd.DataFrame:
    """Keep the first `frames` frames of the first `videos` videos of each subset."""
    keys = table[VIDEO_KEY].drop_duplicates()
    kept = keys.groupby("subset", sort=False).head(videos)
    return table.merge(kept, on=VIDEO_KEY).groupby(VIDEO_KEY, sort=False).head(frames)
