import multiprocessing

import cv2
import pandas as pd
import pytest
import torch

from vqe.data import LoaderOptions, VQEDataModule
from vqe.schema import VIDEO_KEY


def build(data_folder, **options):
    loader = options.pop("loader", LoaderOptions(batch_size=4, eval_batch_size=2))
    data = VQEDataModule(str(data_folder), valid_fraction=0.34, loader=loader, **options)
    data.setup("fit")
    return data


def test_valid_null_cuts_training_videos(data_folder):
    data = build(data_folder)
    videos = {
        name: set(map(tuple, table[VIDEO_KEY].astype(str).to_numpy()))
        for name, table in data.tables.items()
    }
    assert not videos["train"] & videos["valid"]
    assert len(videos["train"] | videos["valid"]) == 5


def test_named_valid_csv_leaves_training_whole(data_folder):
    data = build(data_folder, valid="test_minimal.csv", valid_query='video_id == "video_0001"')
    assert len(data.tables["train"]) == 20
    assert set(data.tables["valid"]["video_id"]) == {"video_0001"}


CONTEXTS = [  # a spawned process imports everything anew: one is enough
    (workers, context)
    for workers, context in ((2, "fork"), (1, "spawn"))
    if context in multiprocessing.get_all_start_methods()
]


@pytest.mark.parametrize(("workers", "context"), [(0, None), *CONTEXTS])
def test_workers_deliver_what_the_main_process_does(data_folder, workers, context):
    reference = next(iter(build(data_folder).val_dataloader()))
    options = LoaderOptions(2, 2, num_workers=workers, multiprocessing_context=context)
    batch = next(iter(build(data_folder, loader=options).val_dataloader()))
    assert set(batch) == {"x", "y", "has_target", "seed", "index", "video"}
    for name, value in reference.items():
        assert torch.equal(batch[name], value)


def test_batches_are_rgb_bytes(data_folder):
    data = build(data_folder)
    batch = next(iter(data.val_dataloader()))
    path = data_folder / data.tables["valid"]["img_source"][int(batch["index"][0])]
    expected = torch.from_numpy(cv2.imread(str(path))[..., ::-1].copy()).permute(2, 0, 1)
    assert batch["x"].dtype == batch["y"].dtype == torch.uint8
    assert torch.equal(batch["x"][0], expected)


def test_a_video_has_one_number(data_folder):
    data = build(data_folder)
    data.setup("test")
    numbers = {}
    for batch in data.test_dataloader():
        for index, video in zip(batch["index"].tolist(), batch["video"].tolist(), strict=True):
            numbers.setdefault(video, set()).add(data.video_of(index))
    assert all(len(videos) == 1 for videos in numbers.values())
    named = pd.read_csv(data_folder / "test.csv")[list(VIDEO_KEY)].drop_duplicates()
    assert set().union(*numbers.values()) == set(named.itertuples(index=False, name=None))


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_frame_s_video_is_the_one_of_its_file(data_folder, split):
    data = build(data_folder)
    for index, path in enumerate(data.tables[split]["img_source"]):
        subset, video_id = data.video_of(index, split)
        assert path.split("/")[-3] == video_id
        assert "_".join(path.split("/")[:-3]) == subset


def test_training_batches_have_the_training_size(data_folder):
    for batch in build(data_folder, size=(40, 48)).train_dataloader():
        assert batch["x"].shape == (4, 3, 40, 48)


def test_test_frames_keep_their_own_size(data_folder):
    data = build(data_folder, size=(40, 48))
    data.setup("test")
    sizes = {tuple(batch["x"].shape[-2:]) for batch in data.test_dataloader()}
    assert sizes == {(72, 96), (71, 95)}


@pytest.mark.parametrize("clip_length", [1, 2])
def test_an_unsupervised_share_mixes_batches_of_one_kind(data_folder, clip_length):
    data = build(
        data_folder,
        unsupervised_share=0.5,
        clip_length=clip_length,
        loader=LoaderOptions(batch_size=2, eval_batch_size=2),
    )
    kinds = [batch["has_target"].flatten().tolist() for batch in data.train_dataloader()]
    assert all(len(set(kind)) == 1 for kind in kinds)
    assert sum(not kind[0] for kind in kinds) == round(len(kinds) / 2)


def test_an_unsupervised_share_of_pairs_alone_is_refused(data_folder):
    pairs = "subset == 'train_supervised_synthetic'"
    data = build(data_folder, unsupervised_share=0.5, train_query=pairs)
    with pytest.raises(ValueError, match="8 with a target and 0 without"):
        data.train_dataloader()
