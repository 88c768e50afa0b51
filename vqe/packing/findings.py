"""What is wrong with a submission: name, file, found, expected, how to mend; how it is told."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vqe.files import write_rows

log = logging.getLogger(__name__)
COLUMNS = ("kind", "name", "file", "found", "expected", "mend")
SHOWN = 3  # places in one finding

RENDER = "Render it anew: test_vqe.py, or enhance.py codec=challenge"
CSV_AGAIN = "Take the CSV as test_vqe.py wrote it, untouched by spreadsheets"
ZIP_AGAIN = "Make the zips anew: submission.py pack run=<run>"
TEST_AGAIN = "Test all videos: test_vqe.py with holdout=test.csv and no query"
# every finding's name and how to mend it
MENDS = {
    # metric CSVs
    "missing_csv": TEST_AGAIN,
    "csv_too_large": CSV_AGAIN,
    "encoding": CSV_AGAIN,
    "byte_order_mark": "Save it as UTF-8 without BOM",
    "line_ends": "Save it with line feeds alone (Unix)",
    "delimiter": CSV_AGAIN,
    "decimal_comma": CSV_AGAIN,
    "missing_column": CSV_AGAIN,
    "extra_column": "Remove it; pandas writes none with index=False",
    "double_column": "Remove one",
    "column_order": "Write the columns in this order",
    "field_count": CSV_AGAIN,
    "empty_line": "Remove it",
    "bad_id": "Name each video as test.csv does",
    "duplicate_id": "Keep one row a video",
    "unknown_id": "Test with the challenge's test.csv, or name yours: reference=<test.csv>",
    "missing_id": TEST_AGAIN,
    "row_count": f"{TEST_AGAIN}. For another set: supervised=<rows> unsupervised=<rows>",
    "blank_value": "Test again: a blank counts as -9999, for the RMSE as 9999",
    "not_a_number": "Test again: the frames or the critics gave NaN",
    "infinite_value": "Test again: the frames or the critics gave infinity",
    "malformed_value": CSV_AGAIN,
    "out_of_range": "Test again, with nothing scaled or flipped afterwards",
    "zero_rmse": "Test again: an RMSE of 0 says that the target was compared with itself",
    "flipped_m_5": "Write a4 as it is: m_5 is raw, the leaderboard itself takes 1 - a4",
    "unlike_log": "Take the CSV that this run wrote, or test again",
    "constant_column": "See that the critic was there: model_vqa, model_dover",
    "stand_in_scores": "Name the challenge's critics: model_vqa.weights=<VQA.ckpt>",
    # videos
    "empty_file": RENDER,
    "unreadable_video": RENDER,
    "unreadable_tail": f"The file is cut short or damaged. {RENDER}",
    "container": RENDER,
    "codec": RENDER,
    "profile": RENDER,
    "pix_fmt": RENDER,
    "full_range": f"Encode limited range, pix_fmt yuv420p and not yuvj420p. {RENDER}",
    "frame_size": f"Keep the source's size, an odd side padded by one. {RENDER}",
    "changing_frames": RENDER,
    "frame_rate": RENDER,
    "uneven_frames": f"Encode at a constant rate. {RENDER}",
    "frame_count": f"Enhance every frame of the source. {RENDER}",
    "rotation": f"Turn the pictures themselves. {RENDER}",
    "other_stream": "Leave sound and all else out: ffmpeg -i in.mp4 -map 0:v -c copy out.mp4",
    "pixel_aspect": RENDER,
    "interlaced": RENDER,
    "crf": f"Encode with -crf 18. {RENDER}",
    "preset": "None is prescribed, so that x264's own, medium, is what others have",
    "no_settings": "Nothing has to be done: some tools leave x264's words out",
    "missing_video": "Render it: test_vqe.py only_videos=true",
    "unknown_video": "Leave it out",
    # zips and folders
    "not_a_zip": ZIP_AGAIN,
    "damaged_member": ZIP_AGAIN,
    "nothing_here": "Name a zip, a packed folder, a run, or a folder with CSVs and mp4s",
    "folder_inside": "Zip the files, not their folder",
    "system_file": "Leave out what your system adds: zip -X, or submission.py pack run=<run>",
    "nested_zip": "Zip the files themselves",
    "foreign_file": "Leave it out",
    "non_ascii_name": "Name it by letters, digits and _ alone",
    "double_member": ZIP_AGAIN,
    "link": "Zip the file itself",
    "encrypted": "Zip without a password",
    "compression": ZIP_AGAIN,
    "mixed_zip": "Put the metric CSVs into a zip of their own: the scorer wants them alone",
    "zip_size": "Cut it into parts: submission.py pack run=<run> part_mb=<MB>",
    "missing_part": "Put all parts into one folder and check that",
    "manifest": ZIP_AGAIN,
    # what could not be looked at
    "not_compared": "Name the test set: reference=<test.csv>",
    "part_alone": "Check the folder with all parts for the rest",
    "left_out": "Nothing has to be done: pack takes CSVs and mp4s alone",
    "team_places": "Fill them in before you hand the sheet in",
    "no_efficiency": "Name the network: checkpoint=<run>/checkpoints/best.ckpt",
}


@dataclass(frozen=True)
class Finding:
    """Something wrong, or a note, in one file.

    Attributes:
        name: a key of `MENDS`.
        file: which, with its zip before it.
        found: what is there, and where.
        expected: what should be.
        note: it does not stand in the way.
    """

    name: str
    file: str
    found: str
    expected: str
    note: bool = False

    @property
    def mend(self) -> str:
        """How to put it right."""
        return MENDS[self.name]

    @property
    def kind(self) -> str:
        """Return error or note."""
        return "note" if self.note else "error"

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name}: {self.file}: found {self.found}; "
            f"expected {self.expected}. {self.mend}"
        )


def shorten(items: Sequence[str]) -> str:
    """List the first few of many."""
    shown = "; ".join(items[:SHOWN])
    return shown if len(items) <= SHOWN else f"{shown}; and {len(items) - SHOWN} more"


def check_names(allow: Collection[str]) -> None:
    """See that all are findings' names.

    Raises:
        ValueError: one is not.
    """
    wrong = sorted(set(allow) - set(MENDS))
    if wrong:
        raise ValueError(
            f"expected allow to name findings ({', '.join(MENDS)}), got {', '.join(wrong)}"
        )


def settle(findings: Iterable[Finding], allow: Collection[str]) -> list[Finding]:
    """Sort findings, errors first; those that are allowed become notes."""
    settled = [replace(f, note=f.note or f.name in allow) for f in findings]
    return sorted(settled, key=lambda f: (f.note, f.name, f.file))


def count_errors(findings: Iterable[Finding]) -> int:
    """Count those that stand in the way."""
    return sum(not finding.note for finding in findings)


def tell(findings: Sequence[Finding], *, show: int, table: Path | None) -> None:
    """Print the first findings of each name, in order; write all to a CSV if one is named."""
    if table is not None:
        rows = [[getattr(finding, column) for column in COLUMNS] for finding in findings]
        write_rows(COLUMNS, rows, table)
    told: dict[tuple[str, bool], int] = {}
    for finding in findings:
        told[finding.name, finding.note] = told.get((finding.name, finding.note), 0) + 1
        if told[finding.name, finding.note] <= show:
            print(finding)
    for (name, note), number in told.items():
        if number > show:
            where = f" ({table})" if table is not None else "; all of them: report=<csv>"
            print(f"{'note' if note else 'error'} {name}: and {number - show} more{where}")
