import numpy as np
import pytest
import torch

from vqe import pixels


def test_decoded_bgr_becomes_rgb_planes():
    frame = np.zeros((2, 3, 3), np.uint8)
    frame[..., 0], frame[..., 2] = 10, 30  # blue, red
    planes = pixels.rgb_chw_u8(frame)
    assert planes.shape == (3, 2, 3)
    assert planes[:, 0, 0].tolist() == [30, 0, 10]
    back = pixels.bgr_hwc_u8(planes)
    assert back.flags.c_contiguous and (back == frame).all()
    assert (pixels.bgr_hwc_u8(planes[:, :1, 1:]) == frame[:1, 1:]).all()  # not contiguous itself


def test_every_8_bit_level_survives_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8)
    assert (pixels.quantise(pixels.dequantise(levels)) == levels).all()


def test_quantise_clamps_and_rounds():
    values = torch.tensor([-0.5, 0.4 / 255, 0.6 / 255, 1.0, 1.7])
    assert pixels.quantise(values).tolist() == [0, 0, 1, 255, 255]


def test_bytes_stay_bytes_and_floats_stay_in_unit_range():
    levels = torch.arange(256, dtype=torch.uint8)
    assert pixels.quantise(levels) is levels
    floats = pixels.to_unit_range(levels)
    assert torch.equal(floats, levels.float() / 255)
    assert torch.equal(pixels.to_unit_range(floats), floats)


def test_challenge_range_is_bgr_around_128():
    red = torch.zeros(1, 3, 1, 1)
    red[0, 0] = 1
    assert pixels.to_challenge_range(red).flatten().tolist() == [-1, -1, pytest.approx(127 / 128)]


def test_challenge_range_round_trip():
    frames = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    there = pixels.to_challenge_range(frames)
    torch.testing.assert_close(pixels.from_challenge_range(there), frames)
