"""A tested run -> checked zips, their manifest, an efficiency sheet and a fact sheet.

python submission.py pack run=<run>
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from tqdm.contrib.logging import logging_redirect_tqdm

from vqe.files import complete_or_absent, explain_no_space
from vqe.inputs import find_checkpoint, find_shipped, read_network
from vqe.packing.checking import Checked, check_files
from vqe.packing.expectations import expect, read_config, read_value
from vqe.packing.fact_sheet import (
    count_team_places,
    format_efficiency,
    is_filled_in,
    write_fact_sheet,
)
from vqe.packing.findings import Finding, check_names, count_errors, settle, tell
from vqe.packing.gathering import (
    EFFICIENCY,
    FACT_SHEET,
    MANIFEST,
    PACKED_FILES,
    Submission,
    gather,
    gather_run,
)
from vqe.packing.members import Member
from vqe.packing.score_checks import compute_score
from vqe.packing.zipping import PackingError, plan_zips, write_zips
from vqe.parallel import open_backend

log = logging.getLogger(__name__)


def pack(cfg: DictConfig) -> int:
    """Check a run and pack it; nothing is written where something is wrong.

    Returns:
        How many findings stand in the way.

    Raises:
        FileNotFoundError: a file that the config names is not there.
        ValueError: an option does not fit, or the output folder holds something else.
        PackingError: what was written is not what was checked.
    """
    run = Path(cfg.run)
    output = Path(cfg.output) if cfg.output else run / "submission"
    check_names(cfg.allow)
    check_output(output)
    checkpoint = find_tested(run, cfg.checkpoint, cfg.model_vqe)
    expected = expect(cfg, run)
    submission = gather_run(run)
    check_room(cfg, submission)
    efficiency = measure(cfg, checkpoint)  # before the videos: what fails in it fails soon
    with logging_redirect_tqdm():
        checked = check_files(submission, expected, cfg.parallel, run=run, only_csv=cfg.only_csv)
        findings = list(checked.findings)
        if cfg.efficiency and checkpoint is None:
            what = "no checkpoints/best.ckpt"
            findings.append(Finding("no_efficiency", run.name, what, "a network", note=True))
        findings = settle(findings, cfg.allow)
        tell(findings, show=cfg.show, table=Path(cfg.report) if cfg.report else None)
        if errors := count_errors(findings):
            print(f"not packed: {errors} errors, {len(findings) - errors} notes in {run}")
            return errors
        _write(cfg, run, output, submission, checked, checkpoint, efficiency)
    return 0


def check_output(output: Path) -> None:
    """See that a folder is new, empty, or an earlier packing's.

    Raises:
        ValueError: it is something else, or its fact sheet was filled in: neither is to be lost.
    """
    if not output.exists():
        return
    if not output.is_dir():
        raise ValueError(f"expected output to be a folder, got the file {output}")
    names = {path.name for path in output.iterdir()}
    others = sorted(n for n in names if n not in PACKED_FILES and not n.endswith(".zip"))
    if others or (names and MANIFEST not in names):
        raise ValueError(
            f"expected output to be a new folder or one of an earlier packing, got {output} with "
            f"{', '.join(others or sorted(names))}. Choose another: output=<folder>"
        )
    sheet = output / FACT_SHEET
    if sheet.is_file() and is_filled_in(sheet.read_text(encoding="utf-8", errors="replace")):
        raise ValueError(
            f"expected no words of yours in {sheet}, which is written anew, got some. "
            "Move it away, or choose another: output=<folder>"
        )


def find_tested(run: Path, named: str | None, network: Any = None) -> Path | None:
    """Find the weights that a run tested: its own best ones, or those that it was given.

    Args:
        run: the run.
        named: others to take, a file or the name of a shipped network.
        network: the config `model_vqe`.

    Raises:
        FileNotFoundError: some are named and not there.
    """
    if named is not None:
        return find_checkpoint(named, network)
    tested = read_value(read_config(run), "checkpoint")
    cwd = read_value(read_config(run, "hydra.yaml"), "hydra.runtime.cwd") or "."
    places = [run / "checkpoints/best.ckpt"]
    if tested is not None:
        shipped = find_shipped(tested, read_value(read_config(run), "model_vqe"))
        places += [Path(cwd, str(tested)), *([shipped] if shipped else [])]
    return next((path for path in places if path.is_file()), None)


def measure(cfg: DictConfig, checkpoint: Path | None) -> dict[str, Any] | None:
    """Measure a network in a process of its own; None where there is none, or none is wanted."""
    if checkpoint is None or not cfg.efficiency:
        return None
    from vqe.packing.efficiency import measure_apart  # slow to import

    log.info("measuring the network of %s", checkpoint)
    return measure_apart(checkpoint, read_network(cfg), cfg.device)


def check_room(cfg: DictConfig, submission: Submission) -> None:
    """See that each file fits into a zip, and all zips on the disk.

    Raises:
        ValueError: a video is larger than a part.
        NoSpaceError: the disk is too full.
    """
    members = list_members(submission, only_csv=cfg.only_csv)
    entries = {m.name: {"bytes": m.file.stat().st_size} for m in members}
    plan_zips(members, entries, cfg.part_mb)
    needed = sum(entry["bytes"] for entry in entries.values())
    above = Path(cfg.output or cfg.run).absolute()
    above = next(folder for folder in (above, *above.parents) if folder.is_dir())
    if shutil.disk_usage(above).free < needed:
        raise explain_no_space(above, needed)


def list_members(submission: Submission, *, only_csv: bool) -> list[Member]:
    """List what goes into the zips."""
    return [*submission.csvs.values(), *([] if only_csv else submission.videos.values())]


def _write(
    cfg: DictConfig,
    run: Path,
    output: Path,
    submission: Submission,
    checked: Checked,
    checkpoint: Path | None,
    efficiency: dict[str, Any] | None,
) -> None:
    members = list_members(submission, only_csv=cfg.only_csv)
    plans = plan_zips(members, checked.entries, cfg.part_mb)
    needed = sum(entry["bytes"] for entry in checked.entries.values())
    parallel = cfg.parallel
    with complete_or_absent(output, needed_bytes=needed) as part:
        part.mkdir()
        with open_backend(
            parallel.backend, parallel.dask_address, parallel.jobs, option="parallel"
        ):
            zips = write_zips(plans, part)
        _check_again(part, submission, only_csv=cfg.only_csv)
        _write_sheets(part, run, checkpoint, checked, efficiency, zips)
    print(f"packed {len(members)} files into {len(zips)} zips, checked before and after: {output}")
    score = compute_score(checked.tables)
    print(f"score {score:.4f}" if score is not None else "no score: the CSVs are not whole")
    if efficiency is not None:
        print(format_efficiency(efficiency))
    places = count_team_places((output / FACT_SHEET).read_text(encoding="utf-8"))
    print(f"{places} places of {FACT_SHEET} are the team's to fill in")


def _check_again(folder: Path, submission: Submission, *, only_csv: bool) -> None:
    """Look at the zips as whoever gets them does; their bytes were compared as they were written.

    Raises:
        PackingError: something is wrong with them.
    """
    found = gather([folder])
    videos = set() if only_csv else set(submission.videos)
    if found.findings or set(found.csvs) != set(submission.csvs) or set(found.videos) != videos:
        words = "; ".join(map(str, found.findings)) or "other files"
        raise PackingError(f"expected the zips to hold what was checked, got: {words}")


def _write_sheets(
    folder: Path,
    run: Path,
    checkpoint: Path | None,
    checked: Checked,
    efficiency: dict[str, Any] | None,
    zips: dict[str, dict],
) -> None:
    if efficiency is not None:
        sheet = json.dumps(efficiency, indent=2) + "\n"
        (folder / EFFICIENCY).write_text(sheet, encoding="utf-8", newline="\n")
    trained = run
    if checkpoint is not None and (checkpoint.parent.parent / ".hydra").is_dir():
        trained = checkpoint.parent.parent
    text = write_fact_sheet(
        run,
        trained,
        score=compute_score(checked.tables),
        means={c: table.mean(c) for table in checked.tables for c in table.values},
        efficiency=efficiency,
        zips=zips,
    )
    (folder / FACT_SHEET).write_text(text, encoding="utf-8", newline="\n")
