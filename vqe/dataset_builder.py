"""Data folder in the challenge's layout -> extracted frames and the CSVs that training reads.

python dataset_builder.py --config-name data/all_30fps data.source_dir=<data>
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import hydra
import joblib
import pandas as pd
from omegaconf import DictConfig
from tqdm import tqdm

import vqe.config  # noqa: F401  (the configs need its resolver)
from vqe.building.layout import LAYOUT, BadFile, SourceVideo, find_videos
from vqe.building.preparation import PreparedVideo, prepare_video
from vqe.building.tables import build_table, cut_table
from vqe.csv_file import write_csv
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
    on_error: str = "raise",
    minimal_videos: int = 4,
    minimal_frames: int = 30,
    jobs: int = -1,
    backend: str = "loky",
) -> BuildReport:
    """Extract frames where they are missing and write the CSVs into `source_dir`.

    Args:
        source_dir: the folder that holds train/ or test/ or both.
        video_fps: frames per second to extract mp4s at.
        on_error: "raise" finishes, writes no frame CSV and raises if a file is bad; "skip" leaves
            out videos with bad files. Both list the files in build_errors.csv.
        minimal_videos: videos of each subset in the minimal CSVs.
        minimal_frames: frames of each of these videos.
        jobs: videos at a time, -1 for one per core.
        backend: joblib's backend.

    Raises:
        FileNotFoundError: `source_dir` holds no video at all.
        BuildError: files are bad and `on_error` is "raise", or nothing usable is left.
        ValueError: an argument is out of range.
    """
    _check_options(on_error, video_fps, minimal_videos, minimal_frames)
    source_dir = Path(source_dir).absolute()
    videos, bad = find_videos(source_dir)
    if not videos and not bad:
        raise FileNotFoundError(f"expected videos in {source_dir}, got none. Layout:\n{LAYOUT}")
    prepared = _prepare_videos(videos, video_fps, jobs, backend)
    bad += [file for item in prepared for file in item.bad]
    usable = [item for item in prepared if not item.bad]
    _report_bad(bad, source_dir, on_error)
    if not usable:
        raise BuildError(f"expected a usable video in {source_dir}, got none: see {ERRORS_CSV}")
    csvs = _write_tables(usable, source_dir, minimal_videos, minimal_frames)
    report = BuildReport(
        videos=len(usable),
        frames=sum(len(item.names) for item in usable),
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


def _check_options(on_error: str, *counts: int) -> None:
    if on_error not in ("raise", "skip"):
        raise ValueError(f"expected data.on_error raise or skip, got {on_error!r}")
    for name, value in zip(("video_fps", "minimal_videos", "minimal_frames"), counts, strict=True):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"expected data.{name} to be a whole number above 0, got {value!r}")


def _prepare_videos(
    videos: list[SourceVideo], fps: int, jobs: int, backend: str
) -> list[PreparedVideo]:
    """Prepare all videos in parallel and return them in the order given."""
    parallel = joblib.Parallel(n_jobs=jobs, backend=backend, return_as="generator_unordered")
    results = parallel(joblib.delayed(prepare_video)(video, fps) for video in videos)
    done = {}
    for item in tqdm(results, total=len(videos), desc="videos", unit="video"):
        done[item.video.folder] = item
    return [done[video.folder] for video in videos]


def _report_bad(bad: list[BadFile], source_dir: Path, on_error: str) -> None:
    """List the bad files, none too, in a CSV; then warn or raise."""
    rows = [(file.path.relative_to(source_dir).as_posix(), file.reason) for file in bad]
    write_csv(pd.DataFrame(rows, columns=["path", "reason"]), source_dir / ERRORS_CSV)
    if bad and on_error == "raise":
        listing = "\n".join(f"  {path}: {reason}" for path, reason in rows)
        raise BuildError(
            f"{len(bad)} bad files in {source_dir} (also in {ERRORS_CSV}):\n{listing}\n"
            "Mend them, or leave their videos out with data.on_error=skip"
        )
    if bad:
        log.warning("%d bad files left out with their videos: see %s", len(bad), ERRORS_CSV)


def _write_tables(
    usable: list[PreparedVideo], source_dir: Path, minimal_videos: int, minimal_frames: int
) -> list[Path]:
    written = []
    for part, subsets in PARTS.items():
        items = [item for item in usable if item.video.subset in subsets]
        if not items:
            log.warning("no usable video below %s/: %s.csv is not written", part, part)
            continue
        table = build_table(items, source_dir)
        minimal = cut_table(table, videos=minimal_videos, frames=minimal_frames)
        for name, rows in ((f"{part}.csv", table), (f"{part}_minimal.csv", minimal)):
            write_csv(rows, source_dir / name)
            written.append(source_dir / name)
    return written


@hydra.main(version_base="1.3", config_path="../conf", config_name="data/all_30fps")
def main(cfg: DictConfig) -> None:
    """Build the data set that the config's `data` describes."""
    build_dataset(**cfg.data)


if __name__ == "__main__":
    main()
