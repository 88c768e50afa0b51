"""Rendering streams: what is held does not grow with the video, and nothing half-written stays."""

import json
import tracemalloc
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from vqe.data import VQEDataModule
from vqe.data.index import NO_VIDEO
from vqe.schema import FRAME_COLUMNS
from vqe.training.callbacks import RenderVideos, SplitScreen
from vqe.video import iter_frames, probe_video


def make_trainer(frames):
    rows = [
        (f"x/{i:06d}.png", "", 96, 128, "test_unsupervised", "video_0001") for i in range(frames)
    ]
    data = VQEDataModule("unread")
    table = pd.DataFrame(rows, columns=FRAME_COLUMNS)
    data.tables["holdout"] = table.assign(frame=NO_VIDEO, fps=NO_VIDEO)
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


def show_one_frame(callback, root, fps):
    """Let a callback see a video of one frame, a row of this rate."""
    row = ("video_0001/x/frame_0001.png", "", 96, 128, "test_unsupervised", "video_0001")
    data = VQEDataModule(str(root))
    table = pd.DataFrame([row], columns=FRAME_COLUMNS)
    data.tables["holdout"] = table.assign(frame=0 if fps != NO_VIDEO else NO_VIDEO, fps=fps)
    trainer = SimpleNamespace(datamodule=data)
    picture = torch.zeros(1, 3, 96, 128, dtype=torch.uint8)
    outputs = {"rmse": None, "index": torch.tensor([0]), "enhanced_u8": picture}
    callback.on_test_start(trainer, None)
    callback.on_test_batch_end(trainer, None, outputs, {"x": picture}, 0)
    callback.on_test_epoch_end(trainer, None)
    [path] = callback.folder.glob("*.mp4")
    return probe_video(path).fps


@pytest.mark.parametrize("callback", [RenderVideos, SplitScreen])
@pytest.mark.parametrize(
    ("row_fps", "extracted_fps", "expected"),
    [(15, None, 15), (NO_VIDEO, 15, 15), (NO_VIDEO, 30, 30), (NO_VIDEO, None, 30)],
)
def test_videos_play_at_the_rate_of_their_frames(
    tmp_path, callback, row_fps, extracted_fps, expected
):
    if extracted_fps is not None:
        (tmp_path / "video_0001").mkdir()
        record = {"video_fps": extracted_fps, "frames": 1}
        (tmp_path / "video_0001/extraction.json").write_text(json.dumps(record))
    assert show_one_frame(callback(str(tmp_path / "out")), tmp_path, row_fps) == expected


def test_a_rate_that_is_asked_for_is_taken(tmp_path):
    assert show_one_frame(RenderVideos(str(tmp_path / "out"), fps=25), tmp_path, 15) == 25


@pytest.mark.parametrize("record", ["[", '{"frames": 1}', '{"frames": 1, "video_fps": "x"}'])
def test_a_record_without_a_rate_is_an_error(tmp_path, record):
    (tmp_path / "video_0001").mkdir()
    (tmp_path / "video_0001/extraction.json").write_text(record)
    with pytest.raises(ValueError, match=r"extraction\.json"):
        show_one_frame(RenderVideos(str(tmp_path / "out")), tmp_path, NO_VIDEO)
