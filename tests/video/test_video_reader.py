"""Decoding is held against the ffmpeg command of imageio-ffmpeg, bit by bit."""

import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import draw_frame, ffmpeg_frames, make_clip, make_sound

from vqe.video import VideoError, iter_frames, probe_video

CLIPS = {
    "25 fps": {},
    "23.976 fps": {"rate": Fraction(24000, 1001), "frames": 30},
    "29.97 fps": {"rate": Fraction(30000, 1001), "frames": 40},
    "30 fps": {"rate": 30},
    "60 fps": {"rate": 60, "frames": 31},
    "variable rate": {"times": [0, 40, 55, 140, 300, 301, 333, 390, 700]},
    "with sound": {"audio": True},
    "starts after its sound": {"audio": True, "times": [310, 350, 390, 430, 500]},
    "mpeg4": {"codec": "mpeg4"},
    "vp9 in webm": {"codec": "libvpx-vp9"},
    "hevc 10 bit": {"codec": "libx265", "pix_fmt": "yuv420p10le", "width": 96, "height": 96},
    "full range": {"pix_fmt": "yuvj420p"},
    "odd size": {"pix_fmt": "yuv444p", "width": 65, "height": 47},
    "one frame": {"frames": 1},
    "turned by 90": {"rotation": 90},
    "turned by 180": {"rotation": 180},
    "turned by 270": {"rotation": 270},
    "mirrored": {"rotation": 0, "hflip": True},
    "turned and mirrored": {"rotation": 90, "hflip": True},
    "turned back and mirrored": {"rotation": 270, "hflip": True},
    "upside down and mirrored": {"rotation": 180, "hflip": True},
}


def clip_of(kind, tmp_path):
    name = "clip.webm" if "webm" in kind else "clip.mp4"
    return make_clip(tmp_path / name, **CLIPS[kind])


@pytest.mark.parametrize("fps", [30, 13, None])
@pytest.mark.parametrize("kind", CLIPS)
def test_frames_equal_the_ffmpeg_command(kind, fps, tmp_path):
    path = clip_of(kind, tmp_path)
    info = probe_video(path)
    frames = np.stack(list(iter_frames(path, fps)))
    expected = ffmpeg_frames(path, fps, info.width, info.height)
    assert frames.dtype == np.uint8
    assert frames.shape == expected.shape
    assert np.array_equal(frames, expected)


def test_threads_do_not_change_pixels(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", width=256, height=192)
    one, many = (list(iter_frames(path, 30, threads=n)) for n in (1, 4))
    assert np.array_equal(one, many)


def test_frames_show_what_was_encoded(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", pix_fmt="yuv444p")
    for number, frame in enumerate(iter_frames(path, None)):
        error = np.abs(frame.astype(int) - draw_frame(number, 64, 48)).mean()
        assert error < 10  # a swap of red and blue gives about 60


def test_no_rate_keeps_every_frame(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", times=[0, 3, 500, 501, 502])
    assert sum(1 for _ in iter_frames(path, None)) == 5


def test_probe_says_what_the_file_holds(tmp_path):
    info = probe_video(make_clip(tmp_path / "clip.mp4", rate=24, rotation=90, audio=True))
    assert (info.width, info.height) == (48, 64)
    assert (info.fps, info.frames) == (24, 12)
    assert (info.codec, info.pix_fmt, info.has_audio) == ("h264", "yuv420p", True)


def test_probe_without_a_frame_count(tmp_path):
    info = probe_video(make_clip(tmp_path / "clip.webm", codec="libvpx-vp9"))
    assert (info.codec, info.frames, info.has_audio) == ("vp9", None, False)


def test_odd_names_work(tmp_path):
    path = make_clip(tmp_path / "Büro 視頻 100%d" / "a:b 'c'.mp4")
    assert sum(1 for _ in iter_frames(path, None)) == 12


def test_relative_path_with_a_colon(tmp_path, monkeypatch):
    make_clip(tmp_path / "12:30.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe_video("12:30.mp4").frames == 12


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_memory_is_flat(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", rate=2, frames=20, width=640, height=480)
    memory = []
    for number, _ in enumerate(iter_frames(path, 30)):
        if number % 50 == 25:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            memory.append(pages * 4096)
    assert number == 299  # 300 frames of 0.9 MB
    assert max(memory) - memory[0] < 60e6


def test_reading_can_stop_early(tmp_path):
    path = make_clip(tmp_path / "clip.mp4")
    reader = iter_frames(path, 30)
    next(reader)
    reader.close()
    path.unlink()


def write(path, content):
    path.write_bytes(content)
    return path


def whole_clip(tmp_path, **kwargs):
    return make_clip(tmp_path / "whole.mp4", frames=30, **kwargs).read_bytes()


def packet_ends(content, tmp_path):
    with av.open(str(write(tmp_path / "measured.mp4", content))) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        return sorted(p.pos + p.size for p in packets)


FRONT = {"options": {"movflags": "faststart"}}  # the index lies before the pictures


def cut_index(tmp_path):
    return whole_clip(tmp_path)[:-100]


def cut_half(tmp_path):
    content = whole_clip(tmp_path)
    return content[: len(content) // 2]


def cut_in_packet(tmp_path):
    content = whole_clip(tmp_path, **FRONT)
    return content[: packet_ends(content, tmp_path)[-1] - 1]


def cut_between_packets(tmp_path):
    content = whole_clip(tmp_path, **FRONT)
    return content[: packet_ends(content, tmp_path)[-4]]


def zero_middle(tmp_path):
    content = whole_clip(tmp_path, **FRONT)
    ends = packet_ends(content, tmp_path)
    return content[: ends[9]] + bytes(ends[14] - ends[9]) + content[ends[14] :]


BROKEN = {
    cut_index: "cannot be read|no stream at all|got none",
    cut_half: "cannot be read",
    cut_in_packet: "is cut short or damaged at packet 30",
    cut_between_packets: "is cut short: expected 30 packets, got 27",
    zero_middle: "damaged|cannot be read",
    lambda _: b"": "empty file",
    lambda _: b"no video at all " * 99: "cannot be read: Invalid data",
}


@pytest.mark.parametrize("fps", [30, None])
@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
def test_broken_file_is_an_error(make, fps, tmp_path):
    path = write(tmp_path / "broken clip.mp4", make(tmp_path))
    with pytest.raises(VideoError, match=BROKEN[make]) as caught:
        list(iter_frames(path, fps))
    assert str(path) in str(caught.value)
    assert caught.value.path == path


def test_sound_only_is_an_error(tmp_path):
    path = make_sound(tmp_path / "sound.mp4")
    for read in (probe_video, lambda path: list(iter_frames(path))):
        with pytest.raises(VideoError, match="expected a video stream, got audio only"):
            read(path)


def test_missing_file_and_folder_are_errors(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        probe_video(tmp_path / "absent.mp4")
    with pytest.raises(VideoError, match="got a folder"):
        probe_video(tmp_path)


def test_clip_too_short_for_the_rate_is_an_error(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", rate=60, frames=1)
    with pytest.raises(VideoError, match="less than half a frame at 10 fps"):
        list(iter_frames(path, 10))


def test_change_of_size_is_an_error(tmp_path):
    path = tmp_path / "clip.mkv"
    pictures = [encode_jpeg(64, 48), encode_jpeg(32, 24)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, data in enumerate(pictures):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1, 25)
            container.mux(packet)
    with pytest.raises(VideoError, match=r"expected frames of 64x48 .* got 32x24 .* at 0.04 s"):
        list(iter_frames(path))


def encode_jpeg(width, height):
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuvj420p"
    codec.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(draw_frame(0, width, height), format="bgr24")
    frame.pts = 0
    return bytes(codec.encode(frame.reformat(format="yuvj420p"))[0])


def test_crooked_rotation_is_an_error(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", rotation=30)
    with pytest.raises(VideoError, match="expected a rotation by quarter turns"):
        list(iter_frames(path))


def test_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "is bad")))
    assert (error.path, error.reason, str(error)) == (Path("a.mp4"), "is bad", "a.mp4: is bad")


def test_import_is_light():
    code = "import sys, vqe.video; print(sorted({'torch', 'pandas', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
