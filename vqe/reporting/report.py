"""Config -> the report: runs are read, compared, looked at, and laid out in one file."""

import logging
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vqe.files import complete_or_absent
from vqe.reporting.choice import choose_frames, merge, rank_videos
from vqe.reporting.clips import Clip, write_clips
from vqe.reporting.comparison import compare_videos, share_videos
from vqe.reporting.content import Findings, build_csv, build_json, describe_videos, lay_out
from vqe.reporting.estimates import Estimates
from vqe.reporting.footage import Footage
from vqe.reporting.page import link_csv, link_json, render_page
from vqe.reporting.pictures import Stills, take_pictures
from vqe.reporting.provenance import describe_origin
from vqe.reporting.run import Key, Run, name_runs, read_run
from vqe.reporting.series import build_curves, build_log_curves
from vqe.reporting.videos import build_videos

log = logging.getLogger(__name__)

CURVE_VALUES = 300_000  # of all curves together: what a file of 10 MB has room for
CURVE_POINTS = (12, 120)  # of a curve, least and most


def report(cfg: DictConfig) -> Path:
    """Write a report of one run or two.

    Returns:
        The file.

    Raises:
        FileNotFoundError: a run is not there, or was not tested.
        ValueError: the runs share no video, a file is damaged, or the budget is too small.
    """
    folders = [Path(run) for run in ([cfg.runs] if isinstance(cfg.runs, str) else cfg.runs)]
    runs = [read_run(*pair) for pair in zip(folders, name_runs(folders), strict=True)]
    inputs = read_run(Path(cfg.input), "input") if cfg.input else None
    return write_report(runs, inputs, Path(cfg.output), cfg.options)


def report_if_asked(cfg: DictConfig) -> None:
    """Write `report.html` into the run that was just tested, if `report` says so, on rank 0."""
    if not cfg.report or int(os.environ.get("LOCAL_RANK", 0)) > 0:
        return
    from omegaconf import OmegaConf

    from vqe.cli import CONF_DIR

    options = OmegaConf.load(CONF_DIR / "report.yaml").options
    folder = Path(cfg.paths.run)
    write_report([read_run(folder, folder.name)], None, folder / "report.html", options)


def write_report(runs: list[Run], inputs: Run | None, output: Path, options: DictConfig) -> Path:
    """Write a report.

    Args:
        runs: one or two.
        inputs: a test of the unchanged inputs, or None.
        output: the file to be; clips go into `<its name>_files` beside it.
        options: of conf/report.yaml.

    Raises:
        ValueError: the runs share no video, or the budget is too small.
    """
    found = find(runs, inputs, options)
    keys = merge(found.lists)
    if len(found.tables[0]) <= options.shown:
        keys = list(dict.fromkeys([*keys, *found.tables[0].index]))  # few: all of them
    stills: dict[Key, Stills] = {}
    clips: dict[Key, Clip] = {}
    clip_folder = f"{output.stem}_files"
    content = _lay_out(found, clip_folder, options)
    empty = describe_videos(found, {key: Stills() for key in keys}, {})
    bare = len(render_page(videos=empty, **content).encode())
    left = int(options.budget_mb * 1e6) - bare
    if left < 0:
        raise ValueError(
            f"expected options.budget_mb of at least {bare / 1e6:.1f} for numbers "
            f"and curves of {len(found.tables[0])} videos, got {options.budget_mb}. Raise it"
        )
    footage = _open_footage(runs, options, found)
    if footage is not None:
        wanted = _choose(footage, runs[-1], keys, options.frames)
        stills = take_pictures(
            *(footage, wanted),
            max_bytes=int(left * 0.97),  # reasons and links need a little, too
            max_side=options.max_side,
            quality=options.quality,
        )
        if options.videos:
            clips = _write_clips(footage, found, keys, output.with_name(clip_folder), options)
    stills = {key: stills.get(key, Stills()) for key in keys}
    videos = describe_videos(found, stills, clips)
    page = render_page(videos=videos, **content | {"notes": found.notes})
    if len(page.encode()) > options.budget_mb * 1e6:
        raise AssertionError(f"{len(page.encode())} bytes, budget {options.budget_mb} MB")
    with complete_or_absent(output) as part:
        part.write_text(page, encoding="utf-8")
    log.info("wrote %s (%.1f MB)", output, len(page.encode()) / 1e6)
    return output


def find(runs: list[Run], inputs: Run | None, options: DictConfig) -> Findings:
    """Work out everything but the pictures."""
    tables = [build_videos(run, inputs) for run in runs]
    notes = [
        f"{run.name} holds no frames.csv.gz: no flicker and no curves over time. Test it again "
        "to have them."
        for run in runs
        if run.frames is None
    ]
    compared = None
    draws = {"replicates": options.replicates, "seed": options.seed}
    if len(runs) == 2:
        counts = [len(table) for table in tables]
        tables = share_videos(*tables)
        if max(counts) > len(tables[0]):
            notes.append(f"{len(tables[0])} videos are in both runs; all others are left out.")
        compared = compare_videos(tables, runs, **draws)
    points = CURVE_VALUES // (max(1, len(tables[0])) * (5 + 2 * len(runs)))
    difference = None if compared is None else compared["difference"]
    return Findings(
        names=[run.name for run in runs],
        tables=tables,
        estimates=Estimates(tables, **draws).estimate_all(),
        compared=compared,
        lists=rank_videos(tables[-1], difference, count=options.shown),
        curves=build_curves(runs, points=min(max(points, CURVE_POINTS[0]), CURVE_POINTS[1])),
        log_curves=[build_log_curves(run.log) for run in runs],
        origins=[describe_origin(run) for run in runs],
        notes=notes,
    )


def _lay_out(found: Findings, clip_folder: str, options: DictConfig) -> dict[str, Any]:
    return {
        "title": options.title or " and ".join(found.names),
        "files": {"csv": link_csv(build_csv(found)), "json": link_json(build_json(found))},
        "clip_folder": clip_folder,
        **lay_out(found),
    }


def _open_footage(runs: list[Run], options: DictConfig, found: Findings) -> Footage | None:
    try:
        return Footage(runs, Path(options.data) if options.data else None)
    except (FileNotFoundError, ValueError) as error:
        log.warning("no pictures: %s. Name the data folder: options.data=<data>", error)
        found.notes.append(f"No pictures: {error}")
        return None


def _choose(footage: Footage, run: Run, keys: list[Key], count: int) -> dict[Key, list[int]]:
    return {
        key: choose_frames(
            *(run.frames_of.get(key, {}).get("luma_enhanced"), footage.inputs.count(key), count)
        )
        for key in keys
    }


def _write_clips(
    footage: Footage, found: Findings, keys: list[Key], folder: Path, options: DictConfig
) -> dict[Key, Clip]:
    table = found.tables[-1]
    videos = [(key, f"clip_{i:04d}", int(table.at[key, "fps"])) for i, key in enumerate(keys, 1)]
    return write_clips(footage, videos, folder, max_side=options.max_side)
