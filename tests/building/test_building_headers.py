"""Sizes from headers: what Pillow says, for every kind of JPEG and PNG it knows."""

import io

import numpy as np
import pytest
from PIL import Image

from vqe.building import headers
from vqe.building.headers import read_size

PICTURE = np.random.default_rng(0).integers(0, 256, (53, 131, 3), np.uint8)
KINDS = {
    "jpeg": ("JPEG", {}),
    "progressive": ("JPEG", {"progressive": True}),
    "icc and exif": ("JPEG", {"icc_profile": bytes(300), "exif": b"Exif\0\0" + bytes(300)}),
    "long exif": ("JPEG", {"exif": b"Exif\0\0" + bytes(60_000)}),
    "comment": ("JPEG", {"comment": b"\xff\xc0" * 100}),
    "png": ("PNG", {}),
    "png with text": ("PNG", {"dpi": (72, 72)}),
}


def encode(kind, mode="RGB"):
    name, options = KINDS[kind]
    file = io.BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(file, name, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", KINDS)
def test_size_is_pillow_s(tmp_path, kind, mode):
    path = tmp_path / "a.img"
    path.write_bytes(encode(kind, mode))
    assert read_size(str(path)) == (131, 53)


@pytest.mark.parametrize("kind", ["jpeg", "icc and exif", "comment", "png"])
def test_plain_headers_are_not_left_to_pillow(tmp_path, kind, monkeypatch):
    path = tmp_path / "a.img"
    path.write_bytes(encode(kind))
    monkeypatch.delattr(headers.Image, "open")
    assert read_size(str(path)) == (131, 53)


def damage_png_size(data):
    return data[:18] + b"\x01" + data[19:]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image",
        bytes(5000),
        b"\xff\xd8\xff" + bytes(5000),
        encode("jpeg")[:40],
        encode("png")[:20],
        damage_png_size(encode("png")),
        b"GIF89a" + bytes(2000),
    ],
)
def test_no_image_is_an_error(tmp_path, data):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises((OSError, SyntaxError, ValueError)):
        read_size(str(path))


def test_folder_and_absent_file_are_errors(tmp_path):
    for path in (tmp_path, tmp_path / "absent.jpg"):
        with pytest.raises(OSError):
            read_size(str(path))
