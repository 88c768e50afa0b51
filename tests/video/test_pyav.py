from fractions import Fraction

import av
import pytest
from clips import draw_frame

from vqe.video import iter_frames
from vqe.video.pyav import open_container, read_fraction

LATIN = b"caf\xe9"  # é in Latin-1, which is no UTF-8


def write_tagged(path, title):
    with open_container(path, "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            picture = av.VideoFrame.from_ndarray(draw_frame(number, 64, 48), format="bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_tags_keep_their_bytes(tmp_path, suffix):
    title = LATIN.decode("utf-8", "surrogateescape")
    path = write_tagged(tmp_path / f"clip.{suffix}", title)
    assert LATIN in path.read_bytes()
    with open_container(path) as container:
        assert container.metadata["title"] == title
    assert len(list(iter_frames(path, None))) == 3


def test_fractions_are_fractions(tmp_path):
    path = write_tagged(tmp_path / "clip.mp4", "clip")
    with open_container(path) as container:
        stream = container.streams.video[0]
        assert read_fraction(stream.time_base) == Fraction(1, 12800)  # mp4's for 25 fps
        assert type(read_fraction(stream.average_rate)) is Fraction
        assert read_fraction(stream.average_rate) == 25


def test_unset_fraction_is_none(tmp_path):
    path = write_tagged(tmp_path / "clip.mp4", "clip")
    with open_container(path) as container:
        unset = container.streams.video[0].sample_aspect_ratio
        assert read_fraction(unset) is None
