"""Records of videos: whole lines count, half ones do not; what was made otherwise is not taken."""

import os

import pytest

from vqe.records import Head, Record, RecordWriter, find_records, read_records, stamp_files

IDENTITY = {"weights": "abc", "model_dover": {"variant": "dover", "num_clips": 3}}
RECORDS = [Record(f"a/{i}", "stamp", {"numbers": [0.1 * i, float("inf")]}) for i in range(3)]


def write(run, records=RECORDS, identity=IDENTITY):
    with RecordWriter(run, Head(identity, ["a/0", "a/1", "a/2"])) as writer:
        for record in records:
            writer.append(record)
    return writer.path


def test_what_is_written_is_read(tmp_path):
    write(tmp_path)
    [file] = read_records(tmp_path)
    assert file.records == RECORDS
    assert file.head == Head(IDENTITY, ["a/0", "a/1", "a/2"])
    assert file.run == tmp_path


def test_a_cut_at_any_byte_leaves_whole_records(tmp_path):
    path = write(tmp_path)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        found = [record for file in read_records(tmp_path) for record in file.records]
        complete = sum(length >= len(b"".join(lines[: n + 1])) - 1 for n in range(1, 4))
        assert found == RECORDS[:complete], length


def test_each_process_has_a_file(tmp_path):
    assert write(tmp_path, RECORDS[:1]) != write(tmp_path, RECORDS[1:])
    assert sorted(r.video for f in read_records(tmp_path) for r in f.records) == [
        "a/0",
        "a/1",
        "a/2",
    ]


def test_auto_takes_the_newest_of_the_same_kind(tmp_path):
    others = {**IDENTITY, "weights": "other"}
    for age, (run, identity) in enumerate(
        {"new": IDENTITY, "old": IDENTITY, "other": others}.items()
    ):
        os.utime(write(tmp_path / run, identity=identity), (1e9 - age, 1e9 - age))
    found = find_records("auto", tmp_path / "own", tmp_path, IDENTITY)
    assert [file.run.name for file in found] == ["new", "old"]
    assert find_records(None, tmp_path / "new", tmp_path, IDENTITY) == []


def test_a_run_that_is_named_fits_or_is_refused(tmp_path):
    run = tmp_path / "run"
    write(run)
    assert len(find_records(str(run), tmp_path, tmp_path, IDENTITY)) == 1
    other = {**IDENTITY, "model_dover": {"variant": "dover", "num_clips": 1}}
    with pytest.raises(ValueError, match=r"got other model_dover\.num_clips \(.*run\)"):
        find_records(str(run), tmp_path, tmp_path, other)
    with pytest.raises(FileNotFoundError, match="or a run's folder with records/, got"):
        find_records(str(tmp_path / "gone"), tmp_path, tmp_path, IDENTITY)


def test_a_stamp_tells_size_time_and_absence(tmp_path):
    path = tmp_path / "video"
    stamps = {stamp_files([path]), stamp_files([path], "facts")}
    for content, time in ((b"1", 1), (b"22", 1), (b"22", 2)):
        path.write_bytes(content)
        os.utime(path, (time, time))
        stamps.add(stamp_files([path]))
    assert len(stamps) == 5
    assert stamp_files([path]) in stamps
