"""synthesis.csv: every video that was planned, with its parameters, and which of them are made."""

import re
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from vqe.files import read_csv, write_csv
from vqe.layout import FOLDERS
from vqe.schema import SUBSETS, VIDEO_FOLDER
from vqe.synthesis.parameters import Parameters

FILE = "synthesis.csv"
MADE = ("frames", "h264_kbps")  # blank until a video is made; kbps also where there is no H.264
SAVE_SECONDS = 5

Place = tuple[str, str]  # subset, video_id
Row = dict[str, str]


class Record:
    """The rows of a data folder's synthesis.csv, by place.

    Args:
        target_dir: the data folder.
    """

    def __init__(self, target_dir: Path) -> None:
        self.target_dir = target_dir
        self.path = target_dir / FILE
        self.rows: dict[Place, Row] = {}
        self._saved = 0.0
        if self.path.is_file():
            table = read_csv(self.path, dtype=str, keep_default_na=False)
            # a file of before a fault was known has none of it
            neutral = Parameters().to_row()
            rows = [
                row | {k: v for k, v in neutral.items() if k not in row}
                for row in table.to_dict("records")
            ]
            self.rows = {self._check_place(row): row for row in rows}
        self._places = {(r["source"], int(r["clip"])): place for place, r in self.rows.items()}

    def _check_place(self, row: Row) -> Place:
        """Return a row's place, which must be one in the challenge's layout."""
        subset, video_id = row.get("subset"), row.get("video_id")
        if subset not in SUBSETS or not VIDEO_FOLDER.match(str(video_id)):
            raise ValueError(
                f"expected subset and video_id as synthesize.py writes them, got {subset!r} and "
                f"{video_id!r} ({self.path}). Remove the file, or begin in another folder"
            )
        return subset, video_id

    def find_place(self, source: str, clip: int) -> Place | None:
        """Return where a source's clip went before."""
        return self._places.get((source, clip))

    def held_out(self) -> dict[str, bool]:
        """Return for each source whether its clips are for test."""
        return {row["source"]: subset.startswith("test") for (subset, _), row in self.rows.items()}

    def next_number(self, subset: str) -> int:
        """Return a number above all videos that a subset has, on disk or planned."""
        folder = self.target_dir / FOLDERS[subset]
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        names += [video_id for known, video_id in self.rows if known == subset]
        numbers = (re.match(r"video_(\d+)", name) for name in names)
        return 1 + max((int(match[1]) for match in numbers if match), default=0)

    def add(self, plan_row: Mapping[str, str]) -> bool:
        """Take in a planned video; return whether it is already made.

        Raises:
            ValueError: its place holds a video of other settings.
        """
        place = (plan_row["subset"], plan_row["video_id"])
        known = self.rows.get(place)
        if known is None:
            self.rows[place] = dict(plan_row) | dict.fromkeys(MADE, "")
            return False
        for column, value in plan_row.items():
            if column == "severity":  # follows from the others
                known[column] = value
            elif known.get(column) != value:
                raise ValueError(
                    f"expected {column} {value!r} as now asked for, got {known.get(column)!r} "
                    f"({self.path}, {place[0]}/{place[1]}). Go back to the settings of that run, "
                    "or make the new videos in another data.target_dir"
                )
        return known["frames"] != "" and is_complete(self.target_dir, place, int(known["frames"]))

    def set_made(self, place: Place, frames: int, kbps: float | None) -> None:
        """Note that a video is made; saved every few seconds."""
        self.rows[place] |= {"frames": str(frames), "h264_kbps": f"{kbps:.1f}" if kbps else ""}
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def drop(self, places: list[Place]) -> None:
        """Forget videos that cannot be made."""
        for place in places:
            self.rows.pop(place, None)

    def save(self) -> None:
        """Write the file, sorted by place."""
        order = sorted(self.rows, key=lambda place: (place[0], len(place[1]), place[1]))
        rows = [self.rows[place] for place in order]
        columns = list(rows[0]) if rows else ["subset", "video_id", "source", "clip", *MADE]
        write_csv(pd.DataFrame(rows, columns=columns), self.path)
        self._saved = time.monotonic()


def video_paths(target_dir: Path, place: Place) -> dict[str, Path]:
    """Return a video's two image folders or mp4s, by side; no y where there is no target."""
    subset, video_id = place
    folder = target_dir / FOLDERS[subset]
    if subset.endswith("synthetic"):
        return {side: folder / video_id / side for side in "xy"}
    sides = "x" if subset.endswith("unsupervised") else "xy"
    return {side: folder / f"{video_id}_{side}.mp4" for side in sides}


def is_complete(target_dir: Path, place: Place, frames: int) -> bool:
    """Check that a video's files are there, images in full number."""
    paths = video_paths(target_dir, place).values()
    if place[0].endswith("synthetic"):
        return all(path.is_dir() and len(list(path.glob("*.jpg"))) == frames for path in paths)
    return all(path.is_file() for path in paths)
