"""What the critics made of input frames comes back: the same scores, and nothing computed twice."""

import logging
import sqlite3
from contextlib import closing
from hashlib import blake2b

import numpy as np
import pytest
import torch
from torch import nn

from vqe import device
from vqe.critics import ConstantDOVER, FrozenDOVER, FrozenVQA, feature_cache
from vqe.critics.feature_cache import CacheSpec, FeatureCache, digest_frames, digest_weights
from vqe.critics.frozen_critics import FrozenCritics
from vqe.critics.score_memory import ScoreMemory
from vqe.training import assembly

UNTRAINED = "model_dover.weights=untrained"
SEEDS = torch.tensor([11, 22])


class CheapDOVER(nn.Module):
    """Score a frame from its pixels and seed, and count the frames."""

    def __init__(self, **options):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.kind, self.options = "dover", options
        self.frames = 0

    @property
    def cache_spec(self):
        return CacheSpec(self.kind, 1, digest_weights(self), self.options)

    def forward(self, frames_u8_bchw, seeds_b):
        self.frames += len(frames_u8_bchw)
        means = frames_u8_bchw.double().mean((1, 2, 3)) / 255
        return (self.weight * (0.5 * means + (seeds_b % 97) / 200)).float()[:, None]


@pytest.fixture(scope="module")
def vqa():
    return FrozenVQA("untrained")


@pytest.fixture
def frames():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (2, 2, 3, 64, 96), generator=generator).float().div(255).unbind()


@pytest.fixture(scope="module")
def mobile():
    return FrozenDOVER("mobile", "untrained", num_clips=1)


def keys_of(frame, critic, seed=7):
    return critic.cache_spec.make_keys(digest_frames(frame[None]), [seed])


@pytest.mark.parametrize("cores", [1, 3])
def test_digests_are_those_of_one_frame_after_the_other(frames, cores, monkeypatch):
    """A cache that an earlier release filled is found again."""
    monkeypatch.setattr(feature_cache, "count_own_cores", lambda processes: cores)
    many = torch.cat([(part * 255).to(torch.uint8) for part in frames])
    parts = [b"(3, 64, 96)" + frame.numpy().tobytes() for frame in many]
    expected = [blake2b(part, digest_size=feature_cache.DIGEST_BYTES).digest() for part in parts]
    assert digest_frames(many) == expected
    assert digest_frames(many[:0]) == []


def test_a_key_changes_with_all_that_changes_the_result(monkeypatch):
    frame = torch.arange(3 * 8 * 6, dtype=torch.uint8).view(3, 8, 6)
    critic = CheapDOVER(fusion="challenge", num_clips=3)
    key = keys_of(frame, critic)
    assert keys_of(frame.clone(), CheapDOVER(num_clips=3, fusion="challenge")) == key

    pixel = frame.clone()
    pixel[2, 7, 5] += 1
    weights = CheapDOVER(fusion="challenge", num_clips=3)
    nn.init.constant_(weights.weight, 1 + 1e-6)
    kind = CheapDOVER(fusion="challenge", num_clips=3)
    kind.kind = "vqa"
    others = [
        keys_of(pixel, critic),
        keys_of(frame.view(3, 6, 8), critic),
        keys_of(frame, critic, seed=8),
        keys_of(frame, weights),
        keys_of(frame, CheapDOVER(fusion="challenge", num_clips=3).to(torch.bfloat16)),
        keys_of(frame, CheapDOVER(fusion="paper", num_clips=3)),
        keys_of(frame, CheapDOVER(fusion="challenge", num_clips=1)),
        keys_of(frame, kind),
    ]
    monkeypatch.setattr(feature_cache, "RESULTS_VERSION", feature_cache.RESULTS_VERSION + 1)
    others.append(keys_of(frame, critic))
    assert len({key[0], *(other[0] for other in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    "options",
    [
        {"fusion": "paper"},
        {"channel_order": "rgb"},
        {"num_clips": 2},
        {"view": "clip"},
    ],
)
def test_every_option_of_dover_is_in_its_key(mobile, options):
    other = FrozenDOVER("mobile", "untrained", **({"num_clips": 1} | options))
    assert other.cache_spec != mobile.cache_spec


def test_the_precision_is_in_the_key(vqa, monkeypatch):
    monkeypatch.setattr(device, "is_bf16_native", lambda where: True)
    assert FrozenVQA("untrained", precision="bf16").cache_spec != vqa.cache_spec


def test_memory_layout_of_weights_is_not_in_the_key():
    conv = nn.Conv2d(3, 4, 3)
    before = digest_weights(conv)
    assert digest_weights(conv.to(memory_format=torch.channels_last)) == before


def test_scores_are_the_same_with_a_cache_empty_half_full_and_full(tmp_path, vqa, mobile, frames):
    x, enhanced = frames
    critics = FrozenCritics(vqa, mobile, FeatureCache(tmp_path))
    with torch.no_grad():
        plain = FrozenCritics(vqa, mobile)(x, enhanced, SEEDS).before_clamps
        empty = critics(x[1:], enhanced[1:], SEEDS[1:]).before_clamps
        half = critics(x, enhanced, SEEDS).before_clamps
        full = critics(x, enhanced, SEEDS).before_clamps
    assert (critics.cache.hits, critics.cache.misses) == (2 + 4, 2 + 2)
    torch.testing.assert_close(empty, plain[1:], rtol=0, atol=1e-6)
    torch.testing.assert_close(half, plain, rtol=0, atol=1e-6)
    torch.testing.assert_close(full, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("enhanced_first", [False, True])
def test_gradient_is_the_same_with_a_cache(tmp_path, frames, enhanced_first):
    vqa = FrozenVQA("untrained", enhanced_first=enhanced_first)
    gradients = []
    for cache in (None, FeatureCache(tmp_path), FeatureCache(tmp_path)):
        enhanced = frames[1].clone().requires_grad_()
        critics = FrozenCritics(vqa, CheapDOVER(), cache)
        critics(frames[0], enhanced, SEEDS).before_clamps.sum().backward()
        gradients.append(enhanced.grad)
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(gradients[2], gradients[0])


def test_other_seeds_and_other_pixels_are_computed(tmp_path, vqa, frames):
    x, enhanced = frames
    dover = CheapDOVER()
    critics = FrozenCritics(vqa, dover, FeatureCache(tmp_path))
    computed = []
    for batch in [(x, SEEDS), (x, SEEDS), (x, SEEDS + 1), (x.flip(3), SEEDS), (x + 1e-5, SEEDS)]:
        before = dover.frames
        with torch.no_grad():
            critics(batch[0], enhanced, batch[1])
        computed.append(dover.frames - before - len(enhanced))
    assert computed == [2, 0, 2, 2, 0]  # the last is the same in 8 bits


def test_another_precision_is_computed_anew_and_the_first_one_stays(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(device, "is_bf16_native", lambda where: True)

    def score(precision):
        vqa = FrozenVQA("untrained", precision=precision)
        critics = FrozenCritics(vqa, CheapDOVER(), FeatureCache(tmp_path))
        with torch.no_grad():
            critics(*frames, SEEDS)
        return critics.cache.hits

    assert [score(precision) for precision in ("fp32", "bf16", "fp32", "bf16")] == [0, 2, 4, 4]


def test_nothing_of_a_dover_that_is_off_is_kept(tmp_path, vqa, frames):
    critics = FrozenCritics(vqa, ConstantDOVER(0.5), FeatureCache(tmp_path))
    with torch.no_grad():
        critics(*frames, SEEDS)
    with closing(sqlite3.connect(critics.cache.path)) as connection:
        assert connection.execute("SELECT DISTINCT kind FROM scores").fetchall() == [("vqa",)]


def fit_counted(config, monkeypatch, memory=None):
    """Train; return frames per call that reached DOVER beside the enhanced ones, and the VQA."""
    module, data = assembly.build_module(config), assembly.build_data(config)
    critics = module.critics
    critics.dover, encoded, epochs = CheapDOVER(), [], []
    critics.cache = memory or critics.cache
    encode, forward = FrozenVQA.encode, FrozenCritics.forward

    def count_encoded(self, x):
        encoded.append(len(x))
        return encode(self, x)

    def count_inputs(self, x, enhanced, seeds_b):
        before = self.dover.frames, sum(encoded)
        scores = forward(self, x, enhanced, seeds_b)
        new = self.dover.frames - before[0] - len(x), sum(encoded) - before[1]
        epochs.append((module.current_epoch, module.training, len(x), *new))
        return scores

    with monkeypatch.context() as patch:
        patch.setattr(FrozenVQA, "encode", count_encoded)
        patch.setattr(FrozenCritics, "forward", count_inputs)
        assembly.build_trainer(config).fit(module, datamodule=data)
    return np.array(epochs)


def test_the_second_epoch_and_the_second_run_compute_no_input(
    tiny_config, tmp_path, monkeypatch, caplog
):
    folder = tmp_path / "kept"
    common = (
        f"score_cache='{folder}'",
        "augmentation=none",
        "trainer.max_epochs=2",
        "trainer.limit_train_batches=null",
        "trainer.num_sanity_val_steps=0",
        "callbacks.before_after=null",
    )
    with caplog.at_level(logging.INFO):
        counts = fit_counted(tiny_config(*common), monkeypatch)
    first, second = counts[counts[:, 0] == 0], counts[counts[:, 0] == 1]
    assert (first[:, 2] == first[:, 3]).all()
    assert first[:, 4].sum() > 0
    assert second[:, 2].sum() == first[:, 2].sum() > 0
    assert second[:, 3:].sum() == 0
    (report,) = [r.getMessage() for r in caplog.records if "score cache" in r.getMessage()]
    new, asked = int(first[:, 3:].sum()), 4 * int(first[:, 2].sum())  # 2 critics, 2 epochs
    assert f"{asked - new} hits, {new} misses; it holds " in report
    assert report.endswith(f"{(folder / 'scores.sqlite').stat().st_size / 1e6:.1f} MB")
    again = fit_counted(tiny_config(*common, run=tmp_path / "again"), monkeypatch)
    assert again[:, 3:].sum() == 0


CLIPS = (
    *("dataset.clip_length=3", "augmentation=none", "dataloader.batch_size=1"),
    *("trainer.limit_train_batches=null", "callbacks.before_after=null"),
)


def test_all_loss_terms_share_one_score_of_an_input(tiny_config, monkeypatch):
    short = ("dataset.clip_stride=3", "trainer.limit_train_batches=1")
    config = tiny_config(
        *CLIPS, *short, "loss=recipe", "loss.weights.vqa=0.1", "loss.ramps.vqa=null"
    )
    counts = fit_counted(config, monkeypatch)
    (step,) = counts[counts[:, 1] == 1]
    assert step[2] == step[3] == 3


def test_clips_that_overlap_have_one_score_for_a_frame(tiny_config, monkeypatch):
    config = tiny_config(*CLIPS, "trainer.max_epochs=2")
    data = assembly.build_data(config)
    data.setup("fit")
    frames = sum(len(data.tables[split]) for split in ("train", "valid"))
    counts = fit_counted(config, monkeypatch, ScoreMemory())
    assert counts[:, 2].sum() > 2 * frames  # two epochs, and clips that share frames
    assert 0 < counts[counts[:, 0] == 0, 3].sum() <= frames
    assert counts[counts[:, 0] == 1, 3].sum() == 0
    plain = fit_counted(config, monkeypatch)
    assert plain[:, 3].sum() == counts[:, 2].sum()


def test_what_is_scored_again_is_remembered_by_default(tiny_config):
    options = ("augmentation=none", "model_dover=mobile", UNTRAINED)
    assert isinstance(assembly.build_critics(tiny_config(*options)).cache, ScoreMemory)


def test_frames_that_are_drawn_anew_are_not_remembered(tiny_config):
    assert assembly.build_critics(tiny_config("augmentation=none")).cache is None  # DOVER is off
    for always_new in (("augmentation=default",), ("augmentation=none", "crop=[32,32]")):
        options = ("model_dover=mobile", UNTRAINED, *always_new)
        assert assembly.build_critics(tiny_config(*options)).cache is None


def test_the_memory_forgets_the_oldest(vqa, frames):
    critics = FrozenCritics(vqa, CheapDOVER(), ScoreMemory(limit=1))
    plain = FrozenCritics(vqa, CheapDOVER())
    both = torch.cat([frames[0], frames[0].flip(0)]), torch.cat([SEEDS, SEEDS.flip(0)])
    with torch.no_grad():
        for _ in range(2):
            found = critics(both[0], both[0], both[1]).before_clamps
            torch.testing.assert_close(found, plain(both[0], both[0], both[1]).before_clamps)
    assert critics.dover.frames == 2 * 4 + 2 + 1  # a frame that is there twice is scored once


def test_off_by_default(tiny_config, tmp_path, monkeypatch):
    config = tiny_config("callbacks.before_after=null")
    assert config.score_cache is None
    fit_counted(config, monkeypatch)
    assert not list(tmp_path.rglob("*.sqlite*"))


def test_augmented_training_is_warned_of(tiny_config, tmp_path, caplog):
    assembly.build_critics(tiny_config(f"score_cache='{tmp_path}'"))
    assert "augmentation=none" in caplog.text
