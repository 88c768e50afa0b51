"""Clean footage of one's own -> supervised pairs in the challenge's layout.

python synthesize.py source=<clean videos or pictures> data.source_dir=<data>
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import joblib
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from vqe.files import BadFile, write_csv
from vqe.parallel import open_backend
from vqe.synthesis import Ranges
from vqe.synthesis.degradation import FPS
from vqe.synthesis.plan import Clips, Layout, plan_videos
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
    source_dir: str | Path,
    ranges: Ranges,
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
        source_dir: the data folder; videos that it has keep their places.
        ranges: what degradations are drawn from.
        clips: what is cut from each source.
        layout: which subsets the videos go to.
        seed: the same seed and sources give the same files.
        sheet_rows: videos on the contact sheet.
        on_error: "raise" finishes, then raises if a source is bad; "skip" warns. Both list the
            sources in synthesis_errors.csv and make the videos of all others.
        jobs: videos at a time, -1 for one per core.
        backend: joblib's backend; "dask" needs `dask_address`.
        dask_address: of a dask scheduler whose workers see `source` and `source_dir` under the
            same paths.

    Raises:
        FileNotFoundError: there is no source.
        ValueError: an argument is out of range, or the data folder has videos of other settings.
        SynthesisError: sources are bad and `on_error` is "raise", or nothing could be made.
        RuntimeError: dask.distributed is not installed, or there is no scheduler.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"expected data.on_error raise or skip, got {on_error!r}")
    source, source_dir = Path(source).absolute(), Path(source_dir).absolute()
    files = find_sources(source, source_dir)
    parallel = {"jobs": jobs, "backend": backend, "dask_address": dask_address}
    with open_backend(**parallel):
        totals, bad = _measure_sources(files)
    root = source if source.is_dir() else source.parent
    options = {"layout": layout, "clips": clips, "ranges": ranges, "seed": seed}
    plans = plan_videos(totals, root, Record(source_dir), **options)
    made, unreadable = make_videos(plans, source_dir, max_size=clips.max_size, **parallel)
    bad += unreadable
    report = SynthesisReport(
        sources=len(files) - len(bad),
        videos=sum(row["frames"] != "" for row in Record(source_dir).rows.values()),
        made=made,
        bad=tuple(bad),
        sheet=write_sheet(source_dir, rows=sheet_rows),
    )
    log.info(
        "%d sources: %d videos made now, %d in %s; contact sheet: %s",
        *(report.sources, made, report.videos, source_dir, report.sheet),
    )
    _report_bad(bad, root, source_dir, on_error)
    if not report.videos:
        raise SynthesisError(f"expected a usable source in {source}, got none: see {ERRORS_CSV}")
    return report


def _measure_sources(files: list[Path]) -> tuple[dict[Path, int | None], list[BadFile]]:
    """Return each usable source's number of frames (None for a picture), and the others."""
    parallel = joblib.Parallel(return_as="generator")
    results = parallel(joblib.delayed(_measure_source)(file) for file in files)
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


def _report_bad(bad: list[BadFile], root: Path, source_dir: Path, on_error: str) -> None:
    """List the bad sources, none too, in a CSV; raise if that is wanted."""
    rows = [(file.path.relative_to(root).as_posix(), file.reason) for file in bad]
    write_csv(pd.DataFrame(rows, columns=["path", "reason"]), source_dir / ERRORS_CSV)
    if bad and on_error == "raise":
        listing = "\n".join(f"  {path}: {reason}" for path, reason in rows)
        raise SynthesisError(
            f"{len(bad)} bad sources in {root} (also in {ERRORS_CSV}); the others' videos are "
            f"made:\n{listing}\nMend or remove them, or pass over them with data.on_error=skip"
        )


def synthesize_as_configured(cfg: DictConfig) -> SynthesisReport:
    """Make the pairs that a config describes."""
    return synthesize(
        source=cfg.source,
        ranges=Ranges(**OmegaConf.to_container(cfg.degradation)),
        clips=Clips(**OmegaConf.to_container(cfg.clips)),
        layout=Layout(**OmegaConf.to_container(cfg.layout)),
        seed=cfg.seed,
        sheet_rows=cfg.sheet_rows,
        **cfg.data,
    )
