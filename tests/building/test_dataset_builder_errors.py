"""Broken, misplaced and missing files: named, left out, and never touched."""

import logging
import shutil
from pathlib import Path

import cv2
import pytest
from challenge_data import (
    CSVS,
    REAL,
    SYNTHETIC,
    TEST_SYNTHETIC,
    TEST_UNSUPERVISED,
    UNSUPERVISED,
    build,
    make_images,
    read_errors,
    read_rows,
    snapshot,
)
from clips import draw_frame, make_clip, make_sound

from vqe.building import extraction
from vqe.building.build import BuildError


def cut_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_partner_frame(source_dir):
    (source_dir / SYNTHETIC / "video_0000/y/00001.jpg").unlink()


def drop_x_frame(source_dir):
    (source_dir / SYNTHETIC / "video_0000/x/00001.jpg").unlink()


def shrink_partner_frame(source_dir):
    _, data = cv2.imencode(".jpg", draw_frame(0, 32, 48))
    (source_dir / SYNTHETIC / "video_0000/y/00001.jpg").write_bytes(data)


def shorten_y(source_dir):
    make_clip(source_dir / REAL / "video_0000_y.mp4", frames=3)


def shrink_y(source_dir):
    make_clip(source_dir / REAL / "video_0000_y.mp4", frames=5, width=32)


def empty_x_folder(source_dir):
    for path in (source_dir / TEST_SYNTHETIC / "video_0000").rglob("*.jpg"):
        path.unlink()


X = SYNTHETIC / "video_0000/x/00001.jpg"
# What to do to a good data set, the file to blame, the reason, the folder of the lost video.
DAMAGES = {
    "truncated mp4": (
        lambda d: cut_half(d / UNSUPERVISED / "video_0001_x.mp4"),
        UNSUPERVISED / "video_0001_x.mp4",
        "cannot be read",
        UNSUPERVISED / "video_0001",
    ),
    "empty mp4": (
        lambda d: (d / UNSUPERVISED / "video_0001_x.mp4").write_bytes(b""),
        UNSUPERVISED / "video_0001_x.mp4",
        "empty file",
        UNSUPERVISED / "video_0001",
    ),
    "text as mp4": (
        lambda d: (d / TEST_UNSUPERVISED / "video_0001_x.mp4").write_bytes(b"hello" * 99),
        TEST_UNSUPERVISED / "video_0001_x.mp4",
        "cannot be read",
        TEST_UNSUPERVISED / "video_0001",
    ),
    "sound only": (
        lambda d: make_sound(d / UNSUPERVISED / "video_0001_x.mp4"),
        UNSUPERVISED / "video_0001_x.mp4",
        "got audio only",
        UNSUPERVISED / "video_0001",
    ),
    "bad y of a pair": (
        lambda d: cut_half(d / REAL / "video_0000_y.mp4"),
        REAL / "video_0000_y.mp4",
        "cannot be read",
        REAL / "video_0000",
    ),
    "x without y": (
        lambda d: (d / REAL / "video_0000_y.mp4").unlink(),
        REAL / "video_0000_x.mp4",
        "expected video_0000_y.mp4 with it",
        REAL / "video_0000",
    ),
    "y without x": (
        lambda d: (d / REAL / "video_0000_x.mp4").unlink(),
        REAL / "video_0000_y.mp4",
        "expected video_0000_x.mp4 with it",
        REAL / "video_0000",
    ),
    "images without y": (
        lambda d: shutil.rmtree(d / SYNTHETIC / "video_0000/y"),
        SYNTHETIC / "video_0000/x",
        "expected y with it",
        SYNTHETIC / "video_0000",
    ),
    "y of another length": (
        shorten_y,
        REAL / "video_0000_y.mp4",
        "expected 6 frames of 64x48 as in x, got 4 of 64x48",
        REAL / "video_0000",
    ),
    "y of another size": (
        shrink_y,
        REAL / "video_0000_y.mp4",
        "expected 6 frames of 64x48 as in x, got 6 of 32x48",
        REAL / "video_0000",
    ),
    "target of an unsupervised video": (
        lambda d: make_clip(d / UNSUPERVISED / "video_0001_y.mp4"),
        UNSUPERVISED / "video_0001_y.mp4",
        "expected no target",
        UNSUPERVISED / "video_0001",
    ),
    "broken image": (
        lambda d: (d / X).write_bytes(b"no image"),
        X,
        "expected a JPEG or PNG image, got UnidentifiedImageError",
        SYNTHETIC / "video_0000",
    ),
    "empty image": (
        lambda d: (d / X).write_bytes(b""),
        X,
        "expected a JPEG or PNG image",
        SYNTHETIC / "video_0000",
    ),
    "missing y frame": (
        drop_partner_frame,
        SYNTHETIC / "video_0000/y",
        "expected every image of x/, got no 00001.jpg",
        SYNTHETIC / "video_0000",
    ),
    "missing x frame": (
        drop_x_frame,
        SYNTHETIC / "video_0000/x",
        "expected every image of y/, got no 00001.jpg",
        SYNTHETIC / "video_0000",
    ),
    "y frame of another size": (
        shrink_partner_frame,
        SYNTHETIC / "video_0000/y/00001.jpg",
        "expected 64x48 as in x, got 32x48",
        SYNTHETIC / "video_0000",
    ),
    "no images": (
        empty_x_folder,
        TEST_SYNTHETIC / "video_0000/x",
        "expected images (.jpg, .jpeg, .png), got none",
        TEST_SYNTHETIC / "video_0000",
    ),
    "odd mp4 name": (
        lambda d: make_clip(d / UNSUPERVISED / "meeting.mp4"),
        UNSUPERVISED / "meeting.mp4",
        "expected video_<number>_{x,y}.mp4",
        None,
    ),
    "other container": (
        lambda d: (d / UNSUPERVISED / "video_0001_x.MOV").write_bytes(b"..."),
        UNSUPERVISED / "video_0001_x.MOV",
        "expected video_<number>_{x,y}.mp4",
        None,
    ),
    "odd folder name": (
        lambda d: make_images(d / SYNTHETIC / "clip_1"),
        SYNTHETIC / "clip_1",
        "expected a folder named video_<number>",
        None,
    ),
    "video in the wrong place": (
        lambda d: make_clip(d / "train" / "video_0001_x.mp4"),
        Path("train/video_0001_x.mp4"),
        "expected videos in train/supervised/synthetic, ",
        None,
    ),
    "folder in the wrong place": (
        lambda d: make_clip(d / "test/supervised/real/video_0000_x.mp4"),
        Path("test/supervised/real"),
        "expected videos in train/supervised/synthetic, ",
        None,
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_skip_leaves_the_bad_video_out(kind, source_dir, caplog):
    damage, file, reason, lost = DAMAGES[kind]
    build(source_dir, minimal_videos=99)
    whole = {name: read_rows(source_dir / name) for name in CSVS}
    for marker in list(source_dir.rglob(extraction.MARKER)):
        shutil.rmtree(marker.parent)
    damage(source_dir)
    damaged = snapshot(source_dir / "train") | snapshot(source_dir / "test")
    with caplog.at_level(logging.WARNING):
        report = build(source_dir, on_error="skip", minimal_videos=99)
    assert [bad.path for bad in report.bad] == [source_dir / file]
    errors = read_errors(source_dir)
    assert list(errors) == [file.as_posix()]
    assert reason in errors[file.as_posix()]
    assert str(source_dir) not in errors[file.as_posix()]
    assert "1 bad files left out" in caplog.text
    prefix = f"{lost.as_posix()}/" if lost else "-"
    for name in CSVS:
        rows = [row for row in whole[name] if not row["img_source"].startswith(prefix)]
        if rows:
            assert read_rows(source_dir / name) == rows
    after = snapshot(source_dir / "train") | snapshot(source_dir / "test")
    assert {path: after[path] for path in damaged} == damaged
    assert not list(source_dir.rglob(".*"))


def test_raise_names_all_after_finishing_the_rest(source_dir):
    cut_half(source_dir / UNSUPERVISED / "video_0000_x.mp4")
    (source_dir / REAL / "video_0000_y.mp4").unlink()
    (source_dir / X).write_bytes(b"")
    with pytest.raises(BuildError, match="3 bad files") as caught:
        build(source_dir)
    for file in (UNSUPERVISED / "video_0000_x.mp4", REAL / "video_0000_x.mp4", X):
        assert f"  {file.as_posix()}: " in str(caught.value)
    assert len(read_errors(source_dir)) == 3
    assert (source_dir / UNSUPERVISED / "video_0002/x/frame_0001.png").exists()
    assert not (source_dir / UNSUPERVISED / "video_0000").exists()
    assert not any((source_dir / name).exists() for name in CSVS)


def test_many_missing_partners_are_one_entry(source_dir):
    make_images(source_dir / SYNTHETIC / "video_0009", sides="x", frames=9)
    (source_dir / SYNTHETIC / "video_0009/y").mkdir()
    build(source_dir, on_error="skip")
    assert read_errors(source_dir) == {
        f"{SYNTHETIC.as_posix()}/video_0009/y": "expected every image of x/, got no 00000.jpg, "
        "00001.jpg, 00002.jpg and 6 more"
    }


def test_both_bad_sides_of_a_pair_are_named(source_dir):
    for side in "xy":
        (source_dir / REAL / f"video_0000_{side}.mp4").write_bytes(b"")
    assert len(build(source_dir, on_error="skip").bad) == 2


def test_only_bad_videos_are_an_error(tmp_path):
    make_clip(tmp_path / UNSUPERVISED / "odd.mp4")
    with pytest.raises(BuildError, match="expected a usable video"):
        build(tmp_path, on_error="skip")


def test_frames_of_another_rate_are_an_error(source_dir):
    build(source_dir)
    before = snapshot(source_dir / "train", mtime=True)
    with pytest.raises(
        BuildError, match=r'6 bad files(.|\n)*"video_fps": 25(.|\n)*Move the folder'
    ):
        build(source_dir, video_fps=25)
    assert snapshot(source_dir / "train", mtime=True) == before


def test_frames_of_another_file_are_an_error(source_dir):
    build(source_dir)
    make_clip(source_dir / UNSUPERVISED / "video_0000_x.mp4", frames=9)
    with pytest.raises(
        BuildError, match=r"1 bad files(.|\n)*train/unsupervised/video_0000: expect"
    ):
        build(source_dir)


def test_frames_of_unknown_origin_beside_an_mp4_are_an_error(source_dir):
    make_images(source_dir / UNSUPERVISED / "video_0000", sides="x")
    with pytest.raises(BuildError, match=r"got no extraction.json\. Move the folder"):
        build(source_dir)
    (source_dir / UNSUPERVISED / "video_0000_x.mp4").unlink()
    assert build(source_dir).videos == 9  # without the mp4 they are frames like any other


def test_damaged_extraction_is_an_error(source_dir):
    build(source_dir)
    (source_dir / UNSUPERVISED / "video_0000/x/frame_0002.png").unlink()
    (source_dir / UNSUPERVISED / "video_0001" / extraction.MARKER).write_text("[")
    with pytest.raises(BuildError, match="2 bad files") as caught:
        build(source_dir)
    assert "video_0000/x: expected 5 frames, got 4" in str(caught.value)
    assert "extraction.json: cannot be read" in str(caught.value)


@pytest.mark.parametrize("name", ["", "absent"])
def test_no_data_names_the_layout(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"real/video_XXXX_\{x,y\}\.mp4"):
        build(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, r"expected data\.on_error raise or skip, got 'ignore'"),
        ({"video_fps": 0}, r"data\.video_fps to be a whole number above 0, got 0"),
        ({"video_fps": 29.97}, r"data\.video_fps to be a whole number"),
        ({"minimal_videos": 0}, r"data\.minimal_videos to be"),
        ({"minimal_frames": -1}, r"data\.minimal_frames to be"),
        ({"backend": "no_such"}, "no_such"),
    ],
)
def test_option_out_of_range_is_an_error(source_dir, options, message):
    with pytest.raises(ValueError, match=message):
        build(source_dir, **options)


def test_failure_while_writing_leaves_nothing(source_dir, monkeypatch):
    encode, calls = cv2.imencode, []

    def run_out_of_space(*args):
        calls.append(args)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return encode(*args)

    before = snapshot(source_dir)
    monkeypatch.setattr(extraction.cv2, "imencode", run_out_of_space)
    with pytest.raises(OSError, match="No space left"):
        build(source_dir)
    assert snapshot(source_dir) == before
