"""Frames read in any order are held against `iter_frames`, which is held against ffmpeg."""

import logging
import pickle
import random
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import FFMPEG, draw_frame, make_clip
from test_video_reader import CLIPS, clip_of

from vqe.video import OpenVideos, VideoError, VideoFrames, iter_frames
from vqe.video.frame_index import map_grid


def make_groups(path, *, codec="libx264", frames=40, options=None, pix_fmt="yuv420p", rate=30):
    """Encode a clip of several groups of pictures; returns the path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.options = options or {}
        stream.codec_context.gop_size = 6
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(draw_frame(number, 64, 48), format="bgr24")
            picture.pts, picture.time_base = number, 1 / Fraction(rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def check_any_order(path, fps, caplog, *, exact=True):
    """Read all frames shuffled, backwards and forwards; return the reader."""
    expected = list(iter_frames(path, fps))
    numbers = list(range(len(expected)))
    shuffled = random.Random(0).sample(numbers, len(numbers))
    with caplog.at_level(logging.DEBUG, "vqe.video"):
        video = VideoFrames(path, fps)
        for number in (*shuffled, *reversed(numbers), *numbers):
            assert np.array_equal(video.read(number), expected[number]), number
    assert ("decoded from its start" in caplog.text) is not exact
    with pytest.raises(VideoError, match=f"got {len(expected)} frames"):
        video.read(len(expected))
    return video


@pytest.mark.parametrize("fps", [30, 13])
@pytest.mark.parametrize("kind", CLIPS)
def test_every_kind_of_file(kind, fps, tmp_path, caplog):
    check_any_order(clip_of(kind, tmp_path), fps, caplog)


ENCODINGS = {
    "b-frames": ("libx264", {"bf": "3", "x264-params": "scenecut=0"}),
    "open groups": ("libx264", {"bf": "3", "x264-params": "open-gop=1:scenecut=0:b-pyramid=2"}),
    "hevc open groups": ("libx265", {"x265-params": "open-gop=1:keyint=6:min-keyint=6:bframes=3"}),
    "mpeg4 b-frames": ("mpeg4", {"bf": "2"}),
    "vp9": ("libvpx-vp9", {}),
}


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("kind", ENCODINGS)
def test_every_kind_of_group(kind, suffix, tmp_path, caplog):
    codec, options = ENCODINGS[kind]
    path = make_groups(tmp_path / f"clip.{suffix}", codec=codec, options=options)
    assert check_any_order(path, 30, caplog).seeks > 20
    check_any_order(path, 24, caplog)


def test_only_an_intended_group_is_decoded(tmp_path):
    path = make_groups(tmp_path / "clip.mp4", frames=60, options={"x264-params": "scenecut=0"})
    video = VideoFrames(path, 30)
    expected = list(iter_frames(path, 30))
    for number, seeks in (
        (50, 1),
        (51, 1),
        (53, 1),
        (53, 1),
        (52, 2),
        (59, 2),
        (3, 3),
        (8, 3),
        (40, 4),
    ):
        assert np.array_equal(video.read(number), expected[number])
        assert video.seeks == seeks, number


@pytest.mark.parametrize("fps", [30, 60, 24, 12])
def test_reading_in_order_never_seeks(fps, tmp_path):
    path = make_groups(tmp_path / "clip.mp4", rate=30)
    video = VideoFrames(path, fps)
    for number, expected in enumerate(iter_frames(path, fps)):
        assert np.array_equal(video.read(number), expected)
    assert video.seeks == 1


REMADE = {
    "transport stream": ("clip.ts", ["-c", "copy"], False),
    "refreshed bit by bit": (
        "clip.mp4",
        ["-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=10:bframes=0"],
        False,
    ),
    "cut between key frames": ("clip.mp4", ["-ss", "0.5", "-c", "copy"], True),
    "late": ("clip.mp4", ["-c", "copy", "-output_ts_offset", "1.3"], True),
    "in fragments": ("clip.mp4", ["-c", "copy", "-movflags", "frag_keyframe+empty_moov"], True),
    "avi with b-frames": ("clip.avi", ["-c:v", "mpeg4", "-bf", "2", "-g", "6"], True),
}


@pytest.mark.parametrize("kind", REMADE)
def test_files_whose_times_are_hard_to_tell(kind, tmp_path, caplog):
    name, options, exact = REMADE[kind]
    source = make_groups(tmp_path / "source.mp4", options={"bf": "3"})
    command = [FFMPEG, "-v", "error", "-i", str(source), *options, str(tmp_path / name)]
    subprocess.run(command, check=True)
    check_any_order(tmp_path / name, 30, caplog, exact=exact)


def test_grid_by_hand():
    # 30 a second, ticks of 10 ms: points at 0, 3.3, 6.7, 10 ... ticks
    times = np.array([0, 5, 6, 20])
    assert map_grid(times, 24, Fraction(1, 100), 30).tolist() == [0, 0, 2, 2, 2, 2, 3]
    late = map_grid(np.array([10]), 13, Fraction(1, 100), 30)
    assert late.tolist() == [0, 0, 0, 0]  # three before it, one of its own


def test_a_cut_file_is_refused_at_once(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(VideoError, match="cut short or damaged"):
        VideoFrames(path, 30)


def test_a_damaged_frame_is_refused_and_others_are_read(tmp_path):
    path = make_groups(tmp_path / "clip.mp4", options={"x264-params": "scenecut=0"})
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        victim = [p for p in packets if p.is_keyframe][-2]
        start, end = victim.pos + 4, victim.pos + victim.size
    content = bytearray(path.read_bytes())
    content[start:end] = b"\xff" * (end - start)
    expected = list(iter_frames(path.with_name("clip.mp4"), 30))
    path = path.with_name("damaged.mp4")
    path.write_bytes(content)
    video = VideoFrames(path, 30)
    with pytest.raises(VideoError, match=r"damaged\.mp4"):
        video.read(28)
    assert np.array_equal(video.read(2), expected[2])


def test_few_files_stay_open(tmp_path, monkeypatch):
    paths = [make_clip(tmp_path / f"{n}.mp4", frames=4 + n) for n in range(3)]
    closed = []
    monkeypatch.setattr(VideoFrames, "close", lambda video: closed.append(video.path.name))
    videos = OpenVideos(2)
    for number in (0, 1, 0, 2, 0):
        videos.read(paths[number], 25, 3)
    assert closed == ["1.mp4"]
    videos.close()
    assert sorted(closed[1:]) == ["0.mp4", "2.mp4"]


def test_open_videos_travel_without_their_files(tmp_path):
    videos = OpenVideos(3, threads=2)
    path = make_clip(tmp_path / "clip.mp4")
    frame = videos.read(path, 30, 5)
    there = pickle.loads(pickle.dumps(videos))
    assert (there.size, there.threads) == (3, 2)
    assert np.array_equal(there.read(path, 30, 5), frame)


def test_no_open_video_at_all_is_refused():
    with pytest.raises(ValueError, match="at least 1 open video, got 0"):
        OpenVideos(0)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_memory_is_flat(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", rate=30, frames=60, width=320, height=240)
    videos, memory = OpenVideos(1), []
    for number in range(60):
        videos.read(path, 30, number)
        if number % 10 == 9:
            memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    assert max(memory) - memory[0] < 6e6  # it would be 11 MB if frames were kept
