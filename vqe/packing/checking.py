"""The files of a submission -> all that is wrong with them, and what a manifest says of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from vqe.packing.csv_checks import MAX_BYTES, Table, check_table
from vqe.packing.expectations import Expectations
from vqe.packing.findings import Finding
from vqe.packing.gathering import Submission
from vqe.packing.members import CSVS, MemberError, describe_file
from vqe.packing.score_checks import check_against_log, check_critics, check_scores
from vqe.packing.video_checks import VideoTask, check_videos
from vqe.parallel import open_backend
from vqe.schema import (
    SUPERVISED_COLUMNS,
    SUPERVISED_CSV,
    UNSUPERVISED_COLUMNS,
    UNSUPERVISED_CSV,
)

COLUMNS = {SUPERVISED_CSV: SUPERVISED_COLUMNS, UNSUPERVISED_CSV: UNSUPERVISED_COLUMNS}


@dataclass(frozen=True)
class Checked:
    """What came out.

    Attributes:
        findings: in no order.
        tables: the metric CSVs.
        entries: of the manifest, by the files' names.
    """

    findings: list[Finding]
    tables: list[Table]
    entries: dict[str, dict]


def check_files(
    submission: Submission,
    expected: Expectations,
    parallel: DictConfig,
    *,
    run: Path | None = None,
    only_csv: bool = False,
) -> Checked:
    """Check whatever is there: CSVs, videos or both, each set whole.

    Args:
        submission: the files.
        expected: what must be in them.
        parallel: how joblib works: jobs, backend, dask_address.
        run: the run that they are of; both CSVs and videos must be there.
        only_csv: videos are neither wanted nor looked at.
    """
    findings = list(submission.findings)
    tables: list[Table] = []
    entries: dict[str, dict] = {}
    if submission.csvs or run is not None or not submission.videos:
        tables, entries, found = _check_csvs(submission, expected)
        findings += found + check_scores(tables)
        if run is not None:
            findings += check_against_log(tables, run) + check_critics(run)
    if only_csv:
        return Checked(findings, tables, entries)
    if submission.videos or run is not None:
        findings += _check_ids(submission, expected, tables)
    if submission.videos:
        for video, entry, found in _look_at_videos(submission, expected, parallel):
            entries[f"{video}.mp4"] = entry
            findings += found
    if expected.videos is None:
        what = "ids, frame counts and sizes are not compared: no test.csv is known"
        findings.append(Finding("not_compared", "all", what, "a test set", note=True))
    return Checked(findings, tables, entries)


def _check_csvs(
    submission: Submission, expected: Expectations
) -> tuple[list[Table], dict[str, dict], list[Finding]]:
    tables: list[Table] = []
    entries: dict[str, dict] = {}
    findings: list[Finding] = []
    rows = {SUPERVISED_CSV: expected.supervised, UNSUPERVISED_CSV: expected.unsupervised}
    ids = {SUPERVISED_CSV: expected.supervised_ids, UNSUPERVISED_CSV: expected.videos}
    for name in CSVS:
        member = submission.csvs.get(name)
        if member is None:
            findings.append(Finding("missing_csv", name, "no such file", "both metric CSVs"))
            continue
        try:
            with member.on_disk() as path, path.open("rb") as file:
                entries[name] = describe_file(path)
                data = file.read(MAX_BYTES + 1)
        except (MemberError, OSError) as error:
            findings.append(Finding("damaged_member", member.shown, str(error), "a whole file"))
            continue
        table = check_table(member.shown, data, COLUMNS[name], rows=rows[name], ids=ids[name])
        tables.append(table)
        findings += table.findings
    return tables, entries, findings


def _check_ids(
    submission: Submission, expected: Expectations, tables: list[Table]
) -> list[Finding]:
    """Hold the videos' names against the test set's, or those of the CSV's rows."""
    if submission.parts_missing:
        what = "some parts of the videos alone"
        return [Finding("part_alone", "videos", what, "all of them, to be counted", note=True)]
    there = set(submission.videos)
    wanted, whose = set(expected.videos or ()), "the test set"
    if expected.videos is None:
        of_videos = [table for table in tables if len(table.values) > 1]
        wanted, whose = {i for table in of_videos for i in table.ids}, UNSUPERVISED_CSV
    findings = []
    if wanted:
        findings += [
            Finding("missing_video", f"{video}.mp4", "no such file", f"one for each of {whose}")
            for video in sorted(wanted - there)
        ]
        findings += [
            Finding("unknown_video", submission.videos[video].shown, "it", f"those of {whose}")
            for video in sorted(there - wanted)
        ]
    if len(there) != expected.unsupervised and not (wanted - there):
        found = f"{len(there)} videos"
        findings.append(Finding("row_count", "videos", found, f"{expected.unsupervised} videos"))
    return findings


def _look_at_videos(
    submission: Submission, expected: Expectations, parallel: DictConfig
) -> Iterator[tuple[str, dict, list[Finding]]]:
    """Yield id, manifest entry and findings of each video."""
    sources = expected.videos or {}
    tasks = [
        VideoTask(video, member, sources.get(video))
        for video, member in sorted(submission.videos.items())
    ]
    with (
        open_backend(parallel.backend, parallel.dask_address, parallel.jobs, option="parallel"),
        tqdm(total=len(tasks), desc="checking", unit="video") as bar,
    ):
        for result in check_videos(tasks):
            bar.update()
            yield result.video, result.entry, list(result.findings)
