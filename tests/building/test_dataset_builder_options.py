"""The builder's options: JPEG frames, rows that name videos, and which images it opens."""

import json
import shutil

import cv2
import numpy as np
import pytest
from challenge_data import (
    CSVS,
    REAL,
    SYNTHETIC,
    TEST_UNSUPERVISED,
    UNSUPERVISED,
    build,
    make_images,
    read_errors,
    read_rows,
    snapshot,
)
from clips import draw_frame, make_clip

from vqe.building import extraction, frames
from vqe.building.build import BuildError
from vqe.schema import FRAME_COLUMNS, VIDEO_COLUMNS
from vqe.video import iter_frames


def test_video_source_names_each_frame_of_each_mp4(source_dir):
    make_clip(source_dir / UNSUPERVISED / "video_0002_x.mp4", times=[0, 40, 55, 140, 300, 900])
    before = snapshot(source_dir, mtime=True)
    report = build(source_dir, source="video", video_fps=24)
    after = snapshot(source_dir, mtime=True)
    assert after.keys() - before.keys() == {*CSVS, "build_errors.csv"}
    assert {path: after[path] for path in before} == before
    rows = read_rows(source_dir / "train.csv") + read_rows(source_dir / "test.csv")
    assert list(rows[0]) == [*FRAME_COLUMNS, *VIDEO_COLUMNS] == [*FRAME_COLUMNS, "frame", "fps"]
    by_clip = {}
    for row in rows:
        if row["img_source"].endswith(".mp4"):
            by_clip.setdefault(row["img_source"], []).append(row)
    assert set(by_clip) == {
        p.relative_to(source_dir).as_posix() for p in source_dir.rglob("*_x.mp4")
    }
    for clip, found in by_clip.items():
        count = sum(1 for _ in iter_frames(source_dir / clip, 24))
        assert [row["frame"] for row in found] == [str(number) for number in range(count)]
        target = clip.replace("_x.", "_y.") if "/real/" in clip else ""
        video_id = clip.rsplit("/")[-1].removesuffix("_x.mp4")
        for row in found:
            assert (row["img_target"], row["fps"], row["video_id"]) == (target, "24", video_id)
            assert (row["h"], row["w"]) == ("48", "64")
    assert (report.frames, report.extracted) == (len(rows), 0)


def test_video_source_leaves_image_rows_as_they_are(source_dir):
    build(source_dir)
    names = ("train.csv", "test.csv")
    before = {
        name: [r for r in read_rows(source_dir / name) if "synthetic" in r["subset"]]
        for name in names
    }
    build(source_dir, source="video")  # frames that were extracted meanwhile do not matter
    for name in names:
        rows = [r for r in read_rows(source_dir / name) if "synthetic" in r["subset"]]
        assert rows == [row | {"frame": "", "fps": ""} for row in before[name]]


def test_video_source_cuts_the_minimal_csvs(source_dir):
    build(source_dir, source="video", minimal_videos=1, minimal_frames=2)
    rows = read_rows(source_dir / "train_minimal.csv")
    assert [(row["video_id"], row["frame"]) for row in rows] == [
        *[("video_0000", "")] * 2,
        *[("video_0000", "0"), ("video_0000", "1")] * 2,
    ]


def test_same_csvs_after_both_sources(source_dir):
    build(source_dir)
    frames_csvs = [(source_dir / name).read_bytes() for name in CSVS]
    build(source_dir, source="video")
    assert [(source_dir / name).read_bytes() for name in CSVS] != frames_csvs
    build(source_dir)
    assert [(source_dir / name).read_bytes() for name in CSVS] == frames_csvs


@pytest.mark.parametrize("size", [{"frames": 3}, {"frames": 5, "width": 32}])
def test_video_source_names_what_is_bad_and_goes_on(source_dir, size):
    make_clip(source_dir / REAL / "video_0000_y.mp4", **size)
    (source_dir / UNSUPERVISED / "video_0001_x.mp4").write_bytes(b"")
    cut = source_dir / TEST_UNSUPERVISED / "video_0000_x.mp4"
    cut.write_bytes(cut.read_bytes()[:-400])
    assert build(source_dir, source="video", on_error="skip").videos == 6
    errors = read_errors(source_dir)
    assert "of 64x48 as in x, got" in errors["train/supervised/real/video_0000_y.mp4"]
    assert "empty file" in errors["train/unsupervised/video_0001_x.mp4"]
    assert "cannot be read" in errors["test/unsupervised/video_0000_x.mp4"]
    assert len(errors) == 3


@pytest.mark.parametrize("quality", [95, 30])
def test_jpg_frames_are_the_decoded_ones_but_for_its_loss(source_dir, quality):
    build(source_dir, frame_format="jpg", jpg_quality=quality)
    rows = read_rows(source_dir / "train.csv")
    assert sum(row["img_source"].endswith("/x/frame_0001.jpg") for row in rows) == 4
    clip = source_dir / UNSUPERVISED / "video_0002_x.mp4"
    folder = source_dir / UNSUPERVISED / "video_0002" / "x"
    decoded = list(iter_frames(clip, 30))
    assert sorted(p.name for p in folder.iterdir()) == [
        f"frame_{number:04d}.jpg" for number in range(1, len(decoded) + 1)
    ]
    for number, frame in enumerate(decoded, start=1):
        data = (folder / f"frame_{number:04d}.jpg").read_bytes()
        _, expected = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert data == expected.tobytes()


def test_png_frames_are_lossless(source_dir):
    build(source_dir)
    clip = source_dir / UNSUPERVISED / "video_0002_x.mp4"
    for number, frame in enumerate(iter_frames(clip, 30), start=1):
        path = source_dir / UNSUPERVISED / f"video_0002/x/frame_{number:04d}.png"
        data = np.frombuffer(path.read_bytes(), np.uint8)
        assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), frame)


@pytest.mark.parametrize(
    "options", [{"frame_format": "png"}, {"frame_format": "jpg", "jpg_quality": 90}]
)
def test_frames_of_another_format_are_an_error(source_dir, options):
    build(source_dir, frame_format="jpg")
    before = snapshot(source_dir / "train", mtime=True)
    with pytest.raises(BuildError, match=r'6 bad files(.|\n)*"jpg_quality": 95(.|\n)*Move the'):
        build(source_dir, **options)
    assert snapshot(source_dir / "train", mtime=True) == before
    assert build(source_dir, frame_format="jpg").extracted == 0


def list_opened(source_dir, monkeypatch, **options):
    """Names of the images whose header a build reads."""
    opened = []

    def spy(path):
        opened.append(path.removeprefix(f"{source_dir}/"))
        return read(path)

    read = frames.read_size
    with monkeypatch.context() as context:
        context.setattr(frames, "read_size", spy)
        build(source_dir, **options)
    return opened


def test_extracted_frames_are_not_opened(source_dir, monkeypatch):
    build(source_dir)
    opened = list_opened(source_dir, monkeypatch)
    assert len(opened) == 16  # of three videos that came as images: 3, 2 and 3 pairs
    assert all("/synthetic/" in name for name in opened)


def test_touched_frames_are_opened(source_dir, monkeypatch):
    build(source_dir)
    touched = source_dir / UNSUPERVISED / "video_0001/x/frame_0002.png"
    touched.write_bytes(touched.read_bytes()[:-7])
    opened = [n for n in list_opened(source_dir, monkeypatch) if "/synthetic/" not in n]
    assert len(opened) == 6
    assert {name.rsplit("/", 1)[0] for name in opened} == {"train/unsupervised/video_0001/x"}
    touched.write_bytes(b"")
    with pytest.raises(BuildError, match=r"1 bad files(.|\n)*video_0001/x/frame_0002\.png: expect"):
        build(source_dir)


def test_records_without_sizes_still_count(source_dir, monkeypatch):
    """Folders that an earlier version extracted."""
    build(source_dir)
    before = [(source_dir / name).read_bytes() for name in CSVS]
    for marker in source_dir.rglob(extraction.MARKER):
        known = json.loads(marker.read_text())
        old = {key: known[key] for key in ("video_fps", "bytes", "frames")}
        marker.write_text(json.dumps(old))
    opened = list_opened(source_dir, monkeypatch)
    assert len(opened) == 16 + 2 * 6 + 5 + 6 + 7 + 5 + 6
    assert [(source_dir / name).read_bytes() for name in CSVS] == before


def test_verify_first_opens_one_image_a_folder_and_the_empty_ones(source_dir, monkeypatch):
    build(source_dir)
    before = [(source_dir / name).read_bytes() for name in CSVS]
    opened = list_opened(source_dir, monkeypatch, verify="first")
    assert sorted(opened) == sorted(
        f"{folder}/video_{video}/{side}/00000{suffix}"
        for folder, video, suffix in (
            (SYNTHETIC.as_posix(), "0000", ".jpg"),
            (SYNTHETIC.as_posix(), "0001", ".png"),
            ("test/supervised/synthetic", "0000", ".jpg"),
        )
        for side in "xy"
    )
    assert [(source_dir / name).read_bytes() for name in CSVS] == before
    (source_dir / SYNTHETIC / "video_0000/y/00002.jpg").write_bytes(b"")
    with pytest.raises(BuildError, match=r"1 bad files(.|\n)*video_0000/y/00002\.jpg: expected"):
        build(source_dir, verify="first")


def test_sizes_may_differ_within_a_folder(tmp_path):
    make_images(tmp_path / UNSUPERVISED / "video_0000", sides="x")
    _, data = cv2.imencode(".jpg", draw_frame(0, 80, 40))
    (tmp_path / UNSUPERVISED / "video_0000/x/00001.jpg").write_bytes(data)
    build(tmp_path)
    sizes = [(row["w"], row["h"]) for row in read_rows(tmp_path / "train.csv")]
    assert sizes == [("64", "48"), ("80", "40"), ("64", "48")]


def test_missing_side_of_extracted_frames_is_an_error(source_dir):
    build(source_dir)
    shutil.rmtree(source_dir / REAL / "video_0000/y")
    with pytest.raises(BuildError, match=r"video_0000/y: expected 6 frames, got 0\. Move the"):
        build(source_dir)


def test_damaged_record_does_not_matter_without_the_mp4(source_dir):
    build(source_dir)
    (source_dir / UNSUPERVISED / "video_0001" / extraction.MARKER).write_text("[")
    (source_dir / UNSUPERVISED / "video_0001_x.mp4").unlink()
    assert build(source_dir).videos == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "videos"}, r"expected data\.source frames or video, got 'videos'"),
        ({"frame_format": "bmp"}, r"expected data\.frame_format png or jpg, got 'bmp'"),
        ({"verify": "none"}, r"expected data\.verify all or first, got 'none'"),
        ({"jpg_quality": 0}, r"data\.jpg_quality to be a whole number above 0"),
        ({"jpg_quality": 101}, r"data\.jpg_quality from 1 to 100, got 101"),
    ],
)
def test_option_out_of_range_is_an_error(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        build(tmp_path, **options)
