"""Training on an NVIDIA GPU: a step with both critics, and batches through pinned memory."""

import json

import pytest
import torch

from vqe.data import LoaderOptions, VQEDataModule
from vqe.training.train import train

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
