"""Files as phones, editors and people's disks hold them: what is shown counts."""

import os
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import FFMPEG, draw_frame, make_clip

from vqe.building.preparation import measure_mp4
from vqe.layout import VIDEO_SUFFIXES, find_files
from vqe.video import VideoError, VideoFrames, iter_frames, probe_video
from vqe.video import source as video_source
from vqe.video.frame_index import count_frames


def run_ffmpeg(*words):
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, words)], check=True)


def decode(path, filters, width, height):
    command = [FFMPEG, "-v", "error", "-i", str(path), "-vf", filters, "-pix_fmt", "bgr24"]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


@pytest.mark.parametrize("audio", [False, True])
def test_what_an_edit_list_hides_is_not_counted(tmp_path, audio):
    whole, path = make_clip(tmp_path / "whole.mp4", frames=50, audio=audio), tmp_path / "cut.mp4"
    run_ffmpeg("-ss", "0.7", "-i", whole, "-c", "copy", "-t", "0.9", path)  # within a group
    with av.open(str(path)) as container:
        stored = container.streams.video[0].frames
    assert len(list(iter_frames(path, None))) < stored, "the clip has nothing hidden"
    info = probe_video(path)
    expected = decode(path, "fps=30", info.width, info.height)
    assert count_frames(path, 30) == measure_mp4(path, 30)[0] == len(expected)
    video = VideoFrames(path, 30)
    assert np.array_equal(np.stack([video.read(i) for i in range(len(expected))]), expected)
    video.close()


@pytest.mark.parametrize(
    ("ratio", "size"), [("4/3", (86, 48)), ("3/4", (64, 64)), ("12/11", (70, 48))]
)
def test_pixels_become_square(tmp_path, ratio, size):
    make_clip(tmp_path / "plain.mp4")
    path = tmp_path / "wide.mp4"
    run_ffmpeg("-i", tmp_path / "plain.mp4", "-vf", f"setsar={ratio}", path)
    info = probe_video(path)
    assert (info.width, info.height) == size
    expected = decode(path, f"scale={size[0]}:{size[1]}:flags=bicubic,fps=30", *size)
    assert np.array_equal(np.stack(list(iter_frames(path, 30))), expected)
    video = VideoFrames(path, 30)
    assert np.array_equal(video.read(5), expected[5])
    video.close()
    assert measure_mp4(path, 30)[1:] == size[::-1]


def test_nearly_square_pixels_stay(tmp_path):
    make_clip(tmp_path / "plain.mp4")
    run_ffmpeg("-i", tmp_path / "plain.mp4", "-vf", "setsar=136/135", tmp_path / "near.mp4")
    assert probe_video(tmp_path / "near.mp4").width == 64


def make_two_tracks(path):
    """A thumbnail first, then the video, both moving."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((32, 32), (64, 48)), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(6):
            for stream in streams:
                pixels = draw_frame(number, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def test_the_best_of_several_tracks_is_taken(tmp_path):
    path = make_two_tracks(tmp_path / "two.mkv")
    info = probe_video(path)
    assert (info.width, info.height) == (64, 48)
    assert np.array_equal(np.stack(list(iter_frames(path, 30))), decode(path, "fps=30", 64, 48))


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_hdr_is_said_once_a_file(tmp_path, caplog, transfer, name):
    make_clip(tmp_path / "plain.mp4", codec="libx265", pix_fmt="yuv420p10le", width=96, height=96)
    path = tmp_path / "hdr.mp4"
    run_ffmpeg(
        *("-i", tmp_path / "plain.mp4", "-c:v", "libx265", "-color_trc", transfer),
        *("-x265-params", f"log-level=error:transfer={transfer}", path),
    )
    video_source._warn_of_hdr.cache_clear()
    for _ in range(2):
        list(iter_frames(path, 30))
    said = [record.getMessage() for record in caplog.records if "HDR" in record.getMessage()]
    assert len(said) == 1
    assert str(path) in said[0] and name in said[0]
    caplog.clear()
    list(iter_frames(tmp_path / "plain.mp4", 30))
    assert not caplog.records


def test_an_absurd_time_step_is_a_bad_file(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", times=[0, 40, 80, 120, 40_000_000])
    for read in (lambda: count_frames(path, 30), lambda: list(iter_frames(path, 30))):
        with pytest.raises(VideoError, match="Its time stamps are damaged"):
            read()
    assert len(list(iter_frames(path, None))) == 5


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="expected a video, got a pipe or a device"):
        probe_video(tmp_path / "a.mp4")


def test_a_codec_that_nobody_knows_is_a_bad_file(tmp_path):
    path = make_clip(tmp_path / "a.mkv")
    data = path.read_bytes()
    assert data.count(b"V_MPEG4/ISO/AVC") == 1
    path.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/AVC"))
    for read in (probe_video, lambda path: next(iter_frames(path))):
        with pytest.raises(VideoError, match=r"a\.mkv: expected a codec that FFmpeg knows"):
            read(path)


def test_slides_are_no_absurdity(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", times=[0, 20_000, 40_000])
    assert count_frames(path, 30) == sum(1 for _ in iter_frames(path, 30)) > 1200


def test_a_name_that_is_no_utf8_is_one_bad_file(tmp_path):
    make_clip(tmp_path / "good.mp4").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    (path,) = find_files(tmp_path, VIDEO_SUFFIXES)
    with pytest.raises(VideoError, match=r"expected a name in UTF-8") as caught:
        probe_video(path)
    assert "\\xff.mp4" in str(caught.value)


def test_folders_behind_links_are_entered_once(tmp_path):
    make_clip(tmp_path / "elsewhere/a.mp4", frames=1)
    make_clip(tmp_path / "here/b.mp4", frames=1)
    make_clip(tmp_path / "here/.hidden/c.mp4", frames=1)
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/up").symlink_to(tmp_path / "here")
    (tmp_path / "here/dangling.mp4").symlink_to(tmp_path / "nothing.mp4")
    found = find_files(tmp_path / "here", {".mp4"})
    assert [p.relative_to(tmp_path / "here").as_posix() for p in found] == ["again/a.mp4", "b.mp4"]
