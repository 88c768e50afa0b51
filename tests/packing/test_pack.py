"""`submission.py pack` and `check`: what is written, the same bytes each time, all or nothing."""

import hashlib
import os
import shutil
import stat
import sys
import zipfile

import pytest
from packing_data import (
    COUNTS,
    FRAMES,
    SIZES,
    compose_command,
    find,
    make_all,
    pack_run,
    read_manifest_text,
    read_zip,
    write_zip,
)

from vqe import schema
from vqe.cli import REPOSITORY
from vqe.packing import zipping
from vqe.packing.expectations import SourceVideo, find_reference, read_expectations
from vqe.packing.fact_sheet import count_team_places, write_fact_sheet
from vqe.packing.members import Member
from vqe.packing.pack import pack
from vqe.packing.zipping import PackingError, check_zip, plan_zips
from vqe.submission import COMMANDS

sys.path.insert(0, str(REPOSITORY / "codalab_scoring"))
import score

PARTS = [f"videos_{number}_of_3.zip" for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def made(tmp_path_factory, nano_checkpoint):
    return make_all(tmp_path_factory, nano_checkpoint)


def read_files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_leaderboard_s_script_takes_the_zip(made):
    result = score.score_submission(made / "packed/metrics.zip", supervised=2, unsupervised=3)
    # by hand: p 0.5; a1..a3 0.5, 0.4, 0.5; a4 1/3; a5..a11 0.6; rmse 0.1
    expected = (0.5 + 0.5 + 0.4 + 0.5 + (1 - 1 / 3) + 7 * 0.6) / 12 / 0.1
    assert result["score"] == pytest.approx(expected)


@pytest.mark.parametrize("what", ["packed", "run", "plain", "zips", "metrics", "videos"])
def test_what_is_good_is_good(what, made, tmp_path):
    plain = shutil.copytree(made / "run/results", tmp_path / "plain")
    shutil.copytree(made / "run/videos", plain, dirs_exist_ok=True)
    zips = sorted((made / "packed").glob("*.zip"))
    path = {"plain": plain, "zips": zips, "metrics": zips[0], "videos": zips[1]}.get(
        what, made / what
    )
    errors, notes = find(path, tmp_path / "report.csv")
    assert errors == set()
    assert notes <= {"not_compared", "team_places"}
    assert ("not_compared" in notes) == (what != "run")  # which names its test.csv


def test_zips_hold_the_files_at_their_root_and_nothing_else(made):
    members = read_zip(made / "packed/metrics.zip")
    assert list(members) == [schema.SUPERVISED_CSV, schema.UNSUPERVISED_CSV]
    videos = read_zip(made / "packed/videos_1_of_1.zip")
    assert list(videos) == [f"{video}.mp4" for video in sorted(SIZES)]
    for name, data in (members | videos).items():
        folder = "results" if name.endswith("csv") else "videos"
        assert data == (made / "run" / folder / name).read_bytes()


def test_members_say_nothing_of_where_and_when(made):
    kinds = {"metrics.zip": zipfile.ZIP_DEFLATED, "videos_1_of_1.zip": zipfile.ZIP_STORED}
    for name, compression in kinds.items():
        with zipfile.ZipFile(made / "packed" / name) as archive:
            for info in archive.infolist():
                assert info.compress_type == compression
                assert info.date_time == (1980, 1, 1, 0, 0, 0)
                assert info.external_attr >> 16 == stat.S_IFREG | 0o644
                assert (info.extra, info.comment, info.flag_bits & 8) == (b"", b"", 0)


def test_the_same_run_gives_the_same_bytes(made, tmp_path):
    run = shutil.copytree(made / "run", tmp_path / "elsewhere")
    for path in run.rglob("*.mp4"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o600)
    assert pack_run(run, tmp_path / "again") == 0
    again, first = read_files(tmp_path / "again"), read_files(made / "packed")
    assert again == first


def test_the_manifest_knows_each_byte(made):
    files = read_files(made / "packed")
    zips = read_manifest_text(made / "packed")["zips"]
    assert set(zips) == {name for name in files if name.endswith(".zip")}
    for name, entry in zips.items():
        assert entry["sha256"] == hashlib.sha256(files[name]).hexdigest()
        assert entry["bytes"] == len(files[name])
        for member, data in read_zip(made / "packed" / name).items():
            one = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            assert entry["files"][member] == one


def test_videos_are_cut_into_parts_below_a_size(made, tmp_path):
    largest = max(path.stat().st_size for path in (made / "run/videos").iterdir())
    part_mb = (largest + 200) / 1e6
    assert pack_run(made / "run", tmp_path / "parts", f"part_mb={part_mb}") == 0
    zips = sorted((tmp_path / "parts").glob("videos*.zip"))
    assert [path.name for path in zips] == PARTS
    assert all(path.stat().st_size <= part_mb * 1e6 for path in zips)
    report = tmp_path / "report.csv"
    reference = f"reference='{made / 'data'}'"
    assert find(tmp_path / "parts", report, reference)[0] == set()
    assert find(zips[1], report, reference) == (set(), {"part_alone"})
    assert find(zips[:2], report, reference)[0] == {"missing_part"}
    zips[2].unlink()
    assert find(tmp_path / "parts", report, reference)[0] == {"manifest", "missing_part"}


def test_parts_are_as_full_as_they_can_be(tmp_path):
    sizes = [400, 400, 300, 700, 100]
    members = [Member(f"video_{i:04d}.mp4", tmp_path) for i in range(5)]
    entries = {m.name: {"bytes": size} for m, size in zip(members, sizes, strict=True)}
    overhead = 30 + 46 + 2 * len(members[0].name)
    plans = plan_zips(members, entries, (800 + 2 * overhead + 22) / 1e6)
    parts = [[entries[m.name]["bytes"] for m in plan.members] for plan in plans]
    assert parts == [[400, 400], [300], [700, 100]]
    with pytest.raises(ValueError, match=r"expected part_mb of at least 0\.0 for video_0003"):
        plan_zips(members, entries, 600 / 1e6)


def test_a_run_with_an_error_is_not_packed(made, tmp_path, capsys):
    run = shutil.copytree(made / "run", tmp_path / "run")
    (run / "videos/video_0002.mp4").unlink()
    assert pack_run(run, tmp_path / "packed") == 1
    assert not (tmp_path / "packed").exists()
    out = capsys.readouterr().out
    assert "error missing_video: video_0002.mp4: found no such file; expected one for each" in out
    assert pack_run(run, tmp_path / "packed", "only_csv=true") == 0
    assert [p.name for p in (tmp_path / "packed").glob("*.zip")] == ["metrics.zip"]


def test_the_challenge_s_counts_are_the_default(made, tmp_path, capsys):
    config = compose_command("pack", f"run='{made / 'run'}'", "efficiency=false")
    assert (config.supervised, config.unsupervised) != (500, 3000)
    config.supervised, config.unsupervised, config.output = 500, 3000, str(tmp_path / "packed")
    assert pack(config) > 0
    out = capsys.readouterr().out
    assert "found 2 rows; expected 500 rows" in out
    assert "found 3 rows; expected 3000 rows" in out
    config.supervised = config.unsupervised = None  # those of the run's test.csv
    assert pack(config) == 0


def test_what_ends_packing_leaves_nothing(made, tmp_path, monkeypatch):
    output = tmp_path / "packed"
    assert pack_run(made / "run", output) == 0
    before = read_files(output)
    calls = []

    def fail(path, entries):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return check_zip(path, entries)

    monkeypatch.setattr(zipping, "check_zip", fail)
    for target in (tmp_path / "new", output):
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            pack_run(made / "run", target)
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
    assert read_files(output) == before


def test_a_video_that_changes_while_it_is_packed_is_found(made, tmp_path, monkeypatch):
    run = shutil.copytree(made / "run", tmp_path / "run")

    def change(*arguments):
        shutil.copy(run / "videos/video_0001.mp4", run / "videos/video_0007.mp4")
        return zipping.write_zips(*arguments)

    monkeypatch.setattr("vqe.packing.pack.write_zips", change)
    with pytest.raises(PackingError, match=r"expected video_0007\.mp4 as it was checked"):
        pack_run(run, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_folder_of_somebody_else_is_not_overwritten(made, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"new folder or one of an earlier packing.*mine\.txt"):
        pack_run(made / "run", tmp_path)
    zips = tmp_path / "zips"
    zips.mkdir()
    write_zip(zips / "holiday.zip", {"a.jpg": b""})
    with pytest.raises(ValueError, match=r"earlier packing.*holiday\.zip"):
        pack_run(made / "run", zips)


def test_a_fact_sheet_that_was_filled_in_is_not_overwritten(made, tmp_path):
    packed = shutil.copytree(made / "packed", tmp_path / "packed")
    assert pack_run(made / "run", packed) == 0
    sheet = packed / "fact_sheet.md"
    sheet.write_text(sheet.read_text().replace("**TEAM:** title of the method", "Nano"))
    with pytest.raises(ValueError, match=r"expected no words of yours.*fact_sheet\.md"):
        pack_run(made / "run", packed)
    assert "Nano" in sheet.read_text()
    (packed / "poster.pdf").write_text("x")
    reference = f"reference='{made / 'data'}'"
    assert find(packed, tmp_path / "report.csv", reference) == (set(), {"left_out", "team_places"})


def test_foreign_files_of_a_run_are_left_out(made, tmp_path):
    run = shutil.copytree(made / "run", tmp_path / "run")
    (run / "results/notes.txt").write_text("x")
    (run / "videos/.DS_Store").write_text("x")
    assert find(run, tmp_path / "report.csv") == (set(), {"left_out"})
    assert pack_run(run, tmp_path / "packed") == 0
    assert list(read_zip(tmp_path / "packed/metrics.zip")) == list(score.COLUMNS)


def test_the_test_set_is_what_the_run_s_config_names(made):
    path, query = find_reference(made / "run")
    assert (path, query) == (made / "data/test.csv", None)
    expected = read_expectations(path, supervised=None, unsupervised=None)
    assert (expected.supervised, expected.unsupervised) == (2, 3)
    assert expected.videos == {
        video: SourceVideo(FRAMES, width, height) for video, (width, height) in SIZES.items()
    }
    some = read_expectations(
        path, supervised=None, unsupervised=None, query="video_id != 'video_0001'"
    )
    assert set(some.videos) == set(SIZES) - {"video_0001"}
    with pytest.raises(ValueError, match=r"expected reference=<test\.csv>"):
        read_expectations(None, supervised=None, unsupervised=3)


def test_the_fact_sheet_holds_facts_and_marks_the_team_s(made):
    text = (made / "packed/fact_sheet.md").read_text()
    assert "`vqe.models.Nano`. Nano: a coarse grid of colour maps" in text
    for fact in ("| m_5 (a4) | 0.333333 |", "| rmse (rmse) | 0.100000 |", "| batch | 32 |"):
        assert fact in text
    assert "adamw, 0.0008, 0.0001" in text
    assert str(made) not in text  # folders are nobody's business
    assert count_team_places(text) == text.count("TEAM:** ") >= 8


def test_a_training_whose_config_is_not_here_is_the_team_s_to_tell(made):
    arguments = {"score": 1.0, "means": {}, "efficiency": None, "zips": {}}
    text = write_fact_sheet(made / "data", made / "data", **arguments)
    assert "training is not here. **TEAM:** how it was trained" in text
    assert "| batch |" not in text


def test_scores_of_the_stand_in_are_noted(made, tmp_path):
    run = shutil.copytree(made / "run", tmp_path / "run")
    config = run / ".hydra/config.yaml"
    config.write_text(config.read_text().replace("weights: VQA.ckpt", "weights: standin"))
    assert find(run, tmp_path / "report.csv") == (set(), {"stand_in_scores"})


def test_check_takes_its_path_as_a_value_of_the_command():
    assert COMMANDS(["check=a.zip", "show=1"]) == [
        "--config-name=submission_check",
        "check=['a.zip']",
        "show=1",
    ]
    assert COMMANDS(["check=a.zip,b.zip"])[1] == "check=['a.zip','b.zip']"
    assert COMMANDS(["pack", "run=x"]) == ["--config-name=submission_pack", "run=x"]
    with pytest.raises(ValueError, match="expected the first word to be one of pack, check"):
        COMMANDS(["zip"])


def run_command(monkeypatch, capsys, *arguments):
    """Run the entry; return its status and what it said."""
    from vqe.submission import main

    monkeypatch.setattr(sys, "argv", ["submission.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, capsys.readouterr()


def test_statuses_are_0_1_and_2(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    here = (*COUNTS, "parallel.jobs=1")
    check = f"check='{made / 'packed'}'"
    status, said = run_command(monkeypatch, capsys, check, *here)
    assert status == 0
    assert said.out.splitlines()[-1] == "good: 2 CSVs, 3 videos; 0 errors, 2 notes"
    status, said = run_command(monkeypatch, capsys, check, "parallel.jobs=1", "show=1")
    assert status == 1
    assert "error row_count" in said.out
    status, said = run_command(monkeypatch, capsys, "check=nowhere.zip", *here)
    assert (status, len(said.err.splitlines())) == (2, 1)
    status, said = run_command(monkeypatch, capsys, "pack", "run=nowhere", *here)
    assert status == 2
    assert said.err.startswith("error: expected run to be a folder")
    assert not list(tmp_path.iterdir())  # nothing is written beside the output
