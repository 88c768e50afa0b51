import cv2
import pytest
import torch
from conftest import write_data
from torchvision.transforms import v2

from vqe.data import PairedTransform
from vqe.data.dataset import FrameDataset, frame_seed
from vqe.data.index import read_index


@pytest.fixture
def own_folder(tmp_path):
    return write_data(tmp_path / "own data")


def test_sample_is_rgb_as_decoded(data_folder):
    table = read_index(data_folder / "train.csv")
    sample = FrameDataset(table, data_folder)[5]
    picture = cv2.imread(str(data_folder / table["img_source"][5]))
    expected = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)
    torch.testing.assert_close(sample["x"], expected, rtol=0, atol=0)
    assert sample["has_target"]
    assert sample["index"] == 5


def test_frame_without_target_has_a_zero_target(data_folder):
    table = read_index(data_folder / "train.csv", 'subset == "train_unsupervised"')
    sample = FrameDataset(table, data_folder)[0]
    assert not sample["has_target"]
    assert sample["y"].shape == sample["x"].shape
    assert not sample["y"].any()


def test_seed_tells_frames_apart_and_never_changes():
    seeds = {
        frame_seed(subset, f"video_{v:04d}", f"frame_{f:04d}")
        for subset in ("test_unsupervised", "train_unsupervised")
        for v in range(20)
        for f in range(20)
    }
    assert len(seeds) == 800
    assert frame_seed("test_unsupervised", "video_0001", "frame_0001") == 3996251715


def test_missing_image_names_file_and_row(own_folder):
    table = read_index(own_folder / "train.csv")
    (own_folder / table["img_source"][3]).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"frame_0004\.png.*train\.csv, row 5, column img_s"
    ):
        FrameDataset(table, own_folder)[3]


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_undecodable_image_names_file_and_row(own_folder, content):
    table = read_index(own_folder / "train.csv")
    path = own_folder / table["img_target"][3]
    path.write_bytes(path.read_bytes()[:40] if content is None else content)
    with pytest.raises(ValueError, match=r"frame_0004\.png.*train\.csv, row 5, column img_target"):
        FrameDataset(table, own_folder)[3]


def test_size_other_than_in_the_csv_names_file_and_row(own_folder):
    table = read_index(own_folder / "train.csv")
    table.loc[3, "h"] = 10
    with pytest.raises(ValueError, match=r"expected 10x96 pixels .* got 72x96 .*row 5"):
        FrameDataset(table, own_folder)[3]


def test_a_seed_fixes_the_augmentation_and_leaves_the_global_state(data_folder):
    augment = PairedTransform([v2.RandomAffine(30)])
    dataset = FrameDataset(read_index(data_folder / "train.csv"), data_folder, augment)
    state = torch.get_rng_state()
    first, again, other = (dataset[5, seed]["x"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
