"""The settings that x264 leaves in a stream, held against those that it was given."""

import av
import pytest
from clips import draw_frame

from vqe.video import VideoWriter
from vqe.video.inspection import inspect_video
from vqe.video.x264_settings import PRESET_OF_SUBME, UUID, read_settings


def encode(path, **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = av.VideoFrame.from_ndarray(draw_frame(0, 64, 48), format="bgr24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return inspect_video(path, fps=30).settings


@pytest.mark.parametrize("preset", PRESET_OF_SUBME.values())
def test_every_preset_is_known(preset, tmp_path):
    settings = encode(tmp_path / "clip.mp4", preset=preset, crf="21.5")
    assert (settings.rate_control, settings.crf, settings.preset) == ("crf", 21.5, preset)


@pytest.mark.parametrize(("options", "name"), [({"b": "90000"}, "abr"), ({"qp": "20"}, "cqp")])
def test_other_rate_controls_have_no_crf(options, name, tmp_path):
    settings = encode(tmp_path / "clip.mp4", **options)
    assert (settings.rate_control, settings.crf) == (name, None)


def test_the_challenge_s_writer_is_crf_18_and_medium(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4") as writer:
        for number in range(3):
            writer.write(draw_frame(number, 64, 48))
    report = inspect_video(tmp_path / "clip.mp4", fps=30)
    assert (report.settings.crf, report.settings.preset) == (18, "medium")
    assert (report.frames, report.rate, report.off_grid, report.error) == (3, 30, None, None)
    assert (report.codec, report.profile, report.pix_fmt) == ("h264", "High", "yuv420p")
    assert report.other_streams == ()


@pytest.mark.parametrize("words", [b"", b"x" * 16 + b"rc=crf crf=18", UUID, UUID + b"options: a=b"])
def test_other_words_are_no_settings(words):
    assert read_settings(words) is None
