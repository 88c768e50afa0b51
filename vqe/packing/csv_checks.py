"""Bytes of a metric CSV -> its numbers and all that is wrong with it: more than a scorer asks."""

import csv
import io
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from vqe.packing.findings import Finding, shorten
from vqe.schema import SCORE_OF_COLUMN, P

MAX_BYTES = 2**26  # a hundred times the real size
VIDEO_ID = re.compile(r"video_[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
MISSING_WORDS = ("nan", "na", "null", "none", "n/a", "<na>")
INFINITE_WORDS = ("inf", "infinity")
SLACK = 1e-5  # of means taken in single precision
# What the critic clamps p and a1..a11 to; black against white is an RMSE of 255 / 128.
RANGES = {
    "rmse": (0.0, 255 / 128),
    **{column: (0.0 if name == P else -1.0, 1.0) for column, name in SCORE_OF_COLUMN.items()},
}


@dataclass
class Table:
    """A metric CSV.

    Attributes:
        file: to call it in findings.
        ids: of its rows.
        values: by column, None where a cell holds no number.
        places: where something is wrong, by the finding's name.
        expected: in words, likewise.
    """

    file: str
    ids: list[str] = field(default_factory=list)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, place: str, expected: str) -> None:
        """Note a place."""
        self.places.setdefault(name, []).append(place)
        self.expected.setdefault(name, expected)

    @property
    def findings(self) -> list[Finding]:
        """One of each name."""
        return [
            Finding(name, self.file, shorten(places), self.expected[name])
            for name, places in self.places.items()
        ]

    def mean(self, column: str) -> float:
        """Return a column's mean, NaN where it is not whole."""
        values = self.values.get(column) or [None]
        return math.nan if None in values else math.fsum(values) / len(values)


def check_table(
    file: str,
    data: bytes,
    columns: Sequence[str],
    *,
    rows: int,
    ids: Collection[str] | None,
) -> Table:
    """Read a metric CSV and gather what is wrong with it.

    Args:
        file: to call it in findings.
        data: its bytes.
        columns: wanted, in order; the first names the video.
        rows: wanted.
        ids: of the videos that must be there, None where nobody knows.
    """
    table = Table(file)
    text = _decode(table, data)
    lines = None if text is None else _split(table, text)
    header = next(lines, (1, []))[1] if lines is not None else None
    if header is None or not _check_header(table, header, columns):
        return table
    table.values = {column: [] for column in columns[1:]}
    first_lines: dict[str, int] = {}
    for line, fields in lines:
        if _check_width(table, line, fields, header):
            row = dict(zip(header, fields, strict=True))
            _check_id(table, line, row.get(columns[0], ""), first_lines)
            for column in columns[1:]:
                if column in row:
                    table.values[column].append(_read_value(table, line, column, row[column]))
    _check_rows(table, rows, ids)
    return table


def _decode(table: Table, data: bytes) -> str | None:
    """Return the text, None where it is none."""
    if len(data) > MAX_BYTES:
        table.add("csv_too_large", "more bytes", f"at most {MAX_BYTES} bytes")
        return None
    if data.startswith(b"\xef\xbb\xbf"):
        table.add("byte_order_mark", "the bytes EF BB BF before the header", "none")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        table.add("encoding", f"line {line}: byte 0x{data[error.start]:02x}", "UTF-8 text")
        return None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        table.add("encoding", f"line {line}: a zero byte, as UTF-16 has", "UTF-8 text")
        return None
    if "\r" in text:
        table.add("line_ends", f"{text.count(chr(13))} carriage returns", "line feeds alone")
    return text


def _split(table: Table, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of all lines that are not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1  # a quoted field may span lines: the first counts
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            table.add("field_count", f"line {line}: {error}", "a CSV row")
            return
        if fields:
            yield line, fields
        else:
            table.add("empty_line", f"line {line}", "a row in each line")


def _check_header(table: Table, header: list[str], columns: Sequence[str]) -> bool:
    """Check the header; return whether rows below it can be read."""
    wanted = ",".join(columns)
    if len(header) == 1 and re.search(r"[;\t]", header[0]):
        table.add("delimiter", f"the header {_show(header[0])}", f"commas: {wanted}")
        return False
    for column in dict.fromkeys(header):
        if column not in columns:
            table.add("extra_column", _show(column), f"{wanted} alone")
        elif header.count(column) > 1:
            table.add("double_column", column, "each column once")
    for column in columns:
        if column not in header:
            table.add("missing_column", column, wanted)
    known = [column for column in dict.fromkeys(header) if column in columns]
    if known != [column for column in columns if column in known]:
        table.add("column_order", ",".join(known), wanted)
    return columns[0] in header


def _check_width(table: Table, line: int, fields: list[str], header: list[str]) -> bool:
    if len(fields) == len(header):
        return True
    expected = f"{len(header)} fields in each row"
    if len(fields) == 2 * len(header) - 1 and all(f.lstrip("+-").isdecimal() for f in fields[1:]):
        table.add("decimal_comma", f"line {line}: {_show(','.join(fields))}", "points, as in 0.5")
    else:
        table.add("field_count", f"line {line}: {len(fields)} fields", expected)
    return False


def _check_id(table: Table, line: int, video: str, first_lines: dict[str, int]) -> None:
    if not VIDEO_ID.fullmatch(video):
        table.add("bad_id", f"line {line}: {_show(video)}", "ids such as video_0001")
    elif video in first_lines:
        table.add(
            "duplicate_id", f"{video} in lines {first_lines[video]} and {line}", "each id once"
        )
    first_lines.setdefault(video, line)
    table.ids.append(video)


def _read_value(table: Table, line: int, column: str, text: str) -> float | None:
    """Read a cell; None where it holds no number."""
    place = f"line {line}, column {column}: {_show(text)}"
    bare = text.strip().lower()
    if not bare:
        table.add("blank_value", place, "a number in each cell")
    elif bare in MISSING_WORDS:
        table.add("not_a_number", place, "a number in each cell")
    elif bare.lstrip("+-") in INFINITE_WORDS or (
        NUMBER.fullmatch(text) and math.isinf(float(text))
    ):
        table.add("infinite_value", place, "finite numbers")
    elif DECIMAL_COMMA.fullmatch(bare):
        table.add("decimal_comma", place, "points, as in 0.5")
    elif not NUMBER.fullmatch(text):
        table.add("malformed_value", place, "decimal numbers such as 0.25")
    else:
        return _check_range(table, place, column, float(text))
    return None


def _check_range(table: Table, place: str, column: str, value: float) -> float:
    low, high = RANGES[column]
    if column == "rmse" and value == 0:
        table.add("zero_rmse", place, "an RMSE above 0")
    elif not low - SLACK <= value <= high + SLACK:
        name = SCORE_OF_COLUMN.get(column, column)
        table.add("out_of_range", place, f"{name} in [{low:g}, {high:.4g}]")
    return value


def _check_rows(table: Table, rows: int, ids: Collection[str] | None) -> None:
    if len(table.ids) != rows:
        table.add("row_count", f"{len(table.ids)} rows", f"{rows} rows below the header")
    if ids is None:
        return
    there = set(table.ids)
    for video in sorted(there - set(ids)):
        table.add("unknown_id", _show(video), "the test set's ids alone")
    for video in sorted(set(ids) - there):
        table.add("missing_id", video, "each video of the test set")


def _show(text: str) -> str:
    """Show foreign text on one short line, quoted, without control characters."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 60 else f"{quoted[:56]} ..."
