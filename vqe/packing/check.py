"""Zips, a folder or a run -> all that is wrong with them as a submission.

python submission.py check=<zip, folder or run>
"""

from pathlib import Path

from omegaconf import DictConfig, ListConfig
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from vqe.packing.checking import Checked, check_files
from vqe.packing.expectations import Expectations, expect
from vqe.packing.fact_sheet import count_team_places
from vqe.packing.findings import Finding, check_names, count_errors, settle, tell
from vqe.packing.gathering import FACT_SHEET, MANIFEST, Submission, gather, is_run
from vqe.packing.members import describe_file
from vqe.packing.score_checks import compute_score
from vqe.packing.zipping import MB, compare_manifest, read_manifest
from vqe.parallel import map_parallel, open_backend


def check(cfg: DictConfig) -> int:
    """Check whatever is named; print what is wrong, and the score.

    Returns:
        How many findings stand in the way.

    Raises:
        FileNotFoundError: a file that the config names is not there.
        ValueError: an option does not fit.
    """
    paths = read_paths(cfg.check)
    check_names(cfg.allow)
    run = paths[0] if is_run(paths[0]) else None
    submission = gather(paths)
    expected = expect(cfg, run)
    with logging_redirect_tqdm():
        findings, checked = check_submission(cfg, submission, expected, run)
    findings += _look_at_sheet(paths)
    findings = settle(findings, cfg.allow)
    tell(findings, show=cfg.show, table=Path(cfg.report) if cfg.report else None)
    errors = count_errors(findings)
    score = compute_score(checked.tables)
    if score is not None and not errors:
        print(f"score {score:.4f}")
    files = f"{len(submission.csvs)} CSVs, {len(submission.videos)} videos"
    notes = f"{len(findings) - errors} notes"
    print(f"{'good' if not errors else 'not good'}: {files}; {errors} errors, {notes}")
    return errors


def read_paths(named: str | ListConfig) -> list[Path]:
    """Return the paths to check.

    Raises:
        FileNotFoundError: one is not there.
        ValueError: several, and not all of them zips.
    """
    paths = [Path(path) for path in ([named] if isinstance(named, str) else named)]
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"expected check to name a zip, folder or run, got {path}")
        if path.is_dir() and len(paths) > 1:
            raise ValueError(f"expected one folder or several zips, got {path} beside others")
    return paths


def check_submission(
    cfg: DictConfig, submission: Submission, expected: Expectations, run: Path | None
) -> tuple[list[Finding], Checked]:
    """Check the files, the zips' sizes and the manifest."""
    checked = check_files(submission, expected, cfg.parallel, run=run, only_csv=cfg.only_csv)
    findings = list(checked.findings)
    for path in submission.zips:
        size = path.stat().st_size
        if size > cfg.part_mb * MB:
            found, limit = f"{size / MB:.1f} MB", f"at most {cfg.part_mb} MB (part_mb)"
            findings.append(Finding("zip_size", path.name, found, limit))
    if submission.manifest is not None:
        findings += _compare_manifest(cfg, submission, checked)
    return findings, checked


def _compare_manifest(cfg: DictConfig, submission: Submission, checked: Checked) -> list[Finding]:
    try:
        zips = read_manifest(submission.manifest)
    except ValueError as error:
        return [Finding("manifest", MANIFEST, str(error), "one that reads")]
    parallel = cfg.parallel
    with open_backend(parallel.backend, parallel.dask_address, parallel.jobs, option="parallel"):
        found = map_parallel(describe_file, submission.zips, batch_size=1)
        bar = tqdm(found, desc="comparing", unit="zip", total=len(submission.zips))
        there = {path.name: entry for path, entry in zip(submission.zips, bar, strict=True)}
    words = compare_manifest(zips, there, checked.entries)
    return [Finding("manifest", *one) for one in words]


def _look_at_sheet(paths: list[Path]) -> list[Finding]:
    """Note what the team has left open in a fact sheet."""
    sheet = paths[0] / FACT_SHEET
    if not sheet.is_file():
        return []
    places = count_team_places(sheet.read_text(encoding="utf-8", errors="replace"))
    if not places:
        return []
    return [Finding("team_places", FACT_SHEET, f"{places} places", "the team's words", note=True)]
