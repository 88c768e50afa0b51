"""What an enhanced file keeps: streams, tags, time, shape of pixels, rotation, colour."""

import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import FFMPEG, make_sound
from rich_clips import (
    FONT,
    describe_file,
    make_patches,
    make_video,
    read_frames,
    read_tags,
    sample_patches,
    to_rgb,
)

from vqe.inference import Enhancer, VideoOptions
from vqe.video import VideoError
from vqe.video.timed import Cut

LOSSLESS = {"qp": "0"}
TAGS = {"title": "A talk", "artist": "Somebody", "comment": "No comment"}


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer(None, network={"_target_": "vqe.models.Identity"}, device="cpu")


@pytest.fixture
def enhance(enhancer, tmp_path):
    """Enhance by the identity; options of VideoOptions; returns the target's path."""

    def run(source, name=None, **options):
        target = tmp_path / "out" / (name or source.name)
        run.report = enhancer.video(source, target, VideoOptions(**options))
        return target

    return run


def copied(path, kinds=("audio", "subtitle", "cover", "attachment")):
    return [s for s in describe_file(path)["streams"] if s["kind"] in kinds]


def test_all_that_a_matroska_holds_survives(tmp_path, enhance):
    source = make_video(
        tmp_path / "all.mkv",
        audio=("eng", "deu"),
        subtitles=("eng", "fra"),
        chapters=True,
        font=True,
        cover=True,
        tags=TAGS,
    )
    target = enhance(source)
    before, after = describe_file(source), describe_file(target)
    assert len(before["streams"]) == 7
    assert sorted(copied(target), key=str) == sorted(copied(source), key=str)
    assert after["chapters"] == before["chapters"]
    assert after["chapters"][1] == (Fraction(3, 10), Fraction(9, 10), "Talk")
    assert {k.lower(): v for k, v in after["tags"].items() if k.lower() in TAGS} == TAGS
    assert FONT in [s["data"] for s in after["streams"]]
    assert enhance.report.lost == ()


def test_all_that_an_mp4_holds_survives(tmp_path, enhance):
    source = make_video(
        tmp_path / "all.mp4", audio=("eng", "jpn"), chapters=True, cover=True, tags=TAGS
    )
    target = enhance(source)
    assert copied(target) == copied(source)
    assert [s["language"] for s in copied(target, ("audio",))] == ["eng", "jpn"]
    assert describe_file(target)["chapters"] == describe_file(source)["chapters"]
    assert TAGS.items() <= describe_file(target)["tags"].items()


def test_what_mp4_cannot_hold_is_said_and_mkv_keeps_it(tmp_path, enhance, caplog):
    source = make_video(tmp_path / "a.mkv", audio=("eng",), subtitles=("eng",), font=True)
    enhance(source, "a.mp4")
    assert len(enhance.report.lost) == 2
    assert "srt" in caplog.text and "mkv can" in caplog.text
    enhance(source, "b.mkv")
    assert enhance.report.lost == ()


def test_free_tags_survive_in_mp4(tmp_path, enhance):
    source = make_video(tmp_path / "a.mkv", tags={"CAMERA_SERIAL": "17"})
    tags = describe_file(enhance(source, "a.mp4"))["tags"]
    assert {k.upper(): v for k, v in tags.items()}["CAMERA_SERIAL"] == "17"


VARIABLE = [0, 40, 41, 140, 233, 250, 301, 500, 505, 620]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
@pytest.mark.parametrize("late", [0, 700])
def test_every_time_stamp_stays(tmp_path, enhance, suffix, late):
    times = [late + time for time in VARIABLE]
    source = make_video(
        tmp_path / f"variable.{suffix}", times=times, time_base=Fraction(1, 1000), audio=("eng",)
    )
    target = enhance(source, segment_seconds=0.2)
    before, after = read_frames(source)[0], read_frames(target)[0]
    assert len(before) == len(VARIABLE)
    assert after == before
    sound = [describe_file(path)["streams"][1]["times"] for path in (source, target)]
    assert sound[1] == sound[0]


def test_the_first_frames_of_each_file_are_shown_when_ffmpeg_says(tmp_path, enhance):
    """An independent reader agrees: ffmpeg's own list of time stamps."""
    times = [300 + time for time in VARIABLE]
    source = make_video(tmp_path / "a.mp4", times=times, time_base=Fraction(1, 1000))
    target = enhance(source)

    def list_times(path):
        command = [FFMPEG, "-v", "error", "-copyts", "-i", str(path), "-fps_mode", "passthrough"]
        done = subprocess.run(
            [*command, "-enc_time_base", "1:1000", "-f", "framecrc", "-"],
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [line.split(",") for line in done.stdout.splitlines() if line[:1] == "0"]
        return [int(row[2]) for row in rows]

    assert list_times(target) == list_times(source) == times


def test_a_matroska_without_a_frame_count(tmp_path, enhance):
    source = make_video(tmp_path / "a.mkv", frames=9)
    with av.open(str(source)) as container:
        assert container.streams.video[0].frames == 0
    assert len(read_frames(enhance(source))[0]) == 9


@pytest.mark.parametrize(("audio_frames", "audio"), [(60, ("eng",)), (5, ("eng",)), (0, ())])
def test_sound_may_be_longer_shorter_or_absent(tmp_path, enhance, audio_frames, audio):
    source = make_video(tmp_path / "a.mp4", audio=audio, audio_frames=audio_frames, frames=20)
    target = enhance(source)
    assert copied(target) == copied(source)
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert abs(before.duration - after.duration) <= av.time_base / 25
    assert len(read_frames(target)[0]) == 20


def test_a_rate_on_request(tmp_path, enhance):
    source = make_video(tmp_path / "a.mp4", frames=10, audio=("eng",))
    target = enhance(source, cut=Cut(fps=Fraction(30)))
    assert read_frames(target)[0] == [Fraction(n, 30) for n in range(12)]
    assert copied(target) == copied(source)


def test_every_third_frame_keeps_its_time(tmp_path, enhance):
    target = enhance(make_video(tmp_path / "a.mkv", frames=10), cut=Cut(every=3))
    assert read_frames(target)[0] == [Fraction(n, 25) for n in (0, 3, 6, 9)]


def test_a_part_is_cut_with_its_sound_and_chapters(tmp_path, enhance):
    source = make_video(
        tmp_path / "a.mkv", frames=25, audio=("eng",), subtitles=("eng",), chapters=True
    )
    target = enhance(source, cut=Cut(start=Fraction(1, 5), end=Fraction(3, 5)))
    after = describe_file(target)
    assert read_frames(target)[0] == [Fraction(n, 25) for n in range(10)]
    before = [t - Fraction(1, 5) for t in describe_file(source)["streams"][1]["times"]]
    assert after["streams"][1]["times"] == [t for t in before if 0 <= t < Fraction(2, 5)]
    assert after["chapters"][0][:2] == (0, Fraction(1, 10))
    assert after["chapters"][1][:2] == (Fraction(1, 10), Fraction(2, 5))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_baked_in_once(tmp_path, enhance, rotation):
    source = make_video(
        tmp_path / "a.mp4", rotation=rotation, pixel_shape=Fraction(4, 3), options=LOSSLESS
    )
    target = enhance(source, encoder=LOSSLESS)
    tags = read_tags(target)
    assert tags["rotation"] == 0
    turned = rotation % 180 == 90
    assert tags["size"] == ((48, 64) if turned else (64, 48))
    assert tags["shape"] == (Fraction(3, 4) if turned else Fraction(4, 3))
    # ffmpeg turns by itself what has a matrix
    shown = [
        subprocess.run(
            [FFMPEG, "-v", "error", "-i", str(path), "-pix_fmt", "gray", "-f", "rawvideo", "-"],
            capture_output=True,
            check=True,
        ).stdout
        for path in (source, target)
    ]
    pixels = [np.frombuffer(data, np.uint8).astype(int) for data in shown]
    assert pixels[0].shape == pixels[1].shape
    assert np.abs(pixels[0] - pixels[1]).mean() < 2


@pytest.mark.parametrize("shape", [Fraction(4, 3), Fraction(1), None])
def test_the_shape_of_pixels_stays(tmp_path, enhance, shape):
    source = make_video(tmp_path / "a.mkv", pixel_shape=shape)
    assert read_tags(enhance(source))["shape"] == read_tags(source)["shape"]


COLOURS = {
    "untagged": (2, 0, 2, 2),
    "709": (1, 1, 1, 1),
    "709 full": (1, 2, 1, 1),
    "601": (5, 1, 5, 6),
    "601 full": (5, 2, 5, 6),
    "2020": (9, 1, 9, 14),
}


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS.keys())
def test_no_colour_moves_by_more_than_two_levels(tmp_path, enhance, colour, bits):
    facts = {"full": colour[1] == 2, "bits": bits}
    planes, _ = make_patches(colour[0], **facts)
    pix_fmt = "yuv420p" if bits == 8 else "yuv420p10le"
    source = make_video(
        tmp_path / "a.mkv",
        frames=3,
        width=192,
        height=128,
        pix_fmt=pix_fmt,
        colour=colour,
        planes=planes,
        codec="libx264",
        options=LOSSLESS,
    )
    target = enhance(source, codec="libx264", encoder=LOSSLESS, pix_fmt=pix_fmt)
    tags = read_tags(target)
    assert tags["colour"] == read_tags(source)["colour"] == colour
    before, after = (
        to_rgb(sample_patches(read_frames(path)[1][1]), colour[0], **facts)
        for path in (source, target)
    )
    assert np.abs(after - before).max() <= 2


def test_the_defaults_stay_within_two_levels_too(tmp_path, enhance):
    planes, _ = make_patches(1, full=False, bits=8)
    source = make_video(
        tmp_path / "a.mp4",
        width=192,
        height=128,
        colour=COLOURS["709"],
        planes=planes,
        options=LOSSLESS,
    )
    target = enhance(source)
    before, after = (
        to_rgb(sample_patches(read_frames(path)[1][5]), 1, full=False, bits=8)
        for path in (source, target)
    )
    assert np.abs(after - before).max() <= 4  # crf 18 itself takes up to two


def test_ten_bits_stay_ten_bits_without_bands(tmp_path, enhance):
    ramp = np.linspace(64, 940, 1280).round().astype(np.uint16)
    planes = [np.tile(ramp, (64, 1)), *(np.full((32, 640), 512, np.uint16) for _ in range(2))]
    source = make_video(
        tmp_path / "a.mkv",
        frames=2,
        width=1280,
        height=64,
        pix_fmt="yuv420p10le",
        planes=planes,
        options=LOSSLESS,
    )
    target = enhance(source)
    tags = read_tags(target)
    assert (tags["codec"], tags["pix_fmt"]) == ("hevc", "yuv420p10le")
    exact = enhance(source, "b.mkv", codec="libx264", encoder=LOSSLESS)
    luma = read_frames(exact)[1][0][0][32].astype(int)
    assert len(np.unique(luma)) > 850  # of 877 levels; through eight bits 219 are left
    assert np.abs(luma - ramp).max() <= 1
    assert np.diff(luma).max() <= 2


def test_prores_stays_prores(tmp_path, enhance):
    facts = {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "options": {"qscale": "4"}}
    source = make_video(tmp_path / "a.mov", frames=3, **facts)
    tags = read_tags(enhance(source))
    assert (tags["codec"], tags["pix_fmt"]) == ("prores", "yuv422p10le")


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_name(tmp_path, enhance, transfer, name, caplog):
    colour = (9, 1, 9, transfer)
    source = make_video(tmp_path / "a.mkv", pix_fmt="yuv420p10le", colour=colour, frames=2)
    with pytest.raises(ValueError, match=name):
        enhance(source)
    target = enhance(source, hdr="passthrough")
    assert read_tags(target)["colour"] == colour
    assert "as if it were gamma" in caplog.text


@pytest.mark.parametrize("size", [(65, 47), (64, 47), (65, 48)])
def test_odd_sizes_stay(tmp_path, enhance, size):
    width, height = size
    source = make_video(tmp_path / "a.mp4", width=width, height=height, pix_fmt="yuv444p")
    target = enhance(source)
    assert read_tags(target)["size"] == size
    assert len(read_frames(target)[0]) == 14
    vp9 = enhance(source, "a.mkv", codec="libvpx-vp9", cut=Cut(every=7))
    assert read_tags(vp9)["size"] == size
    with pytest.raises(ValueError, match="even width and height"):
        enhance(source, "b.mp4", pix_fmt="yuv420p")


def test_rgb_becomes_709(tmp_path, enhance):
    source = make_video(
        tmp_path / "a.mkv", codec="ffv1", pix_fmt="bgr0", options={"slices": "4"}, frames=3
    )
    assert read_tags(enhance(source))["colour"][:2] == (1, 1)


def test_a_truncated_file_is_refused_or_said(tmp_path, enhance, caplog):
    whole = make_video(tmp_path / "a.mkv", frames=60)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(make_video(tmp_path / "b.mp4", frames=50).read_bytes()[:3000])
    with pytest.raises(VideoError, match=r"cut\.mp4"):
        enhance(cut)
    half = tmp_path / "half.mkv"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2 + 7])
    assert 10 < len(read_frames(enhance(half))[0]) < 45  # what there is of a cut recording
    assert "may be cut short" in caplog.text
    assert not (tmp_path / "out" / "cut.mp4").exists()


def test_a_sound_file_is_refused(tmp_path, enhance):
    with pytest.raises(VideoError, match="expected a video stream"):
        enhance(make_sound(tmp_path / "a.mp4"))


def test_a_second_video_stream_is_copied(tmp_path, enhance):
    first = make_video(tmp_path / "first.mkv", frames=6)
    second = make_video(tmp_path / "second.mkv", frames=8, width=32, height=32)
    both = tmp_path / "both.mkv"
    with av.open(str(both), "w") as output:
        for path in (first, second):
            with av.open(str(path)) as part:
                stream = part.streams.video[0]
                output.add_stream_from_template(stream, opaque=True)
        output.start_encoding()
        for index, path in enumerate((first, second)):
            with av.open(str(path)) as part:
                for packet in part.demux(part.streams.video[0]):
                    if packet.size:
                        packet.stream = output.streams[index]
                        output.mux(packet)
    target = enhance(both)

    def second_stream(path):
        with av.open(str(path)) as container:
            return [bytes(p) for p in container.demux(container.streams[1]) if p.size]

    assert second_stream(target) == second_stream(both)
    assert len(second_stream(both)) == 8


def test_webm_holds_vp9_and_opus(tmp_path, enhance):
    source = make_video(
        tmp_path / "a.webm", codec="libvpx-vp9", options={"deadline": "realtime"}, frames=4
    )
    assert read_tags(enhance(source))["codec"] == "vp9"


def test_what_does_not_fit_is_said_by_name(tmp_path, enhance):
    source = make_video(tmp_path / "a.mp4", frames=2)
    with pytest.raises(ValueError, match="expected output of mp4"):
        enhance(source, "a.avi")
    with pytest.raises(ValueError, match="video encoder that FFmpeg has, got codec=h265x"):
        enhance(source, codec="h265x")
    with pytest.raises(ValueError, match="webm holds"):
        enhance(source, "a.webm", codec="libx264")
    with pytest.raises(ValueError, match="expected pix_fmt of"):
        enhance(source, pix_fmt="rgb24")
    with pytest.raises(ValueError, match="another file"):
        Enhancer(None, network={"_target_": "vqe.models.Identity"}).video(source, source)
    with pytest.raises(VideoError, match="cannot be encoded"):
        enhance(source, preset="warp")
