"""Geometry moves x and y alike; photometry leaves y alone."""

import pytest
import torch
from conftest import compose_config, draw_frame
from hydra.utils import instantiate
from torchvision.transforms import v2

from vqe.data import PairedTransform
from vqe.pixels import dequantise, rgb_chw_u8

GEOMETRIC = {
    "flip": v2.RandomHorizontalFlip(0.5),
    "vertical flip": v2.RandomVerticalFlip(0.5),
    "affine": v2.RandomAffine(10, (0.1, 0.1), (0.8, 1.2), 5),
    "rotation": v2.RandomRotation(20),
    "perspective": v2.RandomPerspective(0.4, p=1.0),
    "elastic": v2.ElasticTransform(30.0),
    "resized crop": v2.RandomResizedCrop([40, 56], antialias=True),
    "crop": v2.RandomCrop([40, 56]),
}


@pytest.fixture
def frame():
    return rgb_chw_u8(draw_frame(1, 1))


@pytest.mark.parametrize("name", GEOMETRIC)
def test_x_and_y_stay_aligned(name, frame):
    transform = PairedTransform([GEOMETRIC[name]], size=(48, 64))
    moved = 0
    for seed in range(12):
        torch.manual_seed(seed)
        x, y = transform(frame, frame.clone())
        torch.testing.assert_close(x, y, rtol=0, atol=0)
        assert x.shape == (3, 48, 64)
        moved += not torch.equal(x, PairedTransform(size=(48, 64))(frame, None)[0])
    assert moved > 0


def test_shipped_augmentation_keeps_pairs_aligned(frame, tmp_path, data_folder):
    config = compose_config(tmp_path, f"dataset.path='{data_folder}'", "dataset.size=[48,64]")
    transform = instantiate(config.augmentation, photometric=[], _convert_="all")
    drawn = []
    for seed in range(12):
        torch.manual_seed(seed)
        x, y = transform(frame, frame.clone())
        torch.testing.assert_close(x, y, rtol=0, atol=0)
        drawn.append(x)
    assert not torch.equal(drawn[0], drawn[1])


def test_photometry_touches_x_alone(frame):
    transform = PairedTransform(photometric=[v2.ColorJitter(brightness=(0.5, 0.6))])
    x, y = transform(frame, frame.clone())
    torch.testing.assert_close(y, dequantise(frame), rtol=0, atol=0)
    assert x.mean() < 0.65 * y.mean()


def test_frame_without_target(frame):
    x, y = PairedTransform([v2.RandomHorizontalFlip(1.0)])(frame, None)
    assert y is None
    torch.testing.assert_close(x, dequantise(frame).flip(-1), rtol=0, atol=0)


def test_result_is_a_plain_float_tensor_in_unit_range(frame):
    noisy = PairedTransform(
        photometric=[v2.ToDtype(torch.float32, scale=True), lambda x: x * 3 - 1]
    )
    x, _ = noisy(frame, None)
    assert type(x) is torch.Tensor
    assert x.dtype == torch.float32
    assert x.min() == 0
    assert x.max() == 1
