"""What a CSV or an image may not do: name places outside, fill the memory, end in foreign words."""

import os
import zlib

import cv2
import numpy as np
import pandas as pd
import pytest

from vqe.building.headers import read_size
from vqe.data.index import read_index
from vqe.data.reading import FrameReader
from vqe.data.rows import FrameRows
from vqe.layout import MAX_PIXELS
from vqe.schema import FRAME_COLUMNS
from vqe.synthesis.sources import read_picture
from vqe.video import VideoError


def write_index(folder, **changes):
    row = dict(
        zip(FRAME_COLUMNS, ("a/x.png", "", 8, 8, "train_unsupervised", "video_0001"), strict=True)
    )
    pd.DataFrame([row | changes]).to_csv(folder / "train.csv", index=False)
    return folder / "train.csv"


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/b", "a\\b", "..", "."])
def test_a_video_id_is_no_path(tmp_path, name):
    with pytest.raises(ValueError, match=r"expected a video_id without slashes.*row 2"):
        read_index(write_index(tmp_path, video_id=name))


@pytest.mark.parametrize("column", ["img_source", "img_target"])
@pytest.mark.parametrize(
    "path", ["/etc/x.png", "../x.png", "a/../../x.png", "C:\\x.png", "a\\..\\x"]
)
def test_images_lie_in_the_data_folder(tmp_path, column, path):
    csv = write_index(tmp_path, **{column: path})
    with pytest.raises(ValueError, match=r"expected a path within .*allow_outside=true"):
        read_index(csv)
    assert len(read_index(csv, allow_outside=True)) == 1


def test_dots_in_names_are_no_way_out(tmp_path):
    assert len(read_index(write_index(tmp_path, img_source="a..b/..x/c.png", video_id="v..1"))) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "No columns"),
        (b"img_source\n\xff\n", "decode"),
        (b'"a', "EOF"),
        (b"a\n1,2\n3,4,5", ""),
    ],
)
def test_what_pandas_cannot_read_is_named(tmp_path, content, words):
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"train\.csv") as caught:
        read_index(tmp_path / "train.csv")
    assert str(caught.value).startswith("expected ")
    assert words in str(caught.value)


def claim_size(path, width, height):
    """Write a small PNG whose header claims another size."""
    data = bytearray(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(data).ljust(2048, b"\0"))
    return path


def test_bombs_are_refused_by_their_header(tmp_path):
    path = claim_size(tmp_path / "a/x.png", 20000, 20000)
    with pytest.raises(ValueError, match=f"expected at most {MAX_PIXELS} pixels, got 20000x20000"):
        read_size(str(path))
    large = claim_size(tmp_path / "large.png", 9000, 9000)  # Pillow's own limit lies above
    for picture in (path, large):
        with pytest.raises(VideoError, match=r"expected a picture of at most|decompression bomb"):
            read_picture(picture)
    table = read_index(write_index(tmp_path))
    reader = FrameReader(tmp_path, "train.csv", open_videos=1, threads=1)
    with pytest.raises(ValueError, match=r"expected an image of at most .*row 2"):
        reader.read(FrameRows(table)[0], "img_source")
    with pytest.raises(ValueError, match=r"expected frames of at most .*got 20000x20000"):
        read_index(write_index(tmp_path, h=20000, w=20000))


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(OSError, match="got a pipe"):
        read_size(str(tmp_path / "x.png"))
