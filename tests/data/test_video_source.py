"""Frames read straight from videos give what extracted images give: samples, batches, metrics."""

import pickle

import pandas as pd
import pytest
import torch
from challenge_data import build
from conftest import TINY, compose_config
from video_data import FPS, make_video_folder, make_videos

from vqe.data import LoaderOptions, VQEDataModule
from vqe.data.dataset import FrameDataset
from vqe.data.index import read_index
from vqe.data.samplers import VideoBatches
from vqe.training import train as train_vqe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_video_folder(tmp_path_factory.mktemp("vidéos"))


@pytest.fixture
def own_folder(tmp_path):
    return make_video_folder(tmp_path)


def load(folder, name, **options):
    return FrameDataset(read_index(folder / f"{name}.csv"), folder, **options)


def test_the_builder_names_the_very_frames_that_it_would_extract(folder, tmp_path):
    build(make_videos(tmp_path), source="video", video_fps=FPS)
    for name in ("train", "test"):
        built = pd.read_csv(tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(built, pd.read_csv(folder / f"{name}_video.csv"))


@pytest.mark.parametrize("name", ["train", "test"])
def test_samples_equal_those_of_extracted_images(folder, name):
    images, videos = load(folder, name), load(folder, f"{name}_video")
    assert len(images) == len(videos) > 20
    assert any(row.frame is not None for row in videos.rows)
    for i in torch.randperm(len(images)).tolist():
        one, two = images[i], videos[i]
        assert set(one) == set(two)
        assert all(torch.equal(torch.as_tensor(one[k]), torch.as_tensor(two[k])) for k in one)


def test_a_dataset_travels_to_another_process_without_its_open_files(folder):
    dataset = load(folder, "test_video")
    expected = dataset[10]["x"]
    there = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(there[10]["x"], expected)


def test_evaluation_reads_each_video_in_one_go(folder, monkeypatch):
    seeks = []
    dataset = load(folder, "test_video")
    monkeypatch.setattr(
        "vqe.video.random_access.VideoFrames.close", lambda video: seeks.append(video.seeks)
    )
    table = read_index(folder / "test_video.csv")
    for batch in VideoBatches(table, batch_size=2):
        for i in batch:
            dataset[i]
    dataset.reader.videos.close()
    assert seeks == [1, 1, 1]


def data_module(folder, csv, **options):
    data = VQEDataModule(str(folder), csv, valid_fraction=0.5, seed=1, **options)
    data.setup("fit")
    return data


@pytest.mark.parametrize("workers", [0, 2])
def test_training_batches_equal_those_of_extracted_images(folder, workers):
    workers = LoaderOptions(3, 2, num_workers=workers)
    images = data_module(folder, "train.csv", loader=LoaderOptions(3, 2), size=(32, 40))
    videos = data_module(
        folder, "train_video.csv", source="video", loader=workers, size=(32, 40), open_videos=1
    )
    pairs = list(zip(images.train_dataloader(), videos.train_dataloader(), strict=True))
    assert len(pairs) > 3
    for one, two in pairs:
        for name, value in one.items():
            assert torch.equal(two[name], value)


def test_source_frames_refuses_rows_of_videos(folder):
    with pytest.raises(ValueError, match=r"row 2\).*data\.source=frames.*dataset\.source=video"):
        data_module(folder, "train_video.csv")


def test_unknown_source_lists_the_known(folder):
    with pytest.raises(ValueError, match=r"\('frames', 'video'\), got 'mp4'"):
        VQEDataModule(str(folder), source="mp4")


def test_source_video_reads_images_too(folder, caplog):
    with caplog.at_level("INFO", "vqe"):
        data = data_module(folder, "train.csv", source="video")
    assert "names no video" in caplog.text
    assert len(list(data.val_dataloader())) > 0


def test_missing_video_names_file_and_row(own_folder):
    (own_folder / "train/unsupervised/video_0000_x.mp4").unlink()
    table = read_index(own_folder / "train_video.csv", 'subset == "train_unsupervised"')
    row = table["row"][0]
    with pytest.raises(
        FileNotFoundError,
        match=rf"a video, got no such.*video_0000_x\.mp4.*row {row}, column img_s",
    ):
        FrameDataset(table, own_folder)[0]


def test_broken_video_names_file_and_row_and_the_rest_goes_on(own_folder):
    path = own_folder / "train/supervised/real/video_0000_y.mp4"
    path.write_bytes(path.read_bytes()[:-200])
    dataset = load(own_folder, "train_video")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"video_0000_y\.mp4; .*row 2, column img_target"):
            dataset[0]
    assert dataset[len(dataset) - 1]["x"].any()


def test_frame_beyond_the_end_says_so(own_folder):
    table = read_index(own_folder / "train_video.csv")
    table.loc[4, "frame"] = 500
    with pytest.raises(ValueError, match=r"expected a frame 500 at 30 fps, got 8 .*row 6"):
        FrameDataset(table, own_folder)[4]


def test_video_of_another_size_names_file_and_row(own_folder):
    table = read_index(own_folder / "test_video.csv")
    table["h"] += 1
    last = len(table) - 1
    with pytest.raises(ValueError, match=r"pixels .* got 47x65 .*video_0002_x\.mp4"):
        FrameDataset(table, own_folder)[last]


OPTIONS = (
    "dataset.holdout={0}.csv",
    "model_vqe=sample_conv",
    "trainer.limit_train_batches=2",
    "callbacks.render_videos.crf=30",
    "dataset.size=[32,40]",
    "dataset.valid_fraction=0.5",
)


@pytest.mark.slow
def test_a_run_gives_the_same_numbers_from_videos(folder, tmp_path):
    numbers, files = {}, {}
    for source, suffix in (("frames", ""), ("video", "_video")):
        run = tmp_path / source
        overrides = (
            f"dataset.path='{folder}'",
            *TINY,
            f"dataset.train=train{suffix}.csv",
            f"dataset.source={source}",
            *(option.format(f"test{suffix}") for option in OPTIONS),
        )
        numbers[source] = train_vqe.train(compose_config(run, *overrides))
        files[source] = {
            path.name: path.read_bytes()
            for part in ("results", "videos")
            for path in sorted((run / part).iterdir())
        }
    assert numbers["frames"] == numbers["video"]
    assert {"test/rmse", "test/score", "val/mse"} <= set(numbers["frames"])
    assert files["frames"] == files["video"]
    assert {"video_0000.mp4", "video_0001.mp4", "video_0002.mp4"} < set(files["frames"])
    table = pd.read_csv(tmp_path / "video/results/metrics_unsupervised.csv")
    assert table["video_i"].tolist() == ["video_0000", "video_0001", "video_0002"]
