"""Your own clean footage -> supervised pairs in the challenge's layout.

python synthesize.py source=<clean videos or pictures> data.target_dir=<data>
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from vqe.files import BadFile, report_bad_files
from vqe.locks import hold_folder
from vqe.parallel import map_parallel, open_backend
from vqe.synthesis.degradation import FPS
from vqe.synthesis.plan import Clips, Layout, plan_videos
from vqe.synthesis.presets import Faults, build_faults
from vqe.synthesis.production import make_videos
from vqe.synthesis.record import Record
from vqe.synthesis.sheet import write_sheet
from vqe.synthesis.sources import find_sources, is_picture, read_picture
from vqe.video import VideoError
from vqe.video.frame_index import count_frames

log = logging.getLogger(__name__)

ERRORS_CSV = "synthesis_errors.csv"


class SynthesisError(RuntimeError):
    """Some sources are unusable; the message names them all."""


@dataclass(frozen=True)
class SynthesisReport:
    """What a run found and made."""

    sources: int  # usable ones
    videos: int  # in place now
    made: int  # by this run
    bad: tuple[BadFile, ...]
    sheet: Path | None


def synthesize(
    *,
    source: str | Path,
    target_dir: str | Path,
    ranges: Faults,
    clips: Clips,
    layout: Layout,
    seed: int = 2025,
    sheet_rows: int = 8,
    on_error: str = "raise",
    jobs: int = -1,
    backend: str = "loky",
    dask_address: str | None = None,
) -> SynthesisReport:
    """Make pairs from every source and write synthesis.csv and a contact sheet.

    Args:
        source: a video, a picture, or a folder of them and of folders.
        target_dir: the data folder; videos that it has keep their places.
        ranges: what degradations are drawn from.
        clips: what is cut from each source.
        layout: which subsets the videos go to.
        seed: the same seed and sources give the same files.
        sheet_rows: videos on the contact sheet.
        on_error: "raise" finishes, then raises if a source is bad; "skip" warns. Both list the
            sources in synthesis_errors.csv and make the videos of all others.
        jobs: videos at a time, -1 for one per core.
        backend: joblib's backend; "dask" needs `dask_address`.
        dask_address: of a dask scheduler whose workers see `source` and `target_dir` under the
            same paths.

    Raises:
        FileNotFoundError: there is no source.
        ValueError: an argument is out of range, or the data folder has videos of other settings.
        SynthesisError: sources are bad and `on_error` is "raise", or nothing could be made.
        RuntimeError: dask.distributed is not installed, or there is no scheduler.
        FolderHeldError: another command is writing into `target_dir`.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"expected data.on_error raise or skip, got {on_error!r}")
    source, target_dir = Path(source).absolute(), Path(target_dir).absolute()
    files = find_sources(source, target_dir)
    parallel: dict[str, Any] = {"jobs": jobs, "backend": backend, "dask_address": dask_address}
    root = source if source.is_dir() else source.parent
    options: dict[str, Any] = {"layout": layout, "clips": clips, "ranges": ranges, "seed": seed}
    target_dir.mkdir(parents=True, exist_ok=True)
    with hold_folder(target_dir):
        with open_backend(**parallel):
            totals, bad = _measure_sources(files)
        plans = plan_videos(totals, root, Record(target_dir), **options)
        made, unreadable = make_videos(plans, target_dir, max_size=clips.max_size, **parallel)
        bad += unreadable
        report = SynthesisReport(
            sources=len(files) - len(bad),
            videos=sum(row["frames"] != "" for row in Record(target_dir).rows.values()),
            made=made,
            bad=tuple(bad),
            sheet=write_sheet(target_dir, rows=sheet_rows),
        )
        log.info(
            "%d sources: %d videos made now, %d in %s; contact sheet: %s",
            *(report.sources, made, report.videos, target_dir, report.sheet),
        )
        report_bad_files(
            *(bad, root, target_dir / ERRORS_CSV),
            on_error=on_error,
            error=SynthesisError,
            what="bad sources",
            advice="The others' videos are made. Fix or remove these, or pass over them with "
            "data.on_error=skip",
        )
    if not report.videos:
        raise SynthesisError(f"expected a usable source in {source}, got none: see {ERRORS_CSV}")
    return report


def _measure_sources(files: list[Path]) -> tuple[dict[Path, int | None], list[BadFile]]:
    """Return each usable source's number of frames (None for a picture), and the others."""
    results = map_parallel(_measure_source, files)
    totals, bad = {}, []
    for file, result in zip(
        files, tqdm(results, total=len(files), desc="sources", unit="file"), strict=True
    ):
        if isinstance(result, BadFile):
            bad.append(result)
            log.warning("%s: %s", result.path, result.reason)
        else:
            totals[file] = result
    return totals, bad


def _measure_source(file: Path) -> int | BadFile | None:
    try:
        if is_picture(file):
            read_picture(file)
            return None
        return count_frames(file, FPS)
    except VideoError as e:
        return BadFile(file, e.reason)


def synthesize_as_configured(cfg: DictConfig) -> SynthesisReport:
    """Make the pairs that a config describes."""
    return synthesize(
        source=cfg.source,
        ranges=build_faults(OmegaConf.to_container(cfg.degradation)),
        clips=Clips(**OmegaConf.to_container(cfg.clips)),
        layout=Layout(**OmegaConf.to_container(cfg.layout)),
        seed=cfg.seed,
        sheet_rows=cfg.sheet_rows,
        **cfg.data,
    )
