"""Clips of consecutive frames: what is in them, and that networks of either kind work with them."""

from functools import partial

import pytest
import torch
from conftest import TINY, compose_config
from pytorch_lightning import Callback
from torch import nn
from torchvision.transforms import v2
from video_data import make_video_folder

from vqe.data import PairedTransform, VQEDataModule
from vqe.data.clips import Clips
from vqe.data.dataset import FrameDataset
from vqe.data.index import read_index
from vqe.losses import SupervisedMSE, WeightedTerms
from vqe.models import SampleConv
from vqe.models.enhancement import VideoEnhancer, enhance, flatten_clips
from vqe.schema import VIDEO_KEY
from vqe.training import assembly
from vqe.training.module import VQEModule


@pytest.fixture(scope="module")
def train_table(data_folder):
    return read_index(data_folder / "train.csv")  # five videos of four frames


@pytest.mark.parametrize(
    ("length", "stride", "expected"),
    [(3, 1, [[0, 1, 2], [1, 2, 3]]), (2, 2, [[0, 1], [2, 3]]), (3, 2, [[0, 1, 2]])],
)
def test_clips_are_consecutive_frames_of_one_video(train_table, length, stride, expected):
    shuffled = train_table.sample(frac=1, random_state=3).reset_index(drop=True)
    clips = list(Clips(shuffled, length=length, stride=stride))
    assert len(clips) == 5 * len(expected)
    numbers, videos = [], []
    for clip in clips:
        rows = shuffled.iloc[clip]
        assert len(rows[VIDEO_KEY].drop_duplicates()) == 1
        videos.append(tuple(rows[VIDEO_KEY].iloc[0]))
        numbers.append([int(p[-8:-4]) - 1 for p in rows["img_source"]])
    assert numbers == expected * 5
    assert len(set(videos)) == 5


def test_a_change_of_size_ends_a_clip(train_table):
    table = train_table.copy()
    table.loc[2:3, "h"] = 36
    first_video = [c for c in Clips(table, length=2) if max(c) < 4]
    assert first_video == [[0, 1], [2, 3]]


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (2, 0)])
def test_numbers_below_one_are_refused(train_table, length, stride):
    with pytest.raises(ValueError, match="from 1 on"):
        Clips(train_table, length=length, stride=stride)


def test_clips_longer_than_all_videos_are_refused(train_table):
    with pytest.raises(ValueError, match="at least 5 frames, got none"):
        Clips(train_table, length=5)


def test_a_clip_holds_its_frames_samples(data_folder, train_table):
    frames = FrameDataset(train_table, data_folder)
    dataset = FrameDataset(train_table, data_folder, clips=Clips(train_table, length=3))
    sample = dataset[5]
    parts = [frames[int(i)] for i in sample["index"]]
    assert sample["x"].shape == (3, 3, 72, 96)
    for name, value in sample.items():
        assert torch.equal(value, torch.stack([torch.as_tensor(part[name]) for part in parts]))


def test_a_stride_alone_keeps_single_frames(data_folder):
    data = VQEDataModule(str(data_folder), valid_fraction=0.34, clip_stride=2)
    data.setup("fit")
    dataset = data.train_dataloader().dataset
    assert dataset[0]["x"].shape == (3, 72, 96)
    assert len(dataset) == len(data.tables["train"]) / 2


def test_a_seed_fixes_a_clip(data_folder, train_table):
    transform = PairedTransform(
        [v2.RandomAffine(20)], [v2.ColorJitter(0.5)], None, [v2.JPEG((5, 90))]
    )
    dataset = FrameDataset(train_table, data_folder, transform, clips=Clips(train_table, length=3))
    one, again, other = (dataset[2, seed]["x"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_clips_from_videos_equal_those_from_images(tmp_path):
    folder = make_video_folder(tmp_path)
    sets = []
    for name in ("train", "train_video"):
        table = read_index(folder / f"{name}.csv")
        sets.append(FrameDataset(table, folder, clips=Clips(table, length=3, stride=2)))
    assert len(sets[0]) == len(sets[1]) > 6
    for i in range(len(sets[0])):
        one, two = sets[0][i], sets[1][i]
        assert all(torch.equal(one[name], two[name]) for name in one)


class Blend(nn.Module):
    """A toy recurrent network: each frame is mixed with what came before it."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.5))

    def initial_state(self, batch, height, width):
        return {"seen": torch.zeros(batch, 1, 1, 1), "mixed": torch.zeros(batch, 3, height, width)}

    def forward(self, frames, state=None):
        before = self.initial_state(len(frames), *frames.shape[-2:]) if state is None else state
        share = before["seen"] * (1 - self.share)
        mixed = frames + share * (before["mixed"] - frames)
        after = {"seen": torch.ones_like(before["seen"]), "mixed": mixed}
        return mixed if state is None else (mixed, after)


class Centre(nn.Module):
    """A network of clips that looks ahead: each frame becomes the mean of its clip."""

    takes_clips = True

    def forward(self, clips_btchw):
        return clips_btchw.mean(1, keepdim=True).expand_as(clips_btchw)


def blend_by_hand(frames, share=0.5):
    done = [frames[0]]
    for frame in frames[1:]:
        done.append(share * frame + (1 - share) * done[-1])
    return torch.stack(done)


def test_networks_of_frames_see_clips_frame_by_frame():
    clips = torch.rand(2, 3, 3, 8, 8)
    network = SampleConv().eval()
    done = enhance(network, clips)
    assert done.shape == clips.shape
    torch.testing.assert_close(done[1, 2], network(clips[1, 2][None])[0])


def test_networks_with_memory_begin_each_clip_anew():
    clips = torch.rand(2, 4, 3, 8, 8)
    done = enhance(Blend(), clips)
    torch.testing.assert_close(done, torch.stack([blend_by_hand(clip) for clip in clips]))
    frames = clips[:, 0]
    torch.testing.assert_close(enhance(Blend(), frames), frames)


def test_networks_of_clips_see_them_whole():
    clips = torch.rand(2, 4, 3, 8, 8)
    done = enhance(Centre(), clips)
    torch.testing.assert_close(done[1, 2], clips[1].mean(0))
    torch.testing.assert_close(enhance(Centre(), clips[:, 0]), clips[:, 0])
    enhancer = VideoEnhancer()
    parts = [enhancer.enhance(Centre(), part, 0) for part in clips[0].split(2)]
    torch.testing.assert_close(parts[1][0], clips[0, 2:].mean(0))


def test_state_is_carried_through_a_video_and_no_further():
    videos = torch.rand(2, 5, 3, 8, 8)
    network, enhancer = Blend(), VideoEnhancer()
    for number, frames in enumerate(videos):
        parts = [enhancer.enhance(network, part, number) for part in frames.split(2)]
        torch.testing.assert_close(torch.cat(parts), blend_by_hand(frames))


def make_batch(targets):
    x = torch.rand(2, 3, 3, 8, 8)
    return {
        "x": x,
        "y": torch.rand_like(x) * torch.tensor(targets)[:, None, None, None, None],
        "has_target": torch.tensor(targets)[:, None].expand(2, 3),
        "seed": torch.arange(6).reshape(2, 3),
        "index": torch.arange(6).reshape(2, 3),
        "video": torch.tensor([[0] * 3, [1] * 3]),
    }


class Watch(nn.Module):
    """Critics that note what they are shown."""

    def forward(self, x, enhanced, seeds):
        self.seen = x, enhanced, seeds


def test_loss_and_critics_see_single_frames():
    batch = make_batch([True, False])
    loss = WeightedTerms({"sup_mse": SupervisedMSE()}, {"sup_mse": 1.0})
    loss.terms["sup_mse"].needs_scores = True
    module = VQEModule(Blend(), Watch(), loss)
    step, values = module._shared_step(batch)
    x, enhanced, seeds = module.critics.seen
    assert seeds.tolist() == list(range(6))
    torch.testing.assert_close(x[4], batch["x"][1, 1])
    torch.testing.assert_close(enhanced[3:], blend_by_hand(batch["x"][1]))
    errors = (blend_by_hand(batch["x"][0]) - batch["y"][0]) * 255 / 128
    assert values["sup_mse"].item() == pytest.approx(errors.square().mean().item(), rel=1e-4)
    values["loss"].backward()
    assert module.network.share.grad.abs() > 0
    assert flatten_clips(flatten_clips(batch))["x"].shape == step.x.shape == (6, 3, 8, 8)


class Collect(Callback):
    """Keep every enhanced test frame by its position in the table."""

    def __init__(self) -> None:
        self.frames = {}

    def on_test_batch_end(self, trainer, module, outputs, *_):
        pairs = zip(outputs["index"].tolist(), outputs["enhanced_u8"], strict=True)
        self.frames.update(pairs)


def run(config, network):
    """Train and test; return the data and the test frames."""
    data, trainer, collect = assembly.build_data(config), assembly.build_trainer(config), Collect()
    trainer.callbacks.append(collect)
    loss = WeightedTerms({"sup_mse": SupervisedMSE()}, {"sup_mse": 1.0})
    module = VQEModule(network, None, loss, optimizer=partial(torch.optim.SGD, lr=0.01))
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data)
    return data, collect.frames


@pytest.mark.parametrize("workers", [0, 2])
def test_a_recurrent_network_trains_and_tests(tmp_path, data_folder, workers):
    options = (
        f"dataset.path='{data_folder}'",
        *TINY,
        "dataset.clip_length=3",
        "dataloader.batch_size=2",
        f"dataloader.num_workers={workers}",
        "trainer.limit_train_batches=2",
        "logger=none",
        "callbacks.render_videos.crf=40",
    )
    network = Blend()
    data, seen = run(compose_config(tmp_path, *options), network)
    share = network.share.item()
    assert share != 0.5  # it has learnt something
    table = data.tables["holdout"]
    frames = FrameDataset(table, data_folder)
    assert len(seen) == len(table)
    for _, positions in table.groupby(VIDEO_KEY, observed=True).indices.items():
        inputs = torch.stack([frames[int(i)]["x"] for i in positions]) / 255
        expected = blend_by_hand(inputs, share)
        done = torch.stack([seen[int(i)] for i in positions]) / 255
        assert (done - expected).abs().max() < 0.51 / 255 + 1e-5


def test_a_network_of_frames_trains_on_clips(tmp_path, data_folder):
    options = (f"dataset.path='{data_folder}'", *TINY, "dataset.clip_length=2", "logger=none")
    network = SampleConv()
    before = [p.clone() for p in network.parameters()]
    run(compose_config(tmp_path, *options), network)
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
