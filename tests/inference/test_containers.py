"""Files as ffmpeg writes them: time codes, subtitles in mp4, older containers, other encoders."""

import subprocess

import pytest
from clips import FFMPEG
from rich_clips import describe_file, read_frames, read_tags

from vqe.inference import Enhancer, VideoOptions
from vqe.inference.jobs import find_jobs

SUBTITLES = "1\n00:00:00,100 --> 00:00:00,700\nHello\n\n2\n00:00:00,800 --> 00:00:01,500\nWorld\n"


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer(None, network={"_target_": "vqe.models.Identity"}, device="cpu")


def write(path, *options, subtitles=False):
    """Let ffmpeg write two seconds of its test picture and a tone."""
    inputs = ["-f", "lavfi", "-i", "testsrc2=s=64x48:d=2", "-f", "lavfi", "-i", "sine=d=2"]
    maps = ["-map", "0", "-map", "1"]
    if subtitles:
        text = path.with_suffix(".srt")
        text.write_text(SUBTITLES)
        inputs, maps = [*inputs, "-i", str(text)], [*maps, "-map", "2"]
    command = [FFMPEG, "-v", "error", "-y", *inputs, *maps, *options, str(path)]
    subprocess.run(command, check=True)
    return path


def others(path):
    streams = [s for s in describe_file(path)["streams"] if s["kind"] != "video"]
    return sorted((s["kind"], str(s["codec"]), s["language"], s["packets"]) for s in streams)


KINDS = {
    "mov": ("-timecode", "01:02:03:04", "-c:s", "mov_text", "-metadata:s:s:0", "language=fra"),
    "mp4": ("-c:s", "mov_text", "-metadata:s:s:0", "language=eng"),
    "mkv": ("-c:s", "ass"),
}


@pytest.mark.parametrize("suffix", KINDS)
def test_subtitles_and_time_codes(tmp_path, enhancer, suffix):
    source = write(tmp_path / f"a.{suffix}", *KINDS[suffix], subtitles=True)
    report = enhancer.video(source, tmp_path / f"b.{suffix}")
    assert report.lost == ()
    assert others(tmp_path / f"b.{suffix}") == others(source)
    assert len(others(source)) == (3 if suffix == "mov" else 2)
    assert read_frames(tmp_path / f"b.{suffix}")[0] == read_frames(source)[0]


@pytest.mark.parametrize("suffix", ["avi", "flv", "mpg", "ts"])
def test_older_containers(tmp_path, enhancer, suffix):
    source = write(tmp_path / f"a.{suffix}", *(("-c:v", "mpeg4") if suffix == "avi" else ()))
    (job,) = find_jobs(source, tmp_path / "out", container=None)
    assert job.target.suffix == (".ts" if suffix == "ts" else ".mkv")
    enhancer.video(job.source, job.target)
    assert others(job.target) == others(source)
    before, after = read_frames(source)[0], read_frames(job.target)[0]
    assert len(before) == 50
    assert [float(t) for t in after] == pytest.approx([float(t) for t in before], abs=1e-3)


@pytest.mark.parametrize("codec", ["libx265", "libvpx-vp9", "libsvtav1", "ffv1"])
def test_other_encoders_join_their_segments(tmp_path, enhancer, codec):
    source = write(tmp_path / "a.mkv")
    options = VideoOptions(codec=codec, segment_seconds=0.5)
    enhancer.video(source, tmp_path / "b.mkv", options)
    times, pictures = read_frames(tmp_path / "b.mkv")
    assert [float(t) for t in times] == pytest.approx([n / 25 for n in range(50)], abs=1e-3)
    assert len(pictures) == 50
    assert read_tags(tmp_path / "b.mkv")["pix_fmt"] == "yuv420p"


def test_names_that_would_meet_stay_apart(tmp_path):
    for name in ("a.avi", "a.flv", "a.mkv", "b.flv"):
        (tmp_path / name).write_bytes(b"x")
    jobs = find_jobs(tmp_path, tmp_path / "out", container=None)
    names = {job.name: job.target.name for job in jobs}
    assert names == {
        "a.avi": "a.avi.mkv",
        "a.flv": "a.flv.mkv",
        "a.mkv": "a.mkv",
        "b.flv": "b.mkv",
    }
