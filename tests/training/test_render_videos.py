"""Rendering streams: what is held does not grow with the video, and nothing half-written stays."""

import tracemalloc
from types import SimpleNamespace

import pandas as pd
import torch

from vqe.data import VQEDataModule
from vqe.schema import FRAME_COLUMNS
from vqe.training.callbacks import RenderVideos
from vqe.video import iter_frames


def make_trainer(frames):
    rows = [
        (f"x/{i:06d}.png", "", 96, 128, "test_unsupervised", "video_0001") for i in range(frames)
    ]
    data = VQEDataModule("unread")
    data.tables["holdout"] = pd.DataFrame(rows, columns=FRAME_COLUMNS)
    return SimpleNamespace(datamodule=data)


def render(folder, frames, stop=None):
    trainer, callback = make_trainer(frames), RenderVideos(str(folder))
    callback.on_test_start(trainer, None)
    generator = torch.Generator().manual_seed(0)
    tracemalloc.start()
    for i in range(stop or frames):
        picture = torch.randint(256, (1, 3, 96, 128), generator=generator).to(torch.uint8)
        outputs = {"rmse": None, "index": torch.tensor([i]), "enhanced_u8": picture}
        callback.on_test_batch_end(trainer, None, outputs, None, i)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if stop:
        callback.on_exception(trainer, None, KeyboardInterrupt())
    else:
        callback.on_test_epoch_end(trainer, None)
    return peak


def test_memory_is_flat_in_the_length_of_the_video(tmp_path):
    short, long = render(tmp_path / "short", 20), render(tmp_path / "long", 200)
    assert long < short + 10 * 96 * 128 * 3  # ten frames; it would be 180 if they were kept
    assert sum(1 for _ in iter_frames(tmp_path / "long/video_0001.mp4", fps=None)) == 200


def test_interrupted_rendering_leaves_nothing(tmp_path):
    render(tmp_path, 20, stop=5)
    assert list(tmp_path.iterdir()) == []
