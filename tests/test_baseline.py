"""The baseline: what it does to pictures, and the command around it."""

import os
import stat
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from vqe.video import VideoWriter, iter_frames, probe_video

FOLDER = Path(__file__).resolve().parents[1] / "baseline"
CAST_BGR = np.array([0.65, 0.9, 1.0])


@pytest.fixture
def baseline(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import baseline

    return baseline


@pytest.fixture
def enhancer_class(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from enhance_opencv import OpenCVEnhancer

    return OpenCVEnhancer


def draw_person(height=96, width=160, shift=0):
    """A face before a grey wall with a window, a picture and a dark shirt, well lit."""
    picture = np.full((height, width, 3), (150, 150, 150), np.uint8)
    x, y, unit = width // 2 + shift, height // 2, height // 8
    cv2.rectangle(picture, (0, 0), (width // 5, height // 2), (235, 230, 228), -1)
    cv2.rectangle(picture, (width - 3 * unit, unit), (width - unit, 3 * unit), (160, 90, 40), -1)
    cv2.ellipse(picture, (x, height), (3 * unit, 3 * unit), 0, 0, 360, (45, 40, 40), -1)
    cv2.ellipse(picture, (x, y - unit), (2 * unit, 2 * unit), 0, 0, 360, (25, 30, 35), -1)
    cv2.ellipse(picture, (x, y), (int(1.6 * unit), 2 * unit), 0, 0, 360, (140, 160, 205), -1)
    return cv2.GaussianBlur(picture, (3, 3), 0)


def degrade(picture, light=0.45, cast=CAST_BGR, noise=2.0, seed=0):
    generator = np.random.default_rng(seed)
    dim = picture * light * cast + generator.normal(0, noise, picture.shape)
    return np.clip(np.rint(dim), 0, 255).astype(np.uint8)


def rmse(a, b):
    """In challenge range, as on the leaderboard."""
    return np.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2)) / 128


def write_clip(path, frames, fps=30, **options):
    with VideoWriter(path, fps=fps, **options) as writer:
        for frame in frames:
            writer.write(frame)


@pytest.mark.parametrize("light", [0.3, 0.45, 0.7])
def test_dark_picture_with_a_cast_comes_closer_to_the_original(enhancer_class, light):
    original = draw_person()
    dim = degrade(original, light)

    result = enhancer_class()(dim)

    assert rmse(result, original) < 0.6 * rmse(dim, original)
    wall = (slice(-30, -10), slice(-30, -10))
    blue, _, red = result[wall].mean(axis=(0, 1))
    blue_before, _, red_before = dim[wall].mean(axis=(0, 1))
    assert abs(np.log(blue / red)) < 0.5 * abs(np.log(blue_before / red_before))


def test_good_picture_is_left_nearly_alone(enhancer_class):
    original = draw_person()

    assert rmse(enhancer_class()(original), original) < 0.06


def test_large_face_is_not_taken_for_a_cast(enhancer_class):
    face = np.full((90, 160, 3), (140, 160, 205), np.uint8)
    face[:, :80] = 170  # a grey wall tells the light's colour

    result = enhancer_class()(face).astype(float)

    blue, _, red = result[60, 100]
    assert np.log(red / blue) > 0.75 * np.log(205 / 140)  # grey world would leave half


def test_noise_does_not_make_a_static_scene_flicker(enhancer_class):
    dim = [degrade(draw_person(), seed=i) for i in range(60)]
    smoothed, single = enhancer_class(), enhancer_class(smoothing_frames=1)

    before = np.array([frame.mean() for frame in dim])
    after = np.array([smoothed(frame).mean() for frame in dim])
    unsmoothed = np.array([single(frame).mean() for frame in dim])

    brightening = after.mean() / before.mean()
    assert brightening > 1.5
    # Steps from frame to frame, in 8-bit levels: the input's own, as bright as the output is.
    steps = np.abs(np.diff(after)).mean()
    assert steps < 1.5 * brightening * np.abs(np.diff(before)).mean()
    assert steps < np.abs(np.diff(unsmoothed)).mean()


def test_change_of_light_is_followed_slowly_and_reached(enhancer_class):
    bright, dim = draw_person(), degrade(draw_person(), light=0.8, cast=1.0, noise=0)
    enhancer = enhancer_class()
    for _ in range(5):
        settled = enhancer(bright)

    means = np.array([enhancer(dim).mean() for _ in range(200)])

    steps = np.diff(means)
    assert means[0] < 0.9 * settled.mean()  # the change itself stays visible at first
    assert steps.min() >= 0 and steps.max() < 2
    assert abs(means[-1] - enhancer_class()(dim).mean()) < 1


def test_scene_cut_starts_anew(enhancer_class):
    enhancer = enhancer_class()
    dim, other = degrade(draw_person()), np.flip(draw_person(), axis=(0, 1)).copy()
    for _ in range(3):
        enhancer(dim)

    np.testing.assert_array_equal(enhancer(other), enhancer_class()(other))


def test_movement_is_no_scene_cut(enhancer_class):
    enhancer = enhancer_class()
    enhancer(degrade(draw_person()))
    moved = degrade(draw_person(shift=4))

    assert (enhancer(moved) != enhancer_class()(moved)).any()


def test_is_deterministic_and_reset_forgets(enhancer_class):
    frames = [degrade(draw_person(shift=i), light=0.4 + 0.02 * i, seed=i) for i in range(6)]
    enhancer = enhancer_class()
    first = [enhancer(frame) for frame in frames]
    kept = [frame.copy() for frame in frames]

    enhancer.reset()
    again = [enhancer(frame) for frame in frames]

    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(frames, kept)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (37, 51), (360, 640)])
@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_flat_pictures_of_any_size_stay_flat(enhancer_class, shape, level):
    frame = np.full((*shape, 3), level, np.uint8)

    with np.errstate(all="raise"):
        result = enhancer_class()(frame)

    assert result.shape == frame.shape and result.dtype == np.uint8
    assert np.ptp(result) == 0
    assert abs(int(result[0, 0, 0]) - level) < 20


def test_random_pictures_stay_in_range(enhancer_class):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

    with np.errstate(all="raise", under="ignore"):
        result = enhancer_class()(noise)

    assert rmse(result, noise) < 0.3  # a wrapped uint8 would be 0.8


@pytest.mark.parametrize("frame", [np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8)])
def test_other_arrays_are_refused(enhancer_class, frame):
    with pytest.raises(ValueError, match="expected uint8 HxWx3"):
        enhancer_class()(frame)


def test_command_enhances_each_video_and_lists_the_bad_one(tmp_path):
    dir_in, dir_out = tmp_path / "videos in", tmp_path / "new" / "results"
    dir_in.mkdir()
    frames = [degrade(draw_person(shift=i), seed=i) for i in range(12)]
    write_clip(dir_in / "dim vidéo.mp4", frames)
    write_clip(dir_in / "film.mp4", frames[:7], fps=Fraction(24000, 1001))
    (dir_in / "broken.mp4").write_bytes(b"no video")
    (dir_in / "notes.txt").write_text("not a video")

    done = subprocess.run(
        [sys.executable, "baseline.py", "--dir_in", dir_in, "--dir_out", dir_out],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )

    assert done.returncode == 1, done.stderr
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 1 and failed[0].startswith("failed: broken.mp4: ")
    assert "Traceback" not in done.stderr
    assert "3/3" in done.stderr  # the progress bar
    assert sorted(path.name for path in dir_out.iterdir()) == ["dim vidéo.mp4", "film.mp4"]
    for name, count, fps in [("dim vidéo.mp4", 12, 30), ("film.mp4", 7, Fraction(24000, 1001))]:
        info = probe_video(dir_out / name)
        assert (info.codec, info.pix_fmt, info.fps) == ("h264", "yuv420p", fps)
        assert (info.width, info.height) == (160, 96)
        assert len(list(iter_frames(dir_out / name, fps=None))) == count
    result = next(iter_frames(dir_out / "dim vidéo.mp4", fps=None))
    assert rmse(result, draw_person()) < 0.6 * rmse(frames[0], draw_person())


def test_all_good_videos_exit_0(baseline, tmp_path):
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "a.MP4", [draw_person()] * 2)

    assert baseline.main(["--dir_in", f"{tmp_path}/in", "--dir_out", f"{tmp_path}/out"]) == 0
    assert (tmp_path / "out" / "a.MP4").is_file()


def test_interrupt_exits_130_without_a_traceback(baseline, tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in/a.mp4", [draw_person()] * 2)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(baseline, "enhance_opencv", interrupt)
    folders = ["--dir_in", str(tmp_path / "in"), "--dir_out", str(tmp_path / "out")]
    assert baseline.main([*folders, "--method", "opencv"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_to_do_exits_2(baseline, tmp_path, capsys):
    for dir_in, words in [(tmp_path / "none", "no folder"), (tmp_path, "no mp4")]:
        assert baseline.main(["--dir_in", str(dir_in), "--dir_out", f"{tmp_path}/out"]) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: expected ") and str(dir_in) in err, words
    assert not (tmp_path / "out").exists()


def test_results_may_not_overwrite_the_sources(baseline, tmp_path, capsys):
    write_clip(tmp_path / "a.mp4", [draw_person()])
    content = (tmp_path / "a.mp4").read_bytes()
    same = tmp_path / "." / "x" / ".."
    (tmp_path / "x").mkdir()

    assert baseline.main(["--dir_in", str(tmp_path), "--dir_out", str(same)]) == 2
    assert "expected two folders" in capsys.readouterr().err
    assert (tmp_path / "a.mp4").read_bytes() == content


FAKE_TOOL = """#!{python}
import sys
from pathlib import Path
import av
from vqe.video import iter_frames, probe_video

flag_in, dir_in, flag_out, dir_out = sys.argv[1:]
assert (flag_in, flag_out) == ("-in", "-out")
for video in Path(dir_in).iterdir():
    if "odd" in video.name:
        sys.exit("cannot adjust " + video.name)
    if "mute" in video.name:
        continue
    info = probe_video(video)
    with av.open(f"{{dir_out}}/{{video.stem}}_adjusted.avi", "w") as container:
        stream = container.add_stream("ffv1", rate=info.fps)
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, "bgr0"
        for frame in iter_frames(video, fps=None):
            brighter = av.VideoFrame.from_ndarray(frame // 2 + 100, format="bgr24")
            container.mux(stream.encode(brighter))
        container.mux(stream.encode(None))
"""


@pytest.fixture
def fake_windows(baseline, tmp_path, monkeypatch):
    """A script with the tool's command line, and a system that says it is Windows."""
    if os.name == "nt":
        pytest.skip("the stand-in is a script with a shebang")
    tool = tmp_path / "tools" / "AutoAdjustCmdTool.exe"
    tool.parent.mkdir()
    tool.write_text(FAKE_TOOL.format(python=sys.executable))
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("platform.system", lambda: "Windows")
    return tool


def test_autoadjust_runs_the_tool_and_encodes_as_the_challenge(
    baseline, fake_windows, tmp_path, capsys
):
    dir_in, dir_out = tmp_path / "in", tmp_path / "out"
    dir_in.mkdir()
    for name in ("good one", "mute", "odd"):
        write_clip(dir_in / f"{name}.mp4", [draw_person()] * 5, fps=25)

    options = ["--method", "autoadjust", "--tool", str(fake_windows)]
    assert baseline.main(["--dir_in", str(dir_in), "--dir_out", str(dir_out), *options]) == 1

    err = capsys.readouterr().err
    assert "failed: mute.mp4: expected one .avi" in err
    assert "failed: odd.mp4: AutoAdjustCmdTool.exe ended with 1: cannot adjust odd.mp4" in err
    assert [path.name for path in dir_out.iterdir()] == ["good one.mp4"]
    info = probe_video(dir_out / "good one.mp4")
    assert (info.codec, info.pix_fmt, info.fps) == ("h264", "yuvj420p", 25)
    frames = list(iter_frames(dir_out / "good one.mp4", fps=None))
    assert len(frames) == 5
    assert rmse(frames[0], draw_person() // 2 + 100) < 0.03
    # x264 writes its settings into the stream: crf 19 and what veryslow alone sets
    settings = (dir_out / "good one.mp4").read_bytes()
    assert b"crf=19.0" in settings and b"ref=16" in settings and b"subme=10" in settings


def test_auto_takes_the_tool_where_it_is_found(baseline, fake_windows, monkeypatch):
    assert baseline.choose_method("auto")[0] == "opencv"

    monkeypatch.setenv("PATH", str(fake_windows.parent), prepend=os.pathsep)
    assert baseline.choose_method("auto")[0] == "autoadjust"
    assert baseline.choose_method("opencv")[0] == "opencv"


@pytest.mark.parametrize("method", ["auto", "autoadjust"])
def test_tool_that_is_named_but_absent_is_an_error(baseline, fake_windows, method):
    with pytest.raises(FileNotFoundError, match=r"autoadjust_bin_win-x64\.tar\.gz"):
        baseline.choose_method(method, fake_windows.with_name("other.exe"))


def test_autoadjust_elsewhere_says_so(baseline, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("platform.system", lambda: "Linux")
    write_clip(tmp_path / "a.mp4", [draw_person()])

    folders = ["--dir_in", str(tmp_path), "--dir_out", str(tmp_path / "out")]
    assert baseline.main([*folders, "--method", "autoadjust"]) == 2

    err = capsys.readouterr().err
    assert "Linux" in err and "autoadjust_bin_win-x64.tar.gz" in err and "--method opencv" in err
    assert baseline.choose_method("auto")[0] == "opencv"
