"""The stand-alone scorer: known answers worked out by hand, and malformed submissions."""

import csv
import importlib.util
import io
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from vqe import schema

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "codalab_scoring" / "score.py"
SAMPLE = ROOT / "codalab_scoring" / "sample_submission"
SUP, UNSUP = "metrics_supervised.csv", "metrics_unsupervised.csv"
HEADER = "video_i," + ",".join(f"m_{i}" for i in range(1, 13))


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPT.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


score = load("score")


def good_files():
    """Two supervised and three unsupervised videos; the means are easy to see."""
    rows = [f"video_{i:04d},{p}" + ",0.5" * 3 + f",{a4}" + ",0.5" * 7 for i, p, a4 in UNSUP_ROWS]
    return {
        SUP: "video_i,rmse\nvideo_0001,0.05\nvideo_0002,0.15\n",
        UNSUP: "\n".join([HEADER, *rows]) + "\n",
    }


UNSUP_ROWS = [(1, 0.25, 0.2), (2, 0.5, 0.2), (7, 0.75, 0.5)]
# means: p 0.5, a4 0.3, the ten others 0.5, rmse 0.1
KNOWN_SCORE = (0.5 + 0.7 + 10 * 0.5) / 12 / 0.1


def write_folder(tmp_path, files):
    folder = tmp_path / "results"
    folder.mkdir()
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
    return folder


def write_zip(tmp_path, files):
    path = tmp_path / "results.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def run(path, *options, supervised=2, unsupervised=3):
    counts = ["--supervised", str(supervised), "--unsupervised", str(unsupervised)]
    return score.main(["--results", str(path), *counts, *options])


def test_known_answer(tmp_path):
    path = write_folder(tmp_path, good_files())

    result = score.score_submission(path, supervised=2, unsupervised=3)

    assert result["score"] == pytest.approx(KNOWN_SCORE, rel=1e-12)
    assert result["rmse"] == pytest.approx(0.1, rel=1e-12)
    assert result["means"]["m_5"] == pytest.approx(0.3, rel=1e-12)
    assert result["counts"] == {"supervised": 2, "unsupervised": 3}


@pytest.mark.parametrize("top", ["", "my submission/"])
def test_zip_scores_like_a_folder(tmp_path, top):
    path = write_zip(tmp_path, {top + name: text for name, text in good_files().items()})

    result = score.score_submission(path, supervised=2, unsupervised=3)

    assert result["score"] == pytest.approx(KNOWN_SCORE, rel=1e-12)


def test_zip_with_an_entry_for_its_folder(tmp_path):
    path = write_zip(tmp_path, {"x/": "", **{f"x/{n}": text for n, text in good_files().items()}})

    assert run(path) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
        lambda text: text.replace("video_0001", '"video_0001"'),
        lambda text: text.replace("0.05", "5e-2").replace("0.75", "+.75"),
    ],
    ids=["bom", "crlf", "no last newline", "empty lines", "quotes", "exponents"],
)
def test_what_editors_and_spreadsheets_do_is_accepted(tmp_path, change):
    files = {name: change(text) for name, text in good_files().items()}
    path = write_folder(tmp_path, files)

    result = score.score_submission(path, supervised=2, unsupervised=3)

    assert result["score"] == pytest.approx(KNOWN_SCORE, rel=1e-12)


def test_table_shows_names_and_both_forms_of_the_inverted_score(tmp_path, capsys):
    assert run(write_folder(tmp_path, good_files())) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["m_1", "p", "0.5000", "0.5000"] in lines
    assert ["m_5", "a4", "0.3000", "0.7000", "(1", "-", "a4)"] in lines
    assert ["m_12", "a11", "0.5000", "0.5000"] in lines
    assert ["rmse", "0.1000"] in lines
    assert lines[-1] == ["score", "5.1667"]


def test_json_is_all_that_is_printed(tmp_path, capsys):
    assert run(write_folder(tmp_path, good_files()), "--json") == 0

    result = json.loads(capsys.readouterr().out)
    assert result["score"] == pytest.approx(KNOWN_SCORE, rel=1e-12)
    assert list(result["means"]) == [f"m_{i}" for i in range(1, 13)]


def test_agrees_with_the_schema_of_the_package():
    means = {name: 0.01 * i for i, name in enumerate(schema.SCORES, start=3)}
    by_column = {column: means[name] for column, name in schema.SCORE_OF_COLUMN.items()}

    assert score.SCORE_OF_COLUMN == schema.SCORE_OF_COLUMN
    assert score.INVERTED_SCORES == schema.INVERTED_SCORES
    assert score.COLUMNS == {
        schema.SUPERVISED_CSV: schema.SUPERVISED_COLUMNS,
        schema.UNSUPERVISED_CSV: schema.UNSUPERVISED_COLUMNS,
    }
    assert score.leaderboard_score(by_column, 0.07) == pytest.approx(
        schema.leaderboard_score(means, 0.07), rel=1e-12
    )


def test_is_stand_alone(tmp_path):
    code = f"""
import runpy, sys
sys.modules["vqe"] = sys.modules["numpy"] = None
sys.argv = ["score.py", "--results", {str(SAMPLE)!r}]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)

    assert done.returncode == 0, done.stderr


def test_command_scores_the_sample_submission():
    done = subprocess.run(
        [sys.executable, "codalab_scoring/score.py", "--results", SAMPLE.relative_to(ROOT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    with (SAMPLE / SUP).open() as file:
        rmse = [float(row["rmse"]) for row in csv.DictReader(file)]
    with (SAMPLE / UNSUP).open() as file:
        rows = list(csv.DictReader(file))
    assert (len(rmse), len(rows)) == (500, 3000)
    total = sum(float(row[f"m_{i}"]) for row in rows for i in range(1, 13) if i != 5)
    total += sum(1 - float(row["m_5"]) for row in rows)
    expected = total / 12 / 3000 / (sum(rmse) / 500)
    assert done.stdout.split()[-2:] == ["score", f"{expected:.4f}"]


def test_sample_submission_is_what_its_script_makes(tmp_path):
    subprocess.run(
        [sys.executable, SCRIPT.with_name("make_sample_submission.py"), "--dir_out", tmp_path],
        check=True,
    )

    assert sorted(path.name for path in SAMPLE.iterdir()) == [SUP, UNSUP]
    for name in (SUP, UNSUP):
        assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes()


def replace(name, old, new, count=1):
    """Change a good submission's file; the text to change must be there."""

    def change(files):
        assert old in files[name]
        files[name] = files[name].replace(old, new, count)

    return change


def set_file(name, content):
    return lambda files: files.__setitem__(name, content)


def set_cell(value):
    return replace(UNSUP, "video_0002,0.5,", f"video_0002,{value},")


def set_rmse(value):
    return replace(SUP, "video_0002,0.15", f"video_0002,{value}")


CELL = [UNSUP, "line 3", "column m_1"]
RMSE = [SUP, "line 3", "column rmse"]
TOO_LONG = "video_0002," + "0.5," * 12 + "0.5"
MALFORMED = {
    # files
    "no supervised file": (lambda files: files.pop(SUP), [SUP, "missing"]),
    "no unsupervised file": (lambda files: files.pop(UNSUP), [UNSUP, "missing"]),
    "extra file": (set_file("notes.txt", "hello"), ["notes.txt"]),
    "hidden file": (set_file(".DS_Store", b"\0\1"), [".DS_Store"]),
    "name in capitals": (
        lambda files: files.__setitem__(SUP.upper(), files.pop(SUP)),
        [SUP.upper()],
    ),
    # text
    "empty file": (set_file(SUP, ""), [SUP, "video_i, rmse"]),
    "empty lines": (set_file(SUP, "\n\n\n"), [SUP, "video_i, rmse"]),
    "header alone": (set_file(SUP, "video_i,rmse\n"), [SUP, "expected 2 rows", "got 0"]),
    "binary": (set_file(SUP, b"video_i,rmse\nvideo_0001,\x89PNG\xff\n"), [SUP, "line 2", "UTF-8"]),
    "zero byte": (set_file(SUP, b"video_i,rmse\nvideo_0001,\x00\n"), [SUP, "line 2", "zero byte"]),
    "utf-16": (set_file(SUP, good_files()[SUP].encode("utf-16")), [SUP, "line 1", "UTF-8"]),
    "latin-1": (set_file(SUP, "video_i,rmse\nvid\xe9o_1,0.1\n".encode("latin-1")), [SUP, "line 2"]),
    "semicolons": (
        set_file(SUP, good_files()[SUP].replace(",", ";")),
        [SUP, "line 1", "missing"],
    ),
    "open quote": (replace(SUP, "0.05", '"0.05'), [SUP, "line 2"]),
    "text after a quote": (replace(SUP, "0.05", '"0.05"x'), [SUP, "line 2"]),
    "huge field": (replace(SUP, "0.05", "0" * 200_000), [SUP, "line 2"]),
    # columns
    "no header": (replace(SUP, "video_i,rmse\n", ""), [SUP, "line 1", "video_i"]),
    "misspelt column": (replace(SUP, "rmse", "RMSE"), [SUP, "line 1", "column 'RMSE'"]),
    "space in a column": (replace(SUP, "rmse", " rmse"), [SUP, "line 1", "column ' rmse'"]),
    "missing column": (replace(UNSUP, ",m_7", ""), [UNSUP, "line 1", "'m_7'"]),
    "missing last column": (replace(UNSUP, ",m_12", ""), [UNSUP, "line 1", "column 'm_12'"]),
    "extra column": (replace(UNSUP, "m_12", "m_12,m_13"), [UNSUP, "line 1", "column 'm_13'"]),
    "doubled column": (replace(UNSUP, "m_12", "m_12,m_12"), [UNSUP, "line 1", "'m_12'"]),
    "index column": (replace(UNSUP, "video_i", ",video_i"), [UNSUP, "line 1"]),
    "reordered columns": (replace(UNSUP, "m_1,m_2", "m_2,m_1"), [UNSUP, "line 1", "order"]),
    "score names as columns": (replace(UNSUP, "m_1,", "p,"), [UNSUP, "line 1", "column 'p'"]),
    "swapped files": (
        lambda files: files.update({SUP: files[UNSUP], UNSUP: files[SUP]}),
        [SUP, "line 1", "m_1"],
    ),
    # rows
    "a row too few": (replace(SUP, "video_0002,0.15\n", ""), [SUP, "expected 2 rows", "got 1"]),
    "a row too many": (
        replace(SUP, "0.15\n", "0.15\nvideo_0003,0.1\n"),
        [SUP, "expected 2 rows", "got 3"],
    ),
    "short row": (replace(SUP, "video_0002,0.15", "video_0002"), [*RMSE, "got 1"]),
    "long row": (
        replace(UNSUP, "video_0002" + ",0.5" * 4, TOO_LONG),
        [UNSUP, "line 3", "expected 13 fields"],
    ),
    "trailing comma": (replace(SUP, "0.15", "0.15,"), [SUP, "line 3", "after column rmse"]),
    "repeated header": (replace(SUP, "0.05\n", "0.05\nvideo_i,rmse\n"), [SUP, "line 3", "video_i"]),
    # ids
    "doubled id": (replace(SUP, "video_0002", "video_0001"), [SUP, "line 3", "video_i", "line 2"]),
    "blank id": (replace(SUP, "video_0002", ""), [SUP, "line 3", "column video_i"]),
    "id without a number": (replace(SUP, "video_0002", "video_"), [SUP, "line 3", "video_i"]),
    "file name as id": (replace(SUP, "video_0002", "video_0002_x.mp4"), [SUP, "line 3", "video_i"]),
    "space after an id": (replace(SUP, "video_0002", "video_0002 "), [SUP, "line 3", "video_i"]),
    "number as id": (replace(UNSUP, "video_0002", "2"), [UNSUP, "line 3", "video_i"]),
    "arabic digits in an id": (
        replace(SUP, "video_0002", "video_\u0662"),
        [SUP, "line 3", "video_i"],
    ),
    "line break in an id": (replace(SUP, "video_0002", '"video_0002\n"'), [SUP, "line 3"]),
    # values
    "blank": (set_cell(""), CELL),
    "blank m_5": (
        replace(UNSUP, "0.2,", ",", 1),
        [UNSUP, "line 2", "column m_5"],
    ),
    "nan": (set_cell("nan"), CELL),
    "NaN": (set_cell("NaN"), CELL),
    "NA": (set_cell("NA"), CELL),
    "inf": (set_cell("inf"), CELL),
    "-Infinity": (set_cell("-Infinity"), CELL),
    "overflow": (set_cell("1e999"), CELL),
    "text": (set_cell("good"), CELL),
    "bool": (set_cell("True"), CELL),
    "hexadecimal": (set_cell("0x1"), CELL),
    "hexadecimal float": (set_cell("0x1p-1"), CELL),
    "underscore": (set_cell("0.2_5"), CELL),
    "decimal comma": (set_cell('"0,25"'), CELL),
    "thousands separator": (set_rmse('"1,000"'), RMSE),
    "percent": (set_cell("50%"), CELL),
    "unit": (set_cell("0.5dB"), CELL),
    "two dots": (set_cell("0.5.1"), CELL),
    "space": (set_cell(" 0.5"), CELL),
    "non-breaking space": (set_cell("0.5\u00a0"), CELL),
    "arabic digits": (set_cell("\u0660.\u0665"), CELL),
    "full-width digits": (set_cell("\uff10.\uff15"), CELL),
    "complex number": (set_cell("0.5+0j"), CELL),
    "formula": (set_cell("=1/2"), CELL),
    "tensor": (set_cell("tensor(0.5)"), CELL),
    "two signs": (set_cell("--0.5"), CELL),
    "lone exponent": (set_cell("e5"), CELL),
    "line after a quoted line break": (set_cell('"0.5\n"'), CELL),
    # ranges
    "p below 0": (set_cell("-0.01"), CELL),
    "p above 1": (set_cell("1.01"), CELL),
    "attribute below -1": (replace(UNSUP, ",0.2,", ",-1.1,"), [UNSUP, "line 2", "column m_5"]),
    "public filler": (set_cell("-9999"), CELL),
    "public filler of the rmse": (set_rmse("9999"), RMSE),
    "rmse 0": (set_rmse("0"), RMSE),
    "rmse -0.0": (set_rmse("-0.0"), RMSE),
    "rmse below 0": (set_rmse("-0.1"), RMSE),
    "rmse that rounds to 0": (set_rmse("1e-400"), RMSE),
    "rmse in steps of 8 bits": (set_rmse("5.8"), RMSE),
    "rmse blank": (set_rmse(""), RMSE),
    "rmse so small that the score overflows": (
        set_file(SUP, "video_i,rmse\nvideo_0001,1e-320\nvideo_0002,1e-320\n"),
        [SUP, "column rmse"],
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_submission_is_refused(tmp_path, capsys, name):
    files = good_files()
    change, words = MALFORMED[name]
    change(files)

    assert run(write_folder(tmp_path, files), "--json") == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and len(err) < 600
    for word in words:
        assert word in err


def bad_path(tmp_path, kind):
    path = tmp_path / kind
    files = good_files()
    if kind == "empty folder":
        path.mkdir()
    elif kind == "csv instead of a zip":
        path.write_text(files[SUP])
    elif kind == "empty zip":
        return write_zip(tmp_path, {})
    elif kind == "member without a name":
        data = write_zip(tmp_path, files).read_bytes()
        at = data.rindex(b"PK\x01\x02")  # the last member in the list of contents
        name = len(UNSUP)
        gone = data[at : at + 28] + b"\0\0" + data[at + 30 : at + 46] + data[at + 46 + name :]
        end = gone.index(b"PK\x05\x06")
        size = int.from_bytes(gone[end + 12 : end + 16], "little") - name
        path.write_bytes(
            data[:at] + gone[: end + 12] + size.to_bytes(4, "little") + gone[end + 16 :]
        )
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "empty file":
        path.touch()
    elif kind == "truncated zip":
        path.write_bytes(write_zip(tmp_path, files).read_bytes()[:-40])
    elif kind == "encrypted zip":
        data = bytearray(write_zip(tmp_path, files).read_bytes())
        data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of the first member
        path.write_bytes(data)
    elif kind == "broken member":
        data = bytearray(write_zip(tmp_path, files).read_bytes())
        data[60] ^= 0xFF
        path.write_bytes(data)
    elif kind == "nested folders":
        return write_zip(tmp_path, {f"a/b/{name}": text for name, text in files.items()})
    elif kind == "two folders":
        return write_zip(tmp_path, {f"{name[8]}/{name}": text for name, text in files.items()})
    elif kind == "zip with an extra file":
        return write_zip(tmp_path, {**files, "__MACOSX/._" + SUP: "junk"})
    elif kind == "zip with a doubled file":
        path = write_zip(tmp_path, files)
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(SUP, files[SUP])
    elif kind == "zip bomb":
        return write_zip(tmp_path, {**files, SUP: files[SUP] + "\n" * 2**26})
    elif kind == "bz2 bomb":
        path = tmp_path / "results.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
            archive.writestr(UNSUP, files[UNSUP])
            archive.writestr(SUP, files[SUP] + "\n" * 2**20)
    elif kind == "bomb with a lying header":
        content = files[SUP] + "\n" * 2**27
        path = write_zip(tmp_path, {**files, SUP: content})
        size = len(content.encode()).to_bytes(4, "little")
        data = path.read_bytes().replace(size, (100).to_bytes(4, "little"))
        path.write_bytes(data)
    elif kind == "folder instead of a file":
        path = write_folder(tmp_path, {UNSUP: files[UNSUP]})
        (path / SUP).mkdir()
    elif kind == "extra folder":
        path = write_folder(tmp_path, files)
        (path / "videos").mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "word"),
    {
        "nothing": "nothing there",
        "empty folder": SUP,
        "csv instead of a zip": "not a zip file",
        "pipe": "something else",
        "member without a name": "zip|" + UNSUP,  # newer Pythons call it "."
        "empty file": "not a zip file",
        "empty zip": SUP,
        "truncated zip": "zip",
        "encrypted zip": "encrypted",
        "broken member": "zip",
        "nested folders": "a/b/",
        "two folders": "missing",
        "zip with an extra file": "__MACOSX",
        "zip with a doubled file": SUP,
        "zip bomb": "at most",
        "bz2 bomb": "stored or deflated",
        "bomb with a lying header": "zip",
        "folder instead of a file": SUP,
        "extra folder": "videos",
    }.items(),
)
def test_what_is_no_submission_is_refused(tmp_path, capsys, kind, word):
    assert run(bad_path(tmp_path, kind)) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    assert any(part in err for part in word.split("|"))


def test_interrupt_exits_130_without_a_traceback(monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(score, "score_submission", interrupt)
    assert run(SAMPLE) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n" * 2**24, "line 1, column 'a'"),
        ("video_i,rmse\n" + "a\n" * 2**24, "line 2, after"),
        ("video_i,rmse\n" + "\n" * 2**24, "line 1002: expected at most 1000 empty lines"),
        ("video_i,rmse\n" + "".join(f"video_{i},0.1\n" for i in range(10**6)), "got 3 or more"),
    ],
)
def test_reading_ends_at_the_first_bad_row(tmp_path, monkeypatch, capsys, text, words):
    rows_read = []
    read_rows = score._read_rows
    monkeypatch.setattr(
        score, "_read_rows", lambda *a: (rows_read.append(row) or row for row in read_rows(*a))
    )
    files = {**good_files(), SUP: text}
    assert run(write_folder(tmp_path, files)) == 2
    assert words.replace(", after", ", column rmse") in capsys.readouterr().err
    assert len(rows_read) < 5


@pytest.mark.parametrize("options", [[], ["--results", ".", "--supervised", "0"]])
def test_wrong_options_exit_2(options):
    with pytest.raises(SystemExit) as stop:
        score.main(options)

    assert stop.value.code == 2


def test_random_damage_never_ends_in_a_traceback(tmp_path, capsys):
    """Flip bytes of a good zip and of its CSVs: a score or an error, never a crash."""
    generator = random.Random(0)
    original = write_zip(tmp_path, good_files()).read_bytes()
    damaged = tmp_path / "damaged.zip"
    codes = []
    for i in range(400):
        if i % 2:
            data = bytearray(original)
            for _ in range(generator.randint(1, 4)):
                data[generator.randrange(len(data))] = generator.randrange(256)
        else:
            files = {name: bytearray(text.encode()) for name, text in good_files().items()}
            content = files[generator.choice([SUP, UNSUP])]
            content[generator.randrange(len(content))] = generator.randrange(256)
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w") as archive:
                for name, text in files.items():
                    archive.writestr(name, bytes(text))
            data = stream.getvalue()
        damaged.write_bytes(data)
        codes.append(run(damaged))
    capsys.readouterr()

    assert set(codes) <= {0, 2}
    assert codes.count(2) > 200
