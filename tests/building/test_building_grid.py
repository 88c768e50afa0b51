"""Frames counted without decoding: as many as decoding gives, whatever the time stamps."""

import subprocess

import numpy as np
import pytest
from clips import FFMPEG, make_clip

from vqe.building.preparation import measure_mp4
from vqe.video import VideoError, frame_index, iter_frames
from vqe.video.frame_index import FrameIndex

CLIPS = {
    "plain": {},
    "ntsc": {"rate": "24000/1001", "frames": 25},
    "variable": {"times": [0, 40, 55, 140, 300, 301, 333, 390, 900]},
    "late": {"times": [400, 440, 500]},
    "audio": {"audio": True, "frames": 30},
    "one": {"frames": 1, "rate": 10},
    "fast": {"rate": 120, "frames": 77},
    "turned": {"rotation": 90},
    "odd": {"width": 65, "height": 49, "pix_fmt": "yuv444p"},
    "hevc": {"codec": "libx265", "frames": 30},
    "mpeg4": {"codec": "mpeg4", "rate": 60, "frames": 40},
    "vp9": {"codec": "libvpx-vp9", "frames": 30},
}
X264 = ("-c:v", "libx264", "-x264opts")
# what ffmpeg makes of a long clip: options before the input and behind it
DERIVED = {
    "cut by edit list": (("-ss", "2.33"), ("-c", "copy")),
    "shifted": (("-itsoffset", "1.3"), ("-c", "copy")),
    "fragmented": ((), ("-c", "copy", "-movflags", "frag_keyframe+empty_moov")),
    "interlaced": ((), ("-c:v", "libx264", "-flags", "+ilme+ildct", "-x264opts", "tff=1")),
    "open gop": ((), (*X264, "open-gop=1:keyint=20:bframes=3")),
    "intra refresh": ((), (*X264, "intra-refresh=1:keyint=20")),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    found = {name: make_clip(folder / f"{name}.mp4", **o) for name, o in CLIPS.items()}
    found["long"] = make_clip(folder / "long.mp4", frames=100)
    for name, (before, behind) in DERIVED.items():
        found[name] = _convert(found["long"], folder / f"{name}.mp4", before, behind)
    for name in ("open gop", "intra refresh"):
        cut = f"cut {name}"
        found[cut] = _convert(found[name], folder / f"{cut}.mp4", ("-ss", "2"), ("-c", "copy"))
    return found


def _convert(source, target, before, behind):
    command = [FFMPEG, "-v", "error", *before, "-i", str(source), *behind, str(target)]
    subprocess.run(command, check=True)
    return target


NAMES = [*CLIPS, "long", *DERIVED, "cut open gop", "cut intra refresh"]


@pytest.mark.parametrize("name", NAMES)
def test_count_and_size_are_those_of_the_decoded_frames(clips, name):
    for fps in (30, 7, 60, 24):
        frames = list(iter_frames(clips[name], fps))
        assert measure_mp4(clips[name], fps) == (len(frames), *frames[0].shape[:2])


@pytest.mark.parametrize("name", NAMES)
def test_clips_are_not_decoded(clips, name, monkeypatch):
    monkeypatch.delattr(frame_index, "iter_frames")
    assert measure_mp4(clips[name], 30)[0] > 0


def test_doubtful_clip_is_decoded(clips, monkeypatch):
    none = np.empty(0, np.int64)
    index = FrameIndex(none, none, none, none, doubt="a packet has no time stamp")
    monkeypatch.setattr(frame_index, "index_frames", lambda path, fps: index)
    assert measure_mp4(clips["plain"], 30) == (len(list(iter_frames(clips["plain"], 30))), 48, 64)


def test_file_is_read_anew(tmp_path):
    for count in (25, 50):
        path = make_clip(tmp_path / "clip.mp4", frames=count)
        assert measure_mp4(path, 25)[0] == count


def test_cut_file_is_an_error(clips, tmp_path):
    data = clips["fragmented"].read_bytes()
    for name, content in {"index": clips["long"].read_bytes()[:-900], "end": data[:-400]}.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(content)
        with pytest.raises(VideoError, match=rf"{name}\.mp4"):
            measure_mp4(path, 30)


def test_clip_too_short_for_a_frame_is_an_error(tmp_path):
    path = make_clip(tmp_path / "short.mp4", frames=1, rate=100)
    with pytest.raises(VideoError, match="half a frame"):
        measure_mp4(path, 1)
