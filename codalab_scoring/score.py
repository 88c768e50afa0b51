"""Score a submission: two CSVs of per-video metrics in, the table of means and the score out.

Stand-alone on purpose (standard library only, nothing of `vqe`): the leaderboard runs this file
by itself. A submission is a folder or a zip with exactly the two CSVs of `COLUMNS`. Whatever the
numbers could not have come from is refused with file, line and column, never averaged over.
"""

import argparse
import csv
import io
import json
import lzma
import math
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

SUPERVISED_CSV = "metrics_supervised.csv"
UNSUPERVISED_CSV = "metrics_unsupervised.csv"
SCORE_OF_COLUMN = {"m_1": "p", **{f"m_{i + 1}": f"a{i}" for i in range(1, 12)}}
INVERTED_SCORES = frozenset({"a4"})  # falls as quality grows, and is raw in its column
COLUMNS = {
    SUPERVISED_CSV: ("video_i", "rmse"),
    UNSUPERVISED_CSV: ("video_i", *SCORE_OF_COLUMN),
}
# What the metrics can reach: the critic clamps p to [0, 1] and a1..a11 to [-1, 1], and black
# against white is an RMSE of 255 / 128. The slack is for means taken in single precision.
SLACK = 1e-5
RANGES = {
    "rmse": (0.0, 255 / 128),
    **{column: (0.0 if name == "p" else -1.0, 1.0) for column, name in SCORE_OF_COLUMN.items()},
}

VIDEO_ID = re.compile(r"video_[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
MAX_BYTES = 2**26  # a hundred times the real size: a zip bomb ends here
MAX_BLANK_LINES = 1000
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack far beyond what is read
# RuntimeError is an encrypted member, or an unknown compression; IndexError one without a name.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
READ_ERRORS = (*ZIP_ERRORS, EOFError, IndexError, OSError, RuntimeError, ValueError, OverflowError)


class SubmissionError(ValueError):
    """A submission that cannot be scored; the message names file, line and column."""


def score_submission(
    path: Path | str, *, supervised: int = 500, unsupervised: int = 3000
) -> dict[str, object]:
    """Compute the score of a submission.

    Args:
        path: a folder, or a zip with the files at its top or in one folder.
        supervised: the number of rows wanted in `metrics_supervised.csv`.
        unsupervised: the number of rows wanted in `metrics_unsupervised.csv`.

    Returns:
        `score`; `rmse`, the mean over the supervised videos; `means`, the raw mean of each column
        `m_1` .. `m_12` over the unsupervised videos; `counts`, the rows of both files.

    Raises:
        SubmissionError: a file, column, row or value is missing, malformed or impossible.
    """
    counts = {SUPERVISED_CSV: supervised, UNSUPERVISED_CSV: unsupervised}
    files = read_files(Path(path))
    tables = {name: parse_table(name, files[name], counts[name]) for name in COLUMNS}
    means = {
        column: math.fsum(values) / len(values)
        for table in tables.values()
        for column, values in table.items()
    }
    rmse = means.pop("rmse")
    score = leaderboard_score(means, rmse)
    if not math.isfinite(score):
        raise SubmissionError(
            f"{SUPERVISED_CSV}, column rmse: expected a mean that the score can be divided by, "
            f"got {rmse!r}. Check how it was computed"
        )
    return {
        "score": score,
        "rmse": rmse,
        "means": means,
        "counts": {"supervised": supervised, "unsupervised": unsupervised},
    }


def leaderboard_score(means: dict[str, float], rmse: float) -> float:
    """Average the twelve means, the inverted one as `1 - mean`, and divide by the RMSE."""
    return math.fsum(oriented_mean(column, means[column]) for column in means) / len(means) / rmse


def oriented_mean(column: str, mean: float) -> float:
    """Return a mean that grows with quality."""
    return 1 - mean if SCORE_OF_COLUMN[column] in INVERTED_SCORES else mean


def read_files(path: Path) -> dict[str, bytes]:
    """Read the two CSVs of a folder or a zip, and refuse anything else that lies beside them."""
    try:
        if path.is_dir():
            return _read_folder(path)
        if not path.exists():
            raise SubmissionError(f"{path}: expected a folder or a zip file, got nothing there")
        if not path.is_file():  # a pipe would be waited for
            raise SubmissionError(f"{path}: expected a folder or a zip file, got something else")
        with zipfile.ZipFile(path) as archive:
            return _read_zip(path, archive)
    except SubmissionError:
        raise
    except READ_ERRORS as error:
        raise SubmissionError(
            f"{path}: expected a readable folder or zip file, got {type(error).__name__}: {error}"
        ) from error


def _read_folder(path: Path) -> dict[str, bytes]:
    _check_names(path, [entry.name for entry in path.iterdir()])
    for name in COLUMNS:
        if not (path / name).is_file():
            raise SubmissionError(f"{path / name}: expected a file, got something else")
        _check_size(name, (path / name).stat().st_size)
    files = {}
    for name in COLUMNS:
        with (path / name).open("rb") as file:  # it may have grown since
            files[name] = file.read(MAX_BYTES + 1)
        _check_size(name, len(files[name]))
    return files


def _read_zip(path: Path, archive: zipfile.ZipFile) -> dict[str, bytes]:
    members = [info for info in archive.infolist() if not info.is_dir()]
    names = [PurePosixPath(info.filename) for info in members]
    # "Compress this folder" puts everything into one top folder.
    if len({name.parent for name in names}) == 1 and len(names[0].parts) <= 2:
        names = [PurePosixPath(name.name) for name in names]
    _check_names(path, [str(name) for name in names])
    found = {str(name): info for name, info in zip(names, members, strict=True)}
    return {name: _read_member(name, archive, found[name]) for name in COLUMNS}


def _read_member(name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read a member whose header may lie: no further than the limit, whatever it unpacks to."""
    if info.compress_type not in COMPRESSIONS:
        raise SubmissionError(
            f"{name}: expected it stored or deflated, got compression {info.compress_type}. "
            "Zip it with the usual settings"
        )
    with archive.open(info) as member:
        data = member.read(MAX_BYTES + 1)
    _check_size(name, max(len(data), info.file_size))
    return data


def _check_names(path: Path, names: list[str]) -> None:
    wanted = sorted(COLUMNS)
    if sorted(names) == wanted:
        return
    missing = [name for name in wanted if name not in names]
    extra = sorted(name for name in set(names) if name not in wanted or names.count(name) > 1)
    raise SubmissionError(
        f"{path}: expected exactly the files {', '.join(wanted)}; "
        f"missing: {_shorten(missing)}, not wanted or doubled: {_shorten(extra)}"
    )


def _check_size(name: str, size: int) -> None:
    if size > MAX_BYTES:
        raise SubmissionError(f"{name}: expected at most {MAX_BYTES} bytes, got {size}")


def parse_table(name: str, data: bytes, rows: int) -> dict[str, list[float]]:
    """Parse one CSV strictly.

    Lines are counted from 1 as an editor does; empty lines count but hold no row. A UTF-8
    byte order mark is accepted, because spreadsheet programs write one.

    Returns:
        The values of every column but `video_i`.
    """
    columns = COLUMNS[name]
    lines = _read_rows(name, data)
    first = next(lines, None)
    if first is None:
        raise SubmissionError(f"{name}: expected the columns {', '.join(columns)}, got no text")
    _check_header(name, *first)
    table: dict[str, list[float]] = {column: [] for column in columns[1:]}
    line_of_id: dict[str, int] = {}
    for line, fields in lines:
        if len(line_of_id) == rows:
            _refuse_count(name, rows, f"{rows + 1} or more, line {line}")
        _check_row(name, line, fields, line_of_id)
        for column, text in zip(columns[1:], fields[1:], strict=True):
            table[column].append(
                _parse_value(f"{name}, line {line}, column {column}", column, text)
            )
    if len(line_of_id) != rows:
        _refuse_count(name, rows, str(len(line_of_id)))
    return table


def _refuse_count(name: str, rows: int, got: str) -> None:
    raise SubmissionError(
        f"{name}: expected {rows} rows below the header, got {got}. "
        "Set --supervised and --unsupervised for another set than the challenge's"
    )


def _read_rows(name: str, data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of every line that is not empty; who finds a bad one stops there."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SubmissionError(f"{name}, line {line}: expected UTF-8 text, got {error}") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise SubmissionError(f"{name}, line {line}: expected text, got a zero byte")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    blank = 0
    while True:
        line = reader.line_num + 1  # a quoted field may span lines: name the first
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise SubmissionError(
                f"{name}, line {line}: expected a CSV row, got {error}"
            ) from error
        if fields:
            yield line, fields
            continue
        blank += 1
        if blank > MAX_BLANK_LINES:
            raise SubmissionError(
                f"{name}, line {line}: expected at most {MAX_BLANK_LINES} empty lines, got more"
            )


def _check_header(name: str, line: int, header: list[str]) -> None:
    columns = COLUMNS[name]
    if tuple(header) == columns:
        return
    missing = [column for column in columns if column not in header]
    extra = [column for column in header if column not in columns]
    doubled = [column for column in columns if header.count(column) > 1]
    at = next(
        (got for got, want in zip(header, columns, strict=False) if got != want),
        "/".join(missing + extra + doubled),
    )
    raise SubmissionError(
        f"{name}, line {line}, column {_shorten(at)}: expected the header {','.join(columns)}; "
        f"missing: {_shorten(missing)}, not wanted: {_shorten(extra)}, "
        f"doubled: {_shorten(doubled)}. Keep this order"
    )


def _check_row(name: str, line: int, fields: list[str], line_of_id: dict[str, int]) -> None:
    """Check the number of fields and the id of a row, and remember the id."""
    columns = COLUMNS[name]
    if len(fields) != len(columns):
        short = len(fields) < len(columns)
        at = f"column {columns[len(fields)]}" if short else f"after column {columns[-1]}"
        raise SubmissionError(
            f"{name}, line {line}, {at}: expected {len(columns)} fields, got {len(fields)}"
        )
    video = fields[0]
    where = f"{name}, line {line}, column {columns[0]}"
    if not VIDEO_ID.fullmatch(video):
        raise SubmissionError(f"{where}: expected an id such as video_0001, got {_shorten(video)}")
    if video in line_of_id:
        raise SubmissionError(
            f"{where}: expected each id once, got {video}, which is on line {line_of_id[video]} too"
        )
    line_of_id[video] = line


def _parse_value(where: str, column: str, text: str) -> float:
    # float() alone would take "nan", "1_000", " 1 " and Arabic digits.
    if not NUMBER.fullmatch(text):
        raise SubmissionError(
            f"{where}: expected a finite decimal number such as 0.25, got {_shorten(text)}"
        )
    value = float(text)
    low, high = RANGES[column]
    if column == "rmse" and value <= 0:
        raise SubmissionError(f"{where}: expected an RMSE above 0, got {_shorten(text)}")
    if not low - SLACK <= value <= high + SLACK:
        raise SubmissionError(
            f"{where}: expected {SCORE_OF_COLUMN.get(column, column)} in [{low:g}, {high:g}], "
            f"got {_shorten(text)}"
        )
    return value


def _shorten(value: str | list[str]) -> str:
    """Show foreign text on one short line, quoted, without control characters."""
    text = ascii(value) if value else ("none" if isinstance(value, list) else "''")
    return text if len(text) <= 80 else f"{text[:76]} ..."


def format_table(result: dict[str, object]) -> str:
    """Lay out the means by name, raw and as they enter the score, then RMSE and score."""
    rows = [f"{'column':<8}{'name':<8}{'mean':>10}{'in score':>10}"]
    for column, mean in result["means"].items():
        name = SCORE_OF_COLUMN[column]
        note = f"  (1 - {name})" if name in INVERTED_SCORES else ""
        rows.append(f"{column:<8}{name:<8}{mean:>10.4f}{oriented_mean(column, mean):>10.4f}{note}")
    rows.append(f"{'rmse':<16}{result['rmse']:>10.4f}")
    rows.append(f"{'score':<16}{result['score']:>10.4f}")
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    """Print a submission's score; return 0, or 2 with the reason on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True, help="folder or zip with the CSVs")
    parser.add_argument("--json", action="store_true", help="print JSON with all digits")
    parser.add_argument("--supervised", type=int, default=500, help="rows wanted (default 500)")
    parser.add_argument("--unsupervised", type=int, default=3000, help="(default 3000)")
    args = parser.parse_args(argv)
    counts = {"supervised": args.supervised, "unsupervised": args.unsupervised}
    if min(counts.values()) < 1:
        parser.error("expected --supervised and --unsupervised of at least 1")
    try:
        result = score_submission(args.results, **counts)
    except SubmissionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(json.dumps(result, indent=2) if args.json else format_table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
