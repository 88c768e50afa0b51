"""The builder's benchmark leaves damaged clips out; test_readme.py runs all of it."""

import shutil

import dataset_builder as benchmark
import pytest
from clips import make_clip


def test_damaged_clips_are_left_out_and_named(tmp_path, capsys):
    for name in ("a", "b/c", "d"):
        make_clip(tmp_path / "clips" / f"{name}.mp4", rate=30, frames=3)
    whole = (tmp_path / "clips/b/c.mp4").read_bytes()
    (tmp_path / "clips/b/c.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "clips/e.mp4").write_bytes(b"")
    found = benchmark.measure_extraction(tmp_path / "work", tmp_path / "clips", quick=True)
    assert found["extract_left_out"] == ["b/c.mp4", "e.mp4"]
    assert found["extract_frames"] == 2 * 3
    assert found["extract_ratio"] > 0
    printed = capsys.readouterr().err
    assert "left out: b/c.mp4: cannot be read" in printed
    assert "left out: e.mp4: expected a video, got an empty file" in printed


def test_no_clips_are_an_error(tmp_path):
    shutil.rmtree(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected mp4s, got none .*--clips"):
        benchmark.copy_clips(tmp_path, tmp_path)
