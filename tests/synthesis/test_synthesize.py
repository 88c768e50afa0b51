"""Own footage in, a data folder that the builder takes out: layout, seeds, reruns, bad files."""

import dataclasses
import inspect
import re
import shutil
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from clips import make_clip
from conftest import compose_config, draw_frame, run_command

from vqe.building.build import build_dataset
from vqe.cli import REPOSITORY
from vqe.locks import FolderHeldError, hold_folder
from vqe.schema import SUBSETS
from vqe.synthesis import Parameters, Ranges, degrade_clip, production, severity
from vqe.synthesis.plan import Clips, Layout
from vqe.synthesis.presets import find_preset, load_preset
from vqe.synthesis.record import Record, video_paths
from vqe.synthesis.synthesize import SynthesisError, synthesize
from vqe.video import iter_frames

RANGES = find_preset("v1")
LAYOUT = Layout(
    train_subsets=["train_supervised_synthetic", "train_supervised_real", "train_unsupervised"],
    test_subsets=["test_supervised_synthetic", "test_unsupervised"],
    test_share=0.5,
)
IMAGES = Layout(["train_supervised_synthetic"], ["test_unsupervised"], test_share=0.0)
CLIPS = Clips(frames=4, per_source=2, max_size=[32, 48], zoom=(1.1, 1.3))


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean ünicode")
    for number in range(2):
        make_clip(folder / f"day {number}" / "clip.mp4", rate=30, frames=12 + number)
    for number in range(2):
        picture = draw_frame(number, 1, 80, 120)
        cv2.imencode(".png", picture)[1].tofile(folder / f"picture_{number}.png")
    (folder / "notes.txt").write_text("not footage")
    return folder


def make(source, target, **changes):
    options = {"ranges": RANGES, "clips": CLIPS, "layout": LAYOUT, "jobs": 1, "sheet_rows": 3}
    return synthesize(source=source, target_dir=target, **(options | changes))


def files(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def made(footage, tmp_path_factory):
    target = tmp_path_factory.mktemp("made") / "data"
    return make(footage, target), target


def read_record(target):
    return pd.read_csv(target / "synthesis.csv", dtype=str, keep_default_na=False)


def test_every_subset_gets_its_files_and_the_builder_takes_them(made, tmp_path):
    report, target = made
    assert (report.sources, report.videos, report.made, report.bad) == (4, 8, 8, ())
    table = read_record(target)
    assert set(table.subset) == set(SUBSETS)
    assert set(table.frames) == {"4"}
    shutil.copytree(target, tmp_path / "copy")
    built = build_dataset(source_dir=tmp_path / "copy", video_fps=30, jobs=1)
    assert (built.videos, built.frames, built.bad) == (8, 32, ())
    tables = [pd.read_csv(tmp_path / "copy" / f"{part}.csv") for part in ("train", "test")]
    rows = pd.concat(tables)
    assert (rows.groupby(["subset", "video_id"]).size() == 4).all()
    assert rows.h.max() <= 32 and rows.w.max() <= 48


def test_a_source_is_in_training_or_in_test(made):
    table = read_record(made[1])
    held_out = table.subset.str.startswith("test")
    assert not set(table.source[held_out]) & set(table.source[~held_out])
    assert table.source[held_out].nunique() == 2  # 0.5 of 4


def test_what_the_record_says_is_what_was_done(footage, tmp_path):
    """From a row alone, the clean clip gives the degraded one."""
    make(footage / "day 0", tmp_path, layout=IMAGES)
    row = read_record(tmp_path).iloc[1]
    assert (row.source, row.start, row.zoom_start) == ("clip.mp4", "6", "")  # half of 12 frames
    frames = list(iter_frames(footage / "day 0/clip.mp4"))[6:10]
    height, width = frames[0].shape[:2]
    scale = min(32 / height, 48 / width)
    size = (round(width * scale), round(height * scale))
    shrunk = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames]
    clean = np.stack(shrunk)[:, : size[1] // 2 * 2, : size[0] // 2 * 2]
    parameters = Parameters.from_row(row)
    assert float(row.severity) == pytest.approx(severity(parameters), abs=1e-4)
    assert (row.h264_kbps == "") == (parameters.h264_bits_per_pixel is None)
    sides = video_paths(tmp_path, (row.subset, row.video_id))
    expected = {"x": degrade_clip(clean, parameters, seed=int(row.seed)), "y": clean}
    for side, clip in expected.items():
        for number, frame in enumerate(clip, start=1):
            _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 98])
            assert (sides[side] / f"frame_{number:04d}.jpg").read_bytes() == data.tobytes()


def test_neutral_ranges_give_equal_sides(footage, tmp_path):
    preset = load_preset("v1")
    neutral = Ranges(**(preset | {"probability": dict.fromkeys(preset["probability"], 0)}))
    layout = Layout(
        ["train_supervised_synthetic", "train_supervised_real"], ["test_unsupervised"], 0.0
    )
    make(footage / "picture_0.png", tmp_path / "data", ranges=neutral, layout=layout)
    assert len(Record(tmp_path / "data").rows) == 2
    for place in Record(tmp_path / "data").rows:
        paths = video_paths(tmp_path / "data", place)
        if place[0] == "train_supervised_synthetic":
            pairs = zip(*(sorted(paths[s].iterdir()) for s in "xy"), strict=True)
            assert all(x.read_bytes() == y.read_bytes() for x, y in pairs)
        elif place[0] == "train_supervised_real":
            assert paths["x"].read_bytes() == paths["y"].read_bytes()


def test_same_seed_same_bytes_whatever_the_jobs(made, footage, tmp_path):
    make(footage, tmp_path / "two", jobs=2)
    assert files(tmp_path / "two") == files(made[1])


def test_other_seed_other_frames(footage, tmp_path):
    pictures = []
    for seed in (1, 2):
        make(footage / "picture_0.png", tmp_path / str(seed), seed=seed, layout=IMAGES)
        pictures.append(next((tmp_path / str(seed)).rglob("frame_0001.jpg")).read_bytes())
    assert pictures[0] != pictures[1]


def test_rerun_makes_only_what_is_missing(made, footage, tmp_path):
    target = tmp_path / "data"
    shutil.copytree(made[1], target)
    want = files(target)
    lost = [next(target.rglob("frame_0002.jpg")), next(target.rglob("*_y.mp4"))]
    for path in lost:
        path.unlink()
    stamps = {p: p.stat().st_mtime_ns for p in target.rglob("*.jpg")}
    assert make(footage, target).made == 2
    assert files(target) == want
    kept = [p for p in stamps if lost[0].parents[1] not in p.parents]
    assert kept and all(p.stat().st_mtime_ns == stamps[p] for p in kept)
    assert make(footage, target).made == 0


def test_new_sources_leave_the_others_places(footage, tmp_path):
    source, target = tmp_path / "clean", tmp_path / "data"
    for name in ("b.mp4", "c.mp4"):
        make_clip(source / name, rate=30)
    foreign = target / "train/supervised/real/video_0041_x.mp4"
    make_clip(foreign)
    make_clip(foreign.with_name("video_0041_y.mp4"))
    clips = dataclasses.replace(CLIPS, per_source=1)
    layout = Layout(["train_supervised_real"], ["test_unsupervised"], test_share=0.5)
    make(source, target, clips=clips, layout=layout)
    assert (target / "train/supervised/real/video_0042_x.mp4").is_file()  # behind what was there
    before = files(target)
    for name in ("a.mp4", "d.mp4"):
        make_clip(source / name, rate=30)
    report = make(source, target, clips=clips, layout=layout)
    assert (report.videos, report.made) == (4, 2)
    after = files(target)
    assert all(after[name] == data for name, data in before.items() if name.endswith(".mp4"))
    table = read_record(target)
    assert table.source[table.subset == "test_unsupervised"].nunique() == 2


def test_other_settings_in_the_same_folder_are_refused(made, footage):
    before = files(made[1])
    with pytest.raises(ValueError, match=r"expected seed .* got .*synthesis\.csv.*Go back"):
        make(footage, made[1], seed=7)
    assert files(made[1]) == before


def test_bad_sources_are_named_and_the_rest_is_made(footage, tmp_path):
    source, target = tmp_path / "clean", tmp_path / "data"
    good = make_clip(source / "good.mp4", rate=30, frames=40, width=160, height=120)
    (source / "cut.mp4").write_bytes(good.read_bytes()[:-2000])
    (source / "empty.mov").touch()
    whole = (footage / "picture_0.png").read_bytes()
    (source / "half.png").write_bytes(whole[: len(whole) // 2])
    options = {"layout": IMAGES}
    with pytest.raises(SynthesisError, match=r"3 bad sources(.|\n)*cut\.mp4(.|\n)*half\.png"):
        make(source, target, **options)
    errors = pd.read_csv(target / "synthesis_errors.csv")
    assert list(errors.path) == ["cut.mp4", "empty.mov", "half.png"]
    report = make(source, target, on_error="skip", **options)
    assert (report.sources, report.videos, report.made, len(report.bad)) == (1, 2, 0, 3)


def test_a_source_that_breaks_late_leaves_no_half_video(tmp_path, caplog):
    source, target = tmp_path / "clean", tmp_path / "data"
    path = make_clip(
        source / "late.mp4", frames=40, width=160, height=120, options={"movflags": "faststart"}
    )
    make_clip(source / "good.mp4", rate=30)
    path.write_bytes(path.read_bytes()[:-8000])  # its header is in front and whole
    clips = dataclasses.replace(CLIPS, frames=40, per_source=1)
    for subset in ("train_supervised_synthetic", "train_supervised_real"):
        place = target / subset
        layout = Layout([subset], ["test_unsupervised"], test_share=0.0)
        report = make(source, place, clips=clips, layout=layout, on_error="skip")
        assert [file.path.name for file in report.bad] == ["late.mp4"]
        assert report.videos == 1 and list(read_record(place).source) == ["good.mp4"]
        assert not [p for p in place.rglob("*") if ".part" in p.name]
        assert len(list((place / "train/supervised").glob("*/*"))) in (1, 2)  # folder, or two mp4s
    assert "late.mp4" in caplog.text


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "clean").mkdir()
    with pytest.raises(FileNotFoundError, match="expected clean videos or pictures"):
        make(tmp_path / "clean", tmp_path / "data")
    (tmp_path / "clean/a.mp4").write_bytes(b"no video")
    with pytest.raises(SynthesisError, match="usable source"):
        make(tmp_path / "clean", tmp_path / "data", on_error="skip")
    with pytest.raises(ValueError, match="outside the source"):
        make(tmp_path, tmp_path / "data")


@pytest.mark.parametrize("subset", ["train_supervised_synthetic", "train_supervised_real"])
def test_an_interrupted_run_leaves_whole_videos_and_goes_on(tmp_path, subset, monkeypatch):
    source, target = tmp_path / "clean", tmp_path / "data"
    make_clip(source / "a.mp4", rate=30)
    layout = Layout([subset], ["test_unsupervised"], test_share=0.0)
    calls = []

    class Interrupted(production.Degrader):
        def __call__(self, frame):
            calls.append(1)
            if len(calls) == 7:  # in the second video
                raise KeyboardInterrupt
            return super().__call__(frame)

    with monkeypatch.context() as patch:
        patch.setattr(production, "Degrader", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(source, target, layout=layout)
    left = files(target)
    assert not [name for name in left if ".part" in name]
    videos = {re.search(r"video_\d+", name)[0] for name in left if "video_" in name}
    assert videos == {"video_0001"}
    assert make(source, target, layout=layout).made == 1
    make(source, tmp_path / "at once", layout=layout)
    assert files(target) == files(tmp_path / "at once")


def test_a_killed_run_s_parts_are_removed(tmp_path):
    source, target = tmp_path / "clean", tmp_path / "data"
    make_clip(source / "a.mp4", rate=30)
    parent = target / "train/supervised/synthetic"
    (parent / ".video_0001.part/x").mkdir(parents=True)
    (parent / ".video_0001.part/x/frame_0001.jpg").write_bytes(b"half")
    make(source, target, layout=IMAGES)
    assert not [p for p in target.rglob("*") if ".part" in p.name]


def test_a_second_run_into_a_folder_is_refused(footage, tmp_path):
    with hold_folder(tmp_path), pytest.raises(FolderHeldError, match="running into this folder"):
        make(footage, tmp_path)
    assert files(tmp_path) == {}


def test_short_source_gives_one_short_clip(tmp_path):
    make_clip(tmp_path / "a.mp4", rate=30, frames=5)
    clips = dataclasses.replace(CLIPS, frames=9)
    layout = Layout(["train_unsupervised"], ["test_unsupervised"], test_share=0.0)
    make(tmp_path / "a.mp4", tmp_path / "data", clips=clips, layout=layout)
    table = read_record(tmp_path / "data")
    assert list(table.frames) == ["5"]
    assert len(list(iter_frames(tmp_path / "data/train/unsupervised/video_0001_x.mp4"))) == 5


def test_contact_sheet_shows_input_beside_target(made):
    report, target = made
    sheet = cv2.imread(str(report.sheet))
    assert report.sheet.parent == target
    assert sheet.shape[0] == 3 * (36 + 320 + 8)
    subset, video_id = next(iter(Record(target).rows))
    y = cv2.imread(str(video_paths(target, (subset, video_id))["y"] / "frame_0003.jpg"))
    width = round(y.shape[1] * 320 / y.shape[0])
    shown = sheet[36 : 36 + 320, width + 8 : 2 * width + 8]
    assert np.array_equal(shown, cv2.resize(y, (width, 320), interpolation=cv2.INTER_NEAREST))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"on_error": "stop"}, "data.on_error"),
        ({"layout": {"train_subsets": ["train"]}}, "layout.train_subsets"),
        ({"layout": {"test_share": 1.5}}, "layout.test_share"),
        ({"clips": {"frames": 0}}, "clips.frames"),
        ({"clips": {"max_size": [720]}}, "clips.max_size"),
        ({"clips": {"zoom": [0.5, 1]}}, "clips.zoom"),
    ],
)
def test_bad_options_are_named(change, words, footage, tmp_path):
    with pytest.raises(ValueError, match=words):
        if "layout" in change:
            change = {"layout": dataclasses.replace(LAYOUT, **change["layout"])}
        elif "clips" in change:
            change = {"clips": dataclasses.replace(CLIPS, **change["clips"])}
        make(footage, tmp_path / "data", **change)


def test_config_names_the_arguments(tmp_path):
    config = compose_config(tmp_path, "source=a", "data.target_dir=b", name="synthesize")
    for key, target in {"clips": Clips, "layout": Layout}.items():
        assert list(config[key]) == list(inspect.signature(target).parameters)
    assert set(config.data) <= set(inspect.signature(synthesize).parameters)


def test_command_makes_pairs(footage, tmp_path):
    command = [sys.executable, "synthesize.py", f"source='{footage}'"]
    command += [f"data.source_dir='{tmp_path / 'data'}'", f"paths.outputs='{tmp_path / 'out'}'"]
    command += ["clips.frames=2", "clips.per_source=1", "clips.max_size=[32,48]", "data.jobs=1"]
    run_command(command, REPOSITORY / "vqe")
    assert len(read_record(tmp_path / "data")) == 4
    assert (tmp_path / "data/synthesis_sheet.png").is_file()
