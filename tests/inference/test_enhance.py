"""`enhance.py`: folders, options, progress, pictures, the challenge's encoding, parts and pipes."""

import io
import json
import logging
import subprocess
import sys
import threading
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clips import FFMPEG, draw_frame
from conftest import HANGS
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from rich_clips import describe_file, make_video, read_frames, read_tags
from test_start import RUN

from vqe.cli import CONF_DIR, REPOSITORY
from vqe.inference import Enhancer
from vqe.inference.enhance import enhance, read_time
from vqe.inference.overlap import in_background
from vqe.inference.parts import cut_parts
from vqe.video import VideoWriter, iter_frames, probe_video

ENTRY = str(REPOSITORY / "vqe" / "enhance.py")
LUMA, CHROMA = (np.tile(np.arange(n, dtype=np.uint8), (m, 1)) for n, m in ((64, 48), (32, 24)))
RAMPS = [LUMA + 60, CHROMA + 110, CHROMA + 120]  # YUV of colours that RGB has


@pytest.fixture
def run():
    """Call the entry's function with a composed config."""

    def run(*overrides):
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = compose("enhance", ["device=cpu", "progress=none", *overrides])
        return enhance(config)

    return run


def quote(name, path):
    return f"{name}='{path}'"


@pytest.fixture
def folder(tmp_path):
    """Videos of two containers, one that is none, a picture and a hidden file."""
    root = tmp_path / "in"
    make_video(root / "a.mp4", frames=3, audio=("eng",))
    make_video(root / "deep" / "b.mkv", frames=4)
    make_video(root / "deep" / "c.avi", frames=5, codec="mpeg4", options={})
    (root / "bad.mp4").write_bytes(b"no video")
    (root / ".hidden.mp4").write_bytes(b"no video")
    (root / "notes.txt").write_text("not to be touched")
    cv2.imwrite(str(root / "deep" / "d.png"), draw_frame(0, 40, 30))
    return root


def test_a_folder_is_mirrored_and_a_bad_file_is_one_line(folder, tmp_path, run, caplog):
    failed = run(quote("input", folder), quote("output", tmp_path / "out"), "model_vqe=identity")
    assert failed == 1
    files = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert files == {"a.mp4", "deep/b.mkv", "deep/c.mkv", "deep/d.png"}
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1 and errors[0].startswith("bad.mp4: ")
    assert len(read_frames(tmp_path / "out" / "deep" / "c.mkv")[0]) == 5


def test_what_is_there_can_be_skipped(folder, tmp_path, run):
    (folder / "bad.mp4").unlink()
    paths = quote("input", folder), quote("output", tmp_path / "out"), "model_vqe=identity"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4").write_bytes(b"mine")
    assert run(*paths, "skip_existing=true") == 0
    assert (tmp_path / "out" / "a.mp4").read_bytes() == b"mine"
    assert (tmp_path / "out" / "deep" / "b.mkv").exists()
    assert run(*paths, "container=mov") == 0
    assert (tmp_path / "out" / "deep" / "b.mov").exists()
    assert (tmp_path / "out" / "deep" / "d.png").exists()


def test_files_of_a_folder_at_the_same_time(folder, tmp_path, run):
    paths = quote("input", folder), quote("output", tmp_path / "out"), "model_vqe=identity"
    assert run(*paths, "parallel.jobs=2") == 1
    assert len(list((tmp_path / "out").rglob("*.*"))) == 4


def test_the_command_its_exit_status_and_its_json(folder, tmp_path):
    def call(*arguments):
        command = [sys.executable, ENTRY, "model_vqe=identity", "device=cpu", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    out = tmp_path / "out"
    status, stdout, _ = call(f"input={folder}", f"output={out}", "progress=json")
    assert status == 1
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert {line["file"]: line["state"] for line in lines} == {
        "a.mp4": "done",
        "bad.mp4": "failed",
        "deep/b.mkv": "done",
        "deep/c.avi": "done",
        "deep/d.png": "done",
    }
    ends = {line["file"]: line for line in lines}
    assert ends["a.mp4"]["frames"] == ends["a.mp4"]["total"] == 3
    assert ends["a.mp4"]["fps"] > 0 and "bad.mp4" in ends["bad.mp4"]["error"]
    status, _, stderr = call(f"input={tmp_path / 'none'}", f"output={out}")
    assert status == 2 and stderr.count("\n") == 1 and stderr.startswith("error: expected input")
    status, _, stderr = call(f"input={folder / 'a.mp4'}", f"output={out / 'a.mp4'}", "progress=bar")
    assert status == 0 and "frame" in stderr
    # nothing was left behind
    assert {p.name for p in tmp_path.iterdir()} == {"in", "out"}


def test_mistakes_are_told_before_anything_slow_is_imported(tmp_path):
    cases = {
        ("--help",): (0, "powered by Hydra"),
        ("tpyo=1",): (2, "tpyo"),
        ("input=x",): (2, "output"),
        ("input=nowhere", "output=x", "weights=y"): (2, "a file or a folder, got nowhere"),
        ("input=.", "output=x"): (2, "expected weights="),
        ("input=-", "output=x", "weights=nanoo"): (2, "got nanoo"),
    }
    process = [sys.executable, "-c", RUN, "enhance", json.dumps(list(cases))]
    done = subprocess.run(process, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    for (words, (wanted, expected)), (status, said, imported) in zip(
        cases.items(), found, strict=True
    ):
        assert expected in said, words
        assert (status, imported) == (wanted, []), words
        assert "Traceback" not in said, words


def test_start_and_end_are_times():
    assert read_time(3) == 3
    assert read_time("1:02:03.5") == Fraction(7447, 2)
    with pytest.raises(ValueError, match="expected seconds"):
        read_time("soon")


def test_the_challenge_s_encoding_bit_for_bit(tmp_path, run, nano_checkpoint):
    source = make_video(tmp_path / "a.mp4", frames=20, audio=("eng",))
    target = tmp_path / "out.mp4"
    options = f"weights={nano_checkpoint}", "codec=challenge"
    assert run(quote("input", source), quote("output", target), *options) == 0
    enhancer = Enhancer(nano_checkpoint, device="cpu")
    frames = [enhancer.frame(frame[:, :, ::-1])[:, :, ::-1] for frame in iter_frames(source)]
    with VideoWriter(tmp_path / "expected.mp4") as writer:
        for frame in frames:
            writer.write(frame)
    assert target.read_bytes() == (tmp_path / "expected.mp4").read_bytes()
    with av.open(str(target)) as container:
        assert len(container.streams) == 1
    with pytest.raises(ValueError, match=r"output \.mp4"):
        run(quote("input", source), quote("output", tmp_path / "a.mkv"), *options)


def test_the_challenge_s_encoding_says_what_it_resolves(tmp_path, run, nano_checkpoint, caplog):
    source = make_video(tmp_path / "a.mp4", frames=3, pixel_shape=Fraction(4, 3), rotation=90)
    target = tmp_path / "out.mp4"
    caplog.set_level(logging.INFO)
    options = f"weights={nano_checkpoint}", "codec=challenge"
    assert run(quote("input", source), quote("output", target), *options) == 0
    assert "is turned upright (transpose" in caplog.text
    assert "become square: 48x64 becomes 48x86" in caplog.text
    shown = probe_video(target)
    assert (shown.width, shown.height) == (48, 86)


def test_a_split_screen(tmp_path, run, nano_checkpoint):
    source = make_video(tmp_path / "a.mp4", frames=2, options={"qp": "0"}, planes=RAMPS)
    options = f"weights={nano_checkpoint}", "encoder={qp:0}"
    for name, compare in (("full", "false"), ("split", "true")):
        target = quote("output", tmp_path / f"{name}.mp4")
        assert run(quote("input", source), target, f"compare={compare}", *options) == 0
    before, full, split = (
        read_frames(path)[1][1][0].astype(int)
        for path in (source, tmp_path / "full.mp4", tmp_path / "split.mp4")
    )
    assert np.abs(split[:, :31] - before[:, :31]).max() <= 1
    assert np.array_equal(split[:, 33:], full[:, 33:])
    assert (split[:, 31:33] == 235).all()
    assert np.abs(full[:, :31] - before[:, :31]).mean() > 3


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
def test_a_picture_of_any_kind(tmp_path, run, suffix):
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    picture = Image.fromarray(cv2.resize(draw_frame(0, 8, 6), (41, 31))[:, :, ::-1])
    picture.save(source, quality=95)
    assert run(quote("input", source), quote("output", target), "model_vqe=identity") == 0
    before, after = (np.array(Image.open(p).convert("RGB")).astype(int) for p in (source, target))
    assert np.abs(before - after).mean() <= (0 if suffix in ("png", "tiff", "bmp") else 2)


def test_a_picture_keeps_profile_transparency_depth_and_way_up(tmp_path, run):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"  # turned by a quarter; its maker
    Image.fromarray(draw_frame(0, 40, 30)).save(
        tmp_path / "a.jpg", exif=exif, icc_profile=b"profile", dpi=(300, 300)
    )
    Image.fromarray(np.dstack([draw_frame(0, 40, 30), draw_frame(1, 40, 30)[:, :, 0]])).save(
        tmp_path / "b.png"
    )
    deep = np.random.default_rng(0).integers(0, 65536, (30, 40, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "c.png"), deep)
    for name in ("a.jpg", "b.png", "c.png"):
        paths = quote("input", tmp_path / name), quote("output", tmp_path / "out" / name)
        assert run(*paths, "model_vqe=identity") == 0
    turned = Image.open(tmp_path / "out" / "a.jpg")
    assert turned.size == (30, 40)
    assert turned.getexif().get(0x0112, 1) == 1 and turned.getexif()[0x010F] == "A camera"
    assert turned.info["icc_profile"] == b"profile" and turned.info["dpi"] == (300, 300)
    assert np.array_equal(
        np.array(Image.open(tmp_path / "out" / "b.png")), np.array(Image.open(tmp_path / "b.png"))
    )
    assert np.array_equal(cv2.imread(str(tmp_path / "out" / "c.png"), cv2.IMREAD_UNCHANGED), deep)


def test_one_video_in_parts(tmp_path, run, nano_checkpoint):
    """Whole segments a part; a warm-up as long as all before it changes nothing."""
    source = make_video(tmp_path / "a.mkv", frames=47, audio=("eng",))
    paths = quote("input", source), f"weights={nano_checkpoint}", "segment_seconds=0.4"
    assert run(*paths, quote("output", tmp_path / "one.mkv")) == 0
    long = "parallel.jobs=2", "parallel.warmup=100"
    assert run(*paths, quote("output", tmp_path / "two.mkv"), *long) == 0
    one, two = read_frames(tmp_path / "one.mkv"), read_frames(tmp_path / "two.mkv")
    assert one[0] == two[0] and len(one[0]) == 47
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(one[1], two[1], strict=True))
    assert describe_file(tmp_path / "one.mkv") == describe_file(tmp_path / "two.mkv")
    assert {p.name for p in tmp_path.iterdir()} == {"a.mkv", "one.mkv", "two.mkv"}


def test_the_difference_of_a_short_warm_up_fades(nano_checkpoint):
    """Smoothing forgets a fifth a frame: after 20 frames a hundredth of the difference is left."""
    frames = [draw_frame(0, 64, 48) for _ in range(41)]
    whole, errors = Enhancer(nano_checkpoint, device="cpu"), {}
    darker = [(frame * 0.6).astype(np.uint8) for frame in frames[:20]]
    for frame in darker + frames:
        expected = whole.frame(frame)
    for warmup in (0, 5, 40):
        late = Enhancer(nano_checkpoint, device="cpu")
        for frame in frames[40 - warmup :]:
            found = late.frame(frame)
        errors[warmup] = np.abs(found.astype(float) - expected).mean()
    assert errors[0] >= errors[5] >= errors[40]
    assert errors[40] < 0.5


def test_parts_have_whole_segments():
    assert cut_parts(1000, 100, 4) == [0, 2, 5, 7]
    assert cut_parts(150, 100, 4) == [0, 1]
    assert cut_parts(None, 100, 4) == [0]


def pipe(data, *arguments):
    command = [sys.executable, ENTRY, "device=cpu", "input=-", "output=-", *arguments]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("container", ["y4m", "nut"])
def test_a_pipe_of_raw_frames(tmp_path, container):
    """ffmpeg writes the one end and reads the other; the frames come through unchanged."""
    source = make_video(tmp_path / "a.mkv", frames=5, options={"qp": "0"}, planes=RAMPS)
    form = {"y4m": "yuv4mpegpipe", "nut": "nut"}[container]
    command = [FFMPEG, "-v", "error", "-i", str(source), "-f", form, "-c:v"]
    codec = {"y4m": "wrapped_avframe", "nut": "rawvideo"}[container]
    sent = subprocess.run([*command, codec, "-"], capture_output=True, check=True).stdout
    got = pipe(sent, "model_vqe=identity", f"container={container}", "progress=json")
    path = tmp_path / f"back.{container}"
    path.write_bytes(got)
    before, after = read_frames(source), read_frames(path)
    assert [float(t) for t in after[0]] == pytest.approx([float(t) for t in before[0]], abs=1e-3)
    for planes, others in zip(before[1], after[1], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(planes, others, strict=True))


def test_a_pipe_keeps_sound_and_uneven_times(tmp_path):
    times = [0, 40, 41, 140, 233, 250, 301, 500]
    source = make_video(
        tmp_path / "a.mkv", times=times, time_base=Fraction(1, 1000), audio=("eng",)
    )
    target = tmp_path / "b.mkv"
    target.write_bytes(
        pipe(source.read_bytes(), "model_vqe=identity", "container=mkv", "codec=libx264")
    )
    assert read_frames(target)[0] == read_frames(source)[0]
    sound = [
        [s for s in describe_file(p)["streams"] if s["kind"] == "audio"] for p in (source, target)
    ]
    assert sound[0][0]["packets"] == sound[1][0]["packets"]
    assert sound[0][0]["language"] == sound[1][0]["language"] == "eng"


def test_a_pipe_into_a_file(tmp_path):
    source = make_video(tmp_path / "a.mkv", frames=4)
    target = tmp_path / "b.mp4"
    command = [sys.executable, ENTRY, "input=-", f"output={target}", "model_vqe=identity"]
    subprocess.run(command, input=source.read_bytes(), check=True, capture_output=True)
    assert read_tags(target)["codec"] == "h264"
    assert len(read_frames(target)[0]) == 4
    broken = tmp_path / "c.mp4"
    command[3] = f"output={broken}"
    done = subprocess.run(command, input=b"no video", capture_output=True, check=False, text=False)
    assert done.returncode == 1 and b"standard input" in done.stderr
    assert not broken.exists()


def test_no_camera_is_said_by_name(tmp_path, run):
    source = make_video(tmp_path / "a.mp4", frames=2)
    options = "model_vqe=identity", f"camera.output={tmp_path / 'video99'}"
    with pytest.raises(FileNotFoundError, match="v4l2loopback"):
        run(quote("input", source), "output=camera", *options)
    with pytest.raises(RuntimeError, match=r"expected a camera.*Set camera\.input"):
        camera = f"camera.input={tmp_path / 'video98'}"
        run("input=camera", quote("output", tmp_path / "a.mkv"), camera, "model_vqe=identity")


def test_a_slow_consumer_gets_the_newest_frames():
    done = threading.Event()

    def items():
        yield from range(50)
        done.set()
        yield "sound"
        yield 50

    slow = in_background(items(), newest=True, keep=str)
    seen = [next(slow)]
    done.wait(HANGS)
    seen += list(slow)
    assert "sound" in seen and seen[-1] == 50
    assert len(seen) < 10


def test_background_errors_come_to_the_front_and_closing_stops_it():
    closed = []

    def items():
        try:
            yield 1
            raise KeyError("inside")
        finally:
            closed.append(True)

    background = in_background(items())
    assert next(background) == 1
    with pytest.raises(KeyError, match="inside"):
        next(background)

    def endless():
        try:
            while True:
                yield io.BytesIO()
        finally:
            closed.append(True)

    background = in_background(endless())
    next(background)
    background.close()
    assert closed == [True, True]
