"""Encoding is held against the prescribed ffmpeg command: packets and pixels."""

import logging
import re
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import FFMPEG, draw_frame, ffmpeg_frames

from vqe.video import VideoError, VideoWriter, iter_frames, probe_video


def draw_frames(count, width=96, height=64):
    return [draw_frame(number, width, height) for number in range(count)]


def write_all(path, frames, **options):
    with VideoWriter(path, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def run_ffmpeg(path, frames, *, fps=30, crf=18):
    height, width = frames[0].shape[:2]
    raw = ["-s", f"{width}x{height}", "-pixel_format", "bgr24", "-f", "rawvideo", "-r", str(fps)]
    encode = ["-vcodec", "h264", "-pix_fmt", "yuv420p", "-crf", str(crf)]
    command = [FFMPEG, "-v", "error", "-y", *raw, "-i", "pipe:", *encode, str(path)]
    subprocess.run(command, input=b"".join(map(bytes, frames)), check=True)
    return path


def read_packets(path):
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        return [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in packets]


def x264_build(path):
    """The encoder's own words, from the first packet."""
    return re.search(rb"x264 - core (\d+)", read_packets(path)[0][-1])[1]


@pytest.mark.parametrize("options", [{}, {"fps": 25, "crf": 30}], ids=["defaults", "other"])
@pytest.mark.parametrize("size", [(96, 64), (322, 180)], ids=str)
def test_file_equals_the_ffmpeg_command(tmp_path, size, options):
    frames = draw_frames(40, *size)
    ours = write_all(tmp_path / "ours.mp4", frames, **options)
    theirs = run_ffmpeg(tmp_path / "theirs.mp4", frames, **options)
    if x264_build(ours) != x264_build(theirs):
        pytest.skip("PyAV and the ffmpeg command carry different builds of x264")
    assert read_packets(ours) == read_packets(theirs)
    decoded = ffmpeg_frames(ours, None, *size)
    assert np.array_equal(decoded, ffmpeg_frames(theirs, None, *size))
    assert np.abs(decoded.astype(int) - frames).mean() < 30


def test_bits_do_not_depend_on_what_memory_held_before(tmp_path, monkeypatch):
    frames = draw_frames(40, 160, 96)
    packets = []
    for byte in ("0", "1", "165"):  # the ffmpeg command gives three different files here
        monkeypatch.setenv("MALLOC_PERTURB_", byte)
        packets.append(read_packets(write_all(tmp_path / "clip.mp4", frames)))
    assert packets[0] == packets[1] == packets[2]


def test_what_was_written_reads_back(tmp_path):
    path = write_all(tmp_path / "clip.mp4", draw_frames(31))
    info = probe_video(path)
    assert (info.width, info.height, info.fps, info.frames) == (96, 64, 30, 31)
    assert (info.codec, info.pix_fmt, info.has_audio) == ("h264", "yuv420p", False)
    assert sum(1 for _ in iter_frames(path, 30)) == 31


def test_fractional_rate_is_kept(tmp_path):
    path = write_all(tmp_path / "clip.mp4", draw_frames(5), fps=Fraction(24000, 1001))
    assert probe_video(path).fps == Fraction(24000, 1001)


def test_options_reach_the_encoder(tmp_path):
    options = {"fps": 25, "crf": 19, "pix_fmt": "yuvj420p", "preset": "veryslow"}
    path = write_all(tmp_path / "clip.mp4", draw_frames(3), **options)
    assert probe_video(path).pix_fmt == "yuvj420p"
    assert probe_video(path).fps == Fraction(25)
    settings = read_packets(path)[0][-1]
    assert b"crf=19.0" in settings
    assert b"ref=16" in settings  # veryslow


def test_odd_size_is_padded_by_repetition_and_said_once(tmp_path, caplog):
    frames = draw_frames(4, 95, 63)
    with caplog.at_level(logging.WARNING, logger="vqe.video"):
        path = write_all(tmp_path / "odd.mp4", frames)
    padded = [np.concatenate([f, f[:, -1:]], axis=1) for f in frames]
    padded = [np.concatenate([f, f[-1:]], axis=0) for f in padded]
    even = write_all(tmp_path / "even.mp4", padded)
    assert read_packets(path) == read_packets(even)
    assert [r.getMessage() for r in caplog.records] == [
        f"{path}: 95x63 padded to 96x64 by repeating the last column or row"
    ]


def test_any_memory_layout_is_taken(tmp_path):
    frames = draw_frames(3)
    views = [np.ascontiguousarray(f[::-1, :, ::-1])[::-1, :, ::-1] for f in frames]
    plain = write_all(tmp_path / "plain.mp4", frames)
    assert read_packets(write_all(tmp_path / "views.mp4", views)) == read_packets(plain)


def test_frames_are_counted(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4") as writer:
        assert writer.frames == 0
        for frame in draw_frames(5):
            writer.write(frame)
        assert writer.frames == 5


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((64, 98, 3), np.uint8), r"expected the first frame's \(64, 96, 3\)"),
        (np.zeros((64, 96, 3), np.float32), "expected uint8 HxWx3, got float32"),
        (np.zeros((64, 96), np.uint8), r"expected uint8 HxWx3, got uint8 \(64, 96\)"),
        (np.zeros((3, 64, 96), np.uint8), r"expected uint8 HxWx3, got uint8 \(3, 64, 96\)"),
    ],
    ids=["size", "float", "grey", "planes"],
)
def test_unfit_frame_is_an_error_and_leaves_nothing(tmp_path, frame, message):
    with (
        pytest.raises(ValueError, match=message + ".*clip.mp4, frame 2"),
        VideoWriter(tmp_path / "clip.mp4") as writer,
    ):
        writer.write(draw_frame(0, 96, 64))
        writer.write(frame)
    assert list(tmp_path.iterdir()) == []


def test_target_appears_only_at_the_end(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path) as writer:
        for frame in draw_frames(80):
            writer.write(frame)
        assert not path.exists()
        [part] = tmp_path.iterdir()
        assert part.name.startswith(".clip.mp4.") and part.name.endswith(".part")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_exception_leaves_the_old_file(tmp_path):
    path = write_all(tmp_path / "clip.mp4", draw_frames(3))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), VideoWriter(path) as writer:
        writer.write(draw_frame(9, 32, 32))
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]
    assert path.read_bytes() == before


def test_no_frame_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(VideoError, match="expected at least one frame"):
        VideoWriter(tmp_path / "clip.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_close_and_abort_without_a_context(tmp_path):
    kept, dropped = (VideoWriter(tmp_path / name) for name in ("kept.mp4", "dropped.mp4"))
    for writer in (kept, dropped):
        writer.write(draw_frame(0, 96, 64))
    kept.close()
    kept.close()
    kept.abort()
    dropped.abort()
    dropped.close()
    assert [p.name for p in tmp_path.iterdir()] == ["kept.mp4"]
    with pytest.raises(ValueError, match="expected no frame after close"):
        kept.write(draw_frame(1, 96, 64))


def test_library_failure_names_the_file(tmp_path):
    absent = tmp_path / "absent" / "clip.mp4"
    with pytest.raises(VideoError, match=r"clip\.mp4: cannot be written: No such file"):
        write_all(absent, draw_frames(1))
    with pytest.raises(VideoError, match=r"clip\.mp4: cannot be written"):
        write_all(tmp_path / "clip.mp4", draw_frames(1), preset="no_such_preset")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_target_leaves_no_part(tmp_path):
    path = tmp_path / "clip.mp4"
    (path / "in the way").mkdir(parents=True)
    with pytest.raises(VideoError, match="cannot be written"):
        write_all(path, draw_frames(1))
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_odd_names_work(tmp_path):
    path = write_all(tmp_path / "Büro 視頻 100%d 'a'.mp4", draw_frames(2))
    assert probe_video(path).frames == 2
