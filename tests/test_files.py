"""Files and folders are complete or absent; two writers never meet; a full disk is explained."""

import errno
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from conftest import HANGS

from vqe import temporary
from vqe.files import (
    BadFile,
    NoSpaceError,
    complete_or_absent,
    report_bad_files,
    write_csv,
    write_rows,
)
from vqe.temporary import clear_folder, name_temporary

FULL = Path("/dev/full")
COLUMNS = ("path", "target", "h")
ROWS = [
    ("a/x/1.png", "", 4),
    ('comma, "quoted"', "視頻 ü", 12),
    ("line\nfeed", "carriage\rreturn", 0),
    (" blanks ", "'", -1),
]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_rows_give_the_bytes_of_a_table(tmp_path):
    write_rows(COLUMNS, iter(ROWS), tmp_path / "rows.csv")
    write_csv(pd.DataFrame(ROWS, columns=COLUMNS), tmp_path / "table.csv")
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
    assert names(tmp_path) == ["rows.csv", "table.csv"]


def test_folder_is_made(tmp_path):
    write_rows(COLUMNS, [], tmp_path / "new/rows.csv")
    assert (tmp_path / "new/rows.csv").read_bytes() == b"path,target,h\n"


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt(), SystemExit()])
def test_failure_leaves_the_old_file(tmp_path, error):
    def broken():
        yield from ROWS
        raise error

    path = tmp_path / "rows.csv"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_rows(COLUMNS, broken(), path)
    assert names(tmp_path) == ["rows.csv"]
    assert path.read_text() == "old"


def test_folder_is_complete_or_absent_and_replaces_the_old_one(tmp_path):
    target = tmp_path / "new/video_0001"
    for content in ("old", "new"):
        with complete_or_absent(target) as part:
            (part / "x").mkdir(parents=True)
            (part / "x" / content).write_text(content)
            assert target.exists() == (content == "new")
        assert names(target / "x") == [content]
    with pytest.raises(KeyboardInterrupt), complete_or_absent(target) as part:
        (part / "x").mkdir(parents=True)
        raise KeyboardInterrupt
    assert names(target / "x") == ["new"]
    assert names(target.parent) == ["video_0001"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_there_can_be_kept(tmp_path, kind):
    target = tmp_path / "a"
    target.write_text("first") if kind == "file" else (target / "first").mkdir(parents=True)
    with pytest.raises(FileExistsError), complete_or_absent(target, overwrite=False) as part:
        part.write_text("second") if kind == "file" else (part / "second").mkdir(parents=True)
    assert names(tmp_path) == ["a"]
    assert target.read_text() == "first" if kind == "file" else names(target) == ["first"]


def test_two_writers_do_not_meet(tmp_path):
    """Both in the middle of it at once; each result is whole."""
    path, meet, found = tmp_path / "a.txt", threading.Barrier(2), []

    def write(text):
        with complete_or_absent(path) as part:
            part.write_text(text)
            meet.wait(timeout=HANGS)
            found.append((part.name, part.read_text()))
            meet.wait(timeout=HANGS)

    threads = [threading.Thread(target=write, args=(text * 1000,)) for text in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {text for _, text in found} == {"a" * 1000, "b" * 1000}
    assert len({name for name, _ in found}) == 2
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text() in ("a" * 1000, "b" * 1000)


LEAVE = """
import os, sys
from pathlib import Path
from vqe.files import complete_or_absent

with complete_or_absent(Path(sys.argv[1])) as part:
    (part / "x").mkdir(parents=True) if sys.argv[2] == "folder" else part.write_text("half")
    os._exit(9)
"""


@pytest.mark.skipif(os.name != "posix", reason="nobody can be asked whether a process lives")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_leftovers_of_the_dead_are_cleared_and_those_of_the_living_are_not(tmp_path, kind):
    path = tmp_path / "odd [name] *.csv"
    done = subprocess.run([sys.executable, "-c", LEAVE, str(path), kind], check=False)
    assert done.returncode == 9
    [left] = names(tmp_path)
    living = name_temporary(tmp_path / "odd [name] *.csv.gz")  # another file's, and our own
    living.write_text("half")
    foreign = tmp_path / left.replace(temporary.MACHINE, "0" * 8)
    foreign.write_text("half")
    with complete_or_absent(path) as own, complete_or_absent(path) as other:
        assert not (tmp_path / left).exists()
        own.write_text("own")
        other.write_text("other")
    assert names(tmp_path) == sorted([path.name, living.name, foreign.name])
    os.utime(foreign, (0, 0))  # a machine that cannot be asked, long ago
    write_rows(COLUMNS, ROWS, path)
    assert names(tmp_path) == sorted([path.name, living.name])


def test_a_folder_is_cleared_of_all_that_is_in_the_making(tmp_path):
    (tmp_path / "a.part").write_text("a download's, to go on with")
    (tmp_path / ".hidden").write_text("somebody's")
    (tmp_path / ".b.part").mkdir()
    (tmp_path / ".c.1234.part").mkdir()
    name_temporary(tmp_path / "d").write_text("half")
    clear_folder(tmp_path)
    clear_folder(tmp_path / "absent")
    assert names(tmp_path) == [".hidden", "a.part"]


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127])
def test_the_longest_names_work(tmp_path, name):
    with complete_or_absent(tmp_path / name) as part:
        part.write_text(str(part))
    assert names(tmp_path) == [name]


@pytest.mark.parametrize(("needed", "words"), [(None, "enough space"), (5_000_000, "5.0 MB free")])
def test_a_full_disk_is_explained(tmp_path, needed, words):
    message = rf"expected {words} .*{tmp_path}, got [\d.]+ MB free \(No space left on device\)"
    with (
        pytest.raises(NoSpaceError, match=message) as caught,
        complete_or_absent(tmp_path / "a", needed_bytes=needed) as part,
    ):
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []
    travelled = pickle.loads(pickle.dumps(caught.value))  # as from a worker
    assert str(travelled) == str(caught.value)
    assert (travelled.errno, travelled.filename) == (errno.ENOSPC, str(tmp_path))


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is full")
def test_a_disk_that_is_full_in_earnest(tmp_path):
    def fill():
        with FULL.open("wb", buffering=0) as device:
            device.write(b"x")
        yield ()

    with pytest.raises(NoSpaceError, match="MB free"):
        write_rows(COLUMNS, fill(), tmp_path / "a.csv")
    assert names(tmp_path) == []


def test_bad_files_are_listed_then_raised_or_left_out(tmp_path, caplog):
    bad = [BadFile(tmp_path / "b/a.mp4", "is empty"), BadFile(tmp_path / "c", "is, a folder")]
    options = {"error": LookupError, "what": "bad sources", "advice": "Remove them"}
    csv = tmp_path / "errors.csv"
    with pytest.raises(LookupError) as caught:
        report_bad_files(bad, tmp_path, csv, on_error="raise", **options)
    assert str(caught.value) == (
        f"2 bad sources in {tmp_path} (also in errors.csv):\n"
        "  b/a.mp4: is empty\n  c: is, a folder\nRemove them"
    )
    expected = 'path,reason\nb/a.mp4,is empty\nc,"is, a folder"\n'
    assert csv.read_text() == expected
    report_bad_files(bad, tmp_path, csv, on_error="skip", **options)
    assert csv.read_text() == expected
    assert f"2 bad sources left out: see {csv}" in caplog.text
    report_bad_files([], tmp_path, csv, on_error="raise", **options)
    assert csv.read_text() == "path,reason\n"
