"""CSV files: the same bytes from rows as from a table, and complete or absent."""

import pandas as pd
import pytest

from vqe.files import write_csv, write_rows

COLUMNS = ("path", "target", "h")
ROWS = [
    ("a/x/1.png", "", 4),
    ('comma, "quoted"', "視頻 ü", 12),
    ("line\nfeed", "carriage\rreturn", 0),
    (" blanks ", "'", -1),
]


def test_rows_give_the_bytes_of_a_table(tmp_path):
    write_rows(COLUMNS, iter(ROWS), tmp_path / "rows.csv")
    write_csv(pd.DataFrame(ROWS, columns=COLUMNS), tmp_path / "table.csv")
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.csv", "table.csv"]


def test_folder_is_made(tmp_path):
    write_rows(COLUMNS, [], tmp_path / "new/rows.csv")
    assert (tmp_path / "new/rows.csv").read_bytes() == b"path,target,h\n"


def test_failure_leaves_the_old_file(tmp_path):
    def broken():
        yield from ROWS
        raise OSError(28, "No space left on device")

    path = tmp_path / "rows.csv"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left"):
        write_rows(COLUMNS, broken(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]
    assert path.read_text() == "old"
