"""Frames on their way to a GPU: who loads them, how they travel, what is drawn once there."""

import logging
from types import SimpleNamespace

import joblib
import pytest
import torch
from conftest import compose_config
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pytorch_lightning import Trainer
from torchvision.transforms import v2

from vqe.data import LoaderOptions, PairedTransform, RandomFaults, VQEDataModule, datamodule
from vqe.data.loader import MOST_WORKERS
from vqe.data.slots import no_frames
from vqe.data.transforms import fill_in_targets, transform_batch
from vqe.losses import SupervisedMSE, WeightedTerms
from vqe.models import SampleConv
from vqe.training.module import VQEModule

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
SLURM = {"SLURM_NTASKS": "4", "SLURM_CPUS_PER_TASK": "6"}
ONE_TASK = {"SLURM_NTASKS": "1", "SLURM_CPUS_PER_TASK": "16"}


@pytest.mark.parametrize(
    ("cores", "processes", "variables", "expected"),
    [
        (1, 1, {}, 0),
        (2, 1, {}, 1),
        (6, 1, {}, 5),
        (64, 1, {}, MOST_WORKERS),
        (16, 4, {}, 3),
        (2, 4, {}, 0),
        (16, 1, {"LOCAL_WORLD_SIZE": "4"}, 3),  # torchrun's, which know nothing of each other
        (6, 4, SLURM, 5),  # each task's own cores
        (64, 4, SLURM, 5),
        (16, 4, ONE_TASK, 3),  # Lightning's processes inside of one
    ],
)
def test_workers_are_chosen_from_the_cores(
    cores, processes, variables, expected, monkeypatch, caplog
):
    for name in ("LOCAL_WORLD_SIZE", *SLURM):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    with caplog.at_level(logging.INFO):
        assert LoaderOptions(num_workers=None).choose_workers(processes) == expected
    assert f"dataloader.num_workers: {expected}, chosen from" in caplog.text
    assert LoaderOptions(num_workers=3).choose_workers(processes) == 3


def test_memory_is_pinned_for_gpus_unless_told():
    assert [LoaderOptions().is_pinned_for(device) for device in (CPU, GPU)] == [False, True]
    for told in (True, False):
        assert LoaderOptions(pin_memory=told).is_pinned_for(CPU) is told
        assert LoaderOptions(pin_memory=told).is_pinned_for(GPU) is told


def test_the_configs_leave_both_to_the_machine(tmp_path, data_folder, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    config = compose_config(tmp_path, f"dataset.path='{data_folder}'", "dataset.size=[64,64]")
    data = instantiate(config.dataset, _convert_="all", _partial_=True)(
        loader=instantiate(config.dataloader)
    )
    data.setup("fit")
    loader = data.train_dataloader()
    assert loader.num_workers == 2
    assert not loader.pin_memory


AUGMENTED = {
    "geometric": [v2.RandomHorizontalFlip(), v2.RandomAffine(8, (0.1, 0.1), (0.8, 1.2))],
    "photometric": [v2.ColorJitter(0.4, 0.4, 0.4, 0.1)],
    "noise": [v2.GaussianNoise(sigma=0.1)],
}


def build(folder, *, device="cpu", workers=0, root_device=CPU, **options) -> VQEDataModule:
    transform = PairedTransform(**AUGMENTED, size=options.get("size"), device=device)
    loader = LoaderOptions(batch_size=3, num_workers=workers, pin_memory=False)
    data = VQEDataModule(str(folder), augmentation=transform, loader=loader, **options)
    data.trainer = SimpleNamespace(
        strategy=SimpleNamespace(root_device=root_device),
        num_devices=1,
        global_rank=0,
        world_size=1,
    )
    data.setup("fit")
    return data


def assert_same(batches, expected):
    assert len(batches) == len(expected) > 1
    for batch, other in zip(batches, expected, strict=True):
        assert batch.keys() == other.keys()
        assert all(torch.equal(batch[name], other[name]) for name in other)


def test_augmented_batches_do_not_depend_on_the_workers(data_folder, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    expected = list(build(data_folder).train_dataloader())
    for workers in (1, None):
        loader = build(data_folder, workers=workers).train_dataloader()
        assert loader.num_workers == workers or loader.num_workers == 3
        assert_same(list(loader), expected)


@pytest.mark.parametrize("options", [{}, {"clip_length": 2}], ids=["frames", "clips"])
def test_augmenting_after_the_transfer_draws_the_same(data_folder, options):
    """On a CPU with frames of one size the pixels are the same; some frames have no target."""
    expected = list(build(data_folder, **options).train_dataloader())
    data = build(data_folder, device="auto", root_device=GPU, **options)
    plain = VQEDataModule(str(data_folder), loader=data.loader, **options)
    plain.setup("fit")
    done = []
    for batch, decoded in zip(data.train_dataloader(), plain.train_dataloader(), strict=True):
        assert all(torch.equal(batch[side], decoded[side]) for side in "xy")
        assert batch["x"].dtype == batch["y"].dtype == torch.uint8  # four times less to carry
        state = torch.get_rng_state()
        done.append(data.on_after_batch_transfer(batch, 0))
        assert torch.equal(torch.get_rng_state(), state)
    assert_same(done, expected)
    assert len({bool(flag) for batch in done for flag in batch["has_target"].flatten()}) == 2


def test_the_loader_resizes_what_is_augmented_later(data_folder, caplog):
    data = build(data_folder, device="auto", root_device=GPU, size=(40, 56))
    with caplog.at_level(logging.INFO):
        batch = next(iter(data.train_dataloader()))
    assert "train: augmented on cuda:0" in caplog.text
    assert batch["x"].shape == batch["y"].shape == (3, 3, 40, 56)
    frames = build(data_folder).train_dataloader().dataset
    frames.transform = PairedTransform(size=(40, 56))
    resized = [frames[int(index)]["x"] for index in batch["index"]]
    assert torch.equal(batch["x"], torch.stack(resized))
    assert data.on_after_batch_transfer(batch, 0)["x"].shape == batch["x"].shape


def test_validation_and_runs_without_a_gpu_send_no_draws(data_folder):
    data = build(data_folder, device="auto", root_device=GPU)
    batch = next(iter(data.val_dataloader()))
    assert data.on_after_batch_transfer(batch, 0) is batch
    assert "draws" not in batch
    loaders = (build(data_folder, device=d).train_dataloader() for d in ("auto", "cpu"))
    assert_same(*map(list, loaders))


def test_a_sample_is_the_same_in_any_batch():
    x = torch.randint(256, (4, 3, 40, 56), dtype=torch.uint8)
    draws = ((5, True), (6, True), (7, False), (5, True))
    batch = {"x": x, "y": x, "draws": draws}
    whole = transform_batch(batch, PairedTransform(AUGMENTED["geometric"]))
    assert torch.equal(whole["x"][:2], whole["y"][:2])
    assert not whole["y"][2].any() and whole["x"][2].any()
    for i, draw in enumerate(draws):
        own = {"x": x[i : i + 1], "y": x[i : i + 1], "draws": (draw,)}
        alone = transform_batch(own, PairedTransform(AUGMENTED["geometric"]))
        assert torch.equal(alone["x"][0], whole["x"][i])
    assert batch["draws"] is draws  # what is handed in stays as it is


def test_a_training_that_augments_after_the_transfer_learns_the_same(data_folder, monkeypatch):
    """Lightning calls the hook: weights are equal, bit for bit, after three steps."""
    terms = WeightedTerms({"sup_mse": SupervisedMSE()}, {"sup_mse": 1.0})
    weights = []
    for device in ("cpu", "auto"):
        monkeypatch.setattr(datamodule, "is_gpu", lambda _, on=device == "auto": on)
        torch.manual_seed(0)
        module = VQEModule(SampleConv(), None, terms, optimizer=torch.optim.SGD)
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_train_batches=3,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        before = [p.detach().clone() for p in module.network.parameters()]
        trainer.fit(module, datamodule=build(data_folder, device=device))
        assert trainer.global_step == 3
        after = [p.detach() for p in module.network.parameters()]
        assert not all(map(torch.equal, before, after))
        weights.append(after)
    assert all(map(torch.equal, *weights))


@pytest.mark.parametrize(
    ("transform", "name"),
    [
        (RandomFaults("mixed"), "RandomFaults"),
        (v2.JPEG((10, 90)), "JPEG"),
        (v2.RandomApply([v2.Compose([v2.JPEG((10, 90))])]), "JPEG"),
    ],
)
def test_what_works_on_the_cpu_is_refused(transform, name):
    with pytest.raises(ValueError, match=rf"got {name}, .*Set augmentation\.device=cpu"):
        PairedTransform(photometric=[transform], device="auto")
    PairedTransform(photometric=[transform])


def test_the_config_names_the_device(tmp_path):
    options = ("dataset.path=x", "augmentation=faults", "augmentation.device=auto")
    with pytest.raises(InstantiationException, match="RandomFaults"):
        instantiate(compose_config(tmp_path, *options).augmentation)
    with pytest.raises(ValueError, match=r"expected augmentation\.device to be one of .*'gpu'"):
        PairedTransform(device="gpu")


@pytest.mark.filterwarnings("ignore:.*pin_memory.*")  # nowhere to pin for
def test_without_targets_nothing_is_sent_that_cannot_be_pinned(data_folder):
    """Copying to memory of which all elements are one is an error of torch's."""
    loader = LoaderOptions(batch_size=3, pin_memory=True)
    data = VQEDataModule(str(data_folder), loader=loader, train_query='img_target == ""')
    data.setup("fit")
    batches = data.train_dataloader()
    assert batches.slots is None
    sent = batches.dataset.__getitems__([0, 1, 2])
    assert all(v.is_contiguous() for v in sent.values() if isinstance(v, torch.Tensor))
    batch = next(iter(batches))
    assert batch["y"].shape == batch["x"].shape
    assert not batch["y"].any()


def test_a_target_that_is_not_there_is_where_the_frames_are():
    frame = torch.empty(3, 4, 6, dtype=torch.uint8, device="meta")  # any device but the CPU
    assert no_frames(frame).device == frame.device
    _, (there, missing) = fill_in_targets([(frame, frame), (frame, None)])
    assert (missing.device, missing.dtype, missing.shape) == (
        there.device,
        there.dtype,
        there.shape,
    )
