"""Geometry moves x and y alike; photometry leaves y alone."""

import pytest
import torch
from conftest import compose_config, draw_frame
from hydra.utils import instantiate
from torchvision.transforms import v2

from vqe.data import PairedTransform
from vqe.pixels import rgb_chw_u8

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
    torch.testing.assert_close(y, frame, rtol=0, atol=0)
    assert x.float().mean() < 0.65 * y.float().mean()


def test_frame_without_target(frame):
    x, y = PairedTransform([v2.RandomHorizontalFlip(1.0)])(frame, None)
    assert y is None
    torch.testing.assert_close(x, frame.flip(-1), rtol=0, atol=0)


def test_bytes_stay_bytes(frame):
    x, y = PairedTransform(GEOMETRIC.values(), [v2.ColorJitter(0.1)], (48, 64))(frame, frame)
    assert type(x) is type(y) is torch.Tensor
    assert x.dtype == y.dtype == torch.uint8


def test_what_a_transform_made_float_stays_in_unit_range(frame):
    noisy = PairedTransform(
        photometric=[v2.ToDtype(torch.float32, scale=True), lambda x: x * 3 - 1]
    )
    x, _ = noisy(frame, None)
    assert type(x) is torch.Tensor
    assert x.dtype == torch.float32
    assert x.min() == 0
    assert x.max() == 1


@pytest.fixture
def still():
    """A clip of one and the same frame, whose frames differ by what is drawn alone."""
    return rgb_chw_u8(draw_frame(1, 1))[None].repeat(4, 1, 1, 1)


def differ(clip):
    return [not torch.equal(frame, clip[0]) for frame in clip[1:]]


@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometry_is_drawn_once_for_a_clip(name, still):
    transform = PairedTransform([GEOMETRIC[name]], size=(48, 64))
    for seed in range(4):
        torch.manual_seed(seed)
        x, y = transform(still, still.clone())
        assert x.shape == (4, 3, 48, 64)
        assert not any(differ(x))
        assert torch.equal(x, y)


PHOTOMETRIC = {
    "colour": v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "blur": v2.GaussianBlur(5, (0.1, 3.0)),
    "jpeg": v2.JPEG((10, 90)),
    "sharpness": v2.RandomAdjustSharpness(3.0, p=0.5),
}


@pytest.mark.parametrize("name", PHOTOMETRIC)
def test_photometry_is_drawn_once_for_a_clip(name, still):
    drawn = []
    for seed in range(6):
        torch.manual_seed(seed)
        x, y = PairedTransform(photometric=[PHOTOMETRIC[name]])(still, still.clone())
        assert not any(differ(x))
        assert torch.equal(y, still)
        drawn.append(x)
    assert any(not torch.equal(x, drawn[0]) for x in drawn[1:])


def test_noise_is_drawn_anew_in_each_frame_of_x(still):
    noise = v2.GaussianNoise(sigma=0.05)
    x, y = PairedTransform(noise=[noise])(still, still.clone())
    assert all(differ(x))
    assert torch.equal(y, still)
    # what the transform draws for a whole tensor is drawn anew too, the jitter's strength here
    x, _ = PairedTransform(noise=[v2.ColorJitter(brightness=(0.3, 1.7))])(still, None)
    assert all(differ(x))


def test_noise_comes_last_and_a_seed_fixes_it(still):
    transform = PairedTransform(
        photometric=[v2.ColorJitter(brightness=(0.0, 0.0))], noise=[v2.GaussianNoise(mean=0.5)]
    )
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(transform(still, None)[0])
    assert torch.equal(*drawn)
    assert drawn[0].float().mean() > 100  # black first, noise on it
    assert transform(still[0], None)[0].shape == still[0].shape
