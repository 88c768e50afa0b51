"""Training on an NVIDIA GPU: a step with both critics, pinned batches, augmentation there."""

import json

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torchvision.transforms import v2

from vqe.data import LoaderOptions, PairedTransform, VQEDataModule
from vqe.data.transforms import transform_batch
from vqe.losses import SupervisedMSE, WeightedTerms
from vqe.models import SampleConv
from vqe.training.module import VQEModule
from vqe.training.train import train

BILINEAR = v2.InterpolationMode.BILINEAR
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_step_with_both_critics_trains_and_its_test_says_how(tmp_path, data_folder, tiny_config):
    config = tiny_config(
        "trainer=gpu",
        "trainer.devices=1",
        "trainer.max_epochs=1",
        "model_dover=dover",
        "model_dover.weights=untrained",
        "model_dover.num_clips=1",
        "callbacks.render_videos=null",
    )
    numbers = train(config)
    assert numbers
    about = json.loads((tmp_path / "run/critics.json").read_text())
    assert about["dover"]["precision"] == "bf16"
    assert about["vqa"]["precision"] == "fp16"
    assert about["vqa"]["device"] == torch.cuda.get_device_name()
    assert sorted(p.suffix for p in (tmp_path / "run/results").iterdir()) == [".csv", ".csv"]


def test_batches_come_pinned(data_folder):
    options = LoaderOptions(batch_size=2, num_workers=0, pin_memory=True)
    data = VQEDataModule(str(data_folder), loader=options)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["x"].is_pinned() and batch["x"].dtype == torch.uint8
    on_gpu = batch["x"].to("cuda", non_blocking=True)
    torch.cuda.synchronize()
    assert torch.equal(on_gpu.cpu(), batch["x"])


class Keep(Callback):
    """Keep what each training step is given."""

    def __init__(self):
        self.batches = []

    def on_train_batch_start(self, trainer, module, batch, *_):
        copies = {name: v.cpu() for name, v in batch.items()}
        self.batches.append(copies | {"device": batch["x"].device.type})


def train_and_keep(data_folder, accelerator, device, workers, **transforms):
    """Train an epoch on frames with and without targets; return the batches and their loader."""
    data = VQEDataModule(
        str(data_folder),
        size=None if transforms else (64, 64),
        loader=LoaderOptions(batch_size=3, num_workers=workers),
        augmentation=PairedTransform(**transforms, device=device) if transforms else None,
    )
    terms = WeightedTerms({"sup_mse": SupervisedMSE()}, {"sup_mse": 1.0})
    keep = Keep()
    trainer = Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        callbacks=[keep],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    module = VQEModule(SampleConv(), None, terms, optimizer=torch.optim.SGD)
    trainer.fit(module, datamodule=data)
    return keep.batches, trainer.train_dataloader


@pytest.mark.parametrize("workers", [0, 2])
def test_pinned_batches_arrive_as_they_were_sent(data_folder, workers):
    expected, loader = train_and_keep(data_folder, "cpu", "cpu", workers)
    assert not loader.pin_memory
    arrived, loader = train_and_keep(data_folder, "gpu", "cpu", workers)
    assert loader.pin_memory
    assert len(arrived) == len(expected) > 1
    for batch, other in zip(arrived, expected, strict=True):
        assert batch.pop("device") == "cuda" and other.pop("device") == "cpu"
        assert batch["x"].dtype == torch.uint8
        assert batch.keys() == other.keys()
        assert all(torch.equal(batch[name], other[name]) for name in other)


def test_augmentation_on_the_gpu_is_the_cpu_s(data_folder):
    """Up to rounding: on frames of one size nothing is resized before."""
    transforms = {
        "geometric": [v2.RandomHorizontalFlip(), v2.RandomAffine(8, interpolation=BILINEAR)],
        "photometric": [v2.ColorJitter(brightness=0.3)],
    }
    expected, _ = train_and_keep(data_folder, "cpu", "auto", 0, **transforms)
    arrived, loader = train_and_keep(data_folder, "gpu", "auto", 0, **transforms)
    assert loader.dataset.sends_draws
    assert len(arrived) == len(expected) > 1
    for batch, other in zip(arrived, expected, strict=True):
        assert torch.equal(batch["index"], other["index"])
        for side in "xy":
            error = (batch[side].int() - other[side].int()).abs()
            assert error.max() <= 2
            assert (error > 0).float().mean() < 0.02


@pytest.mark.parametrize("precision", ["highest", "high"])  # TF32 would make grids coarse
def test_a_sample_on_the_gpu_is_the_same_in_any_batch(precision):
    kept = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    affine = v2.RandomAffine(8, interpolation=BILINEAR)
    transform = PairedTransform([affine], noise=[v2.GaussianNoise(sigma=0.1)], device="auto")
    x = torch.randint(256, (3, 3, 60, 80), dtype=torch.uint8, generator=torch.manual_seed(0))
    draws = ((5, True), (6, False), (5, True))
    state = torch.cuda.get_rng_state()
    whole = transform_batch({"x": x.cuda(), "y": x.cuda(), "draws": draws}, transform)
    for i, draw in enumerate(draws):
        one = x[i : i + 1].cuda()
        alone = transform_batch({"x": one, "y": one, "draws": (draw,)}, transform)
        assert torch.equal(alone["x"][0], whole["x"][i])
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert torch.get_float32_matmul_precision() == precision
    on_cpu = transform_batch({"x": x, "y": x, "draws": draws}, transform)
    assert (on_cpu["y"].int() - whole["y"].cpu().int()).abs().max() <= 1
    assert not torch.equal(whole["x"][0], whole["x"][2])  # one draw, two frames
    torch.set_float32_matmul_precision(kept)
