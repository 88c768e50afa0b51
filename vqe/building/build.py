"""Data folder in the challenge's layout -> the CSVs that training reads, and extracted frames.

python dataset_builder.py --config-name data/all_30fps data.source_dir=<data>
python dataset_builder.py --config-name data/all_30fps data.source_dir=<data> data.source=video
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqe.building.discovery import find_videos
from vqe.building.options import FrameOptions, check_choice, check_count
from vqe.building.preparation import PreparedVideo
from vqe.building.tables import FrameTable
from vqe.building.workers import prepare_videos
from vqe.files import BadFile, report_bad_files, write_rows
from vqe.layout import FOLDERS, LAYOUT
from vqe.locks import hold_folder
from vqe.schema import TEST_SUBSETS, TRAIN_SUBSETS

log = logging.getLogger(__name__)

PARTS = {"train": TRAIN_SUBSETS, "test": TEST_SUBSETS}
ERRORS_CSV = "build_errors.csv"


class BuildError(RuntimeError):
    """Some files are unusable; the message names them all."""


@dataclass(frozen=True)
class BuildReport:
    """What a build found and wrote."""

    videos: int  # usable ones
    frames: int
    extracted: int  # videos whose frames were made by this run
    bad: tuple[BadFile, ...]
    csvs: tuple[Path, ...]


def build_dataset(
    *,
    source_dir: str | Path,
    video_fps: int,
    source: str = "frames",
    frame_format: str = "png",
    jpg_quality: int = 95,
    verify: str = "all",
    on_error: str = "raise",
    minimal_videos: int = 4,
    minimal_frames: int = 30,
    jobs: int = -1,
    backend: str = "loky",
    dask_address: str | None = None,
) -> BuildReport:
    """Extract frames where they are missing and write the CSVs into `source_dir`.

    Args:
        source_dir: the folder that holds train/ or test/ or both.
        video_fps: frames per second to take from mp4s.
        source: "frames" extracts the mp4s' frames; "video" extracts nothing: rows name the mp4
            and, in two more columns, the frame's number at `video_fps` and this rate.
        frame_format: of extracted frames, "png" (lossless) or "jpg".
        jpg_quality: 1 to 100, for "jpg".
        verify: images whose headers are read, where no extraction recorded them: "all", or the
            "first" of each folder, which then stands for the others, and every empty file.
        on_error: "raise" finishes, writes no frame CSV and raises if a file is bad; "skip" leaves
            out videos with bad files. Both list the files in build_errors.csv.
        minimal_videos: videos of each subset in the minimal CSVs.
        minimal_frames: frames of each of these videos.
        jobs: videos at a time, -1 for one per core.
        backend: joblib's backend; "dask" needs `dask_address`.
        dask_address: of a dask scheduler whose workers see `source_dir` under the same path.

    Raises:
        FileNotFoundError: `source_dir` holds no video at all.
        BuildError: files are bad and `on_error` is "raise", or nothing usable is left.
        ValueError: an argument is out of range.
        RuntimeError: dask.distributed is not installed, or there is no scheduler.
        FolderHeldError: another command is writing into `source_dir`.
    """
    check_choice("on_error", on_error, ("raise", "skip"))
    minimal = {"videos": minimal_videos, "frames": minimal_frames}
    for name, value in minimal.items():
        check_count(f"minimal_{name}", value)
    options = FrameOptions(video_fps, source, frame_format, jpg_quality, verify)
    parallel = {"jobs": jobs, "backend": backend, "dask_address": dask_address}
    source_dir = Path(source_dir).absolute()
    if not any((source_dir / folder).is_dir() for folder in FOLDERS.values()):
        raise FileNotFoundError(f"expected videos in {source_dir}, got none. Layout:\n{LAYOUT}")
    with hold_folder(source_dir):
        prepared, bad = _prepare(source_dir, options, parallel)
        report_bad_files(
            *(bad, source_dir, source_dir / ERRORS_CSV),
            on_error=on_error,
            error=BuildError,
            advice="Fix them, or leave their videos out with data.on_error=skip",
        )
        usable = [item for item in prepared if not item.bad]
        if not usable:
            raise BuildError(f"expected a usable video in {source_dir}, got none: see {ERRORS_CSV}")
        csvs = _write_tables(usable, source_dir, video_fps if source == "video" else None, minimal)
    report = BuildReport(
        videos=len(usable),
        frames=sum(item.frames for item in usable),
        extracted=sum(item.extracted for item in usable),
        bad=tuple(bad),
        csvs=tuple(csvs),
    )
    log.info(
        "%d videos (%d extracted now), %d frames, %d bad files; wrote %s",
        *(report.videos, report.extracted, report.frames, len(bad)),
        ", ".join(path.name for path in csvs),
    )
    return report


def _prepare(
    source_dir: Path, options: FrameOptions, parallel: dict[str, Any]
) -> tuple[list[PreparedVideo], list[BadFile]]:
    """Find and prepare all videos; return them and all bad files, those of videos too."""
    videos, bad = find_videos(source_dir)
    if not videos and not bad:
        raise FileNotFoundError(f"expected videos in {source_dir}, got none. Layout:\n{LAYOUT}")
    prepared = prepare_videos(videos, options, **parallel)
    return prepared, bad + [file for item in prepared for file in item.bad]


def _write_tables(
    usable: list[PreparedVideo], source_dir: Path, video_fps: int | None, minimal: dict[str, int]
) -> list[Path]:
    written = []
    for part, subsets in PARTS.items():
        items = [item for item in usable if item.video.subset in subsets]
        if not items:
            log.warning("no usable video below %s/: %s.csv is not written", part, part)
            continue
        table = FrameTable(items, source_dir, video_fps)
        for name, rows in (
            (f"{part}.csv", table.rows()),
            (f"{part}_minimal.csv", table.minimal_rows(**minimal)),
        ):
            write_rows(table.columns, rows, source_dir / name)
            written.append(source_dir / name)
    return written
