"""Split-screen videos, read back: the left half is the input, the right half the result."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import draw_frame

from vqe.data import VQEDataModule
from vqe.data.index import NO_VIDEO
from vqe.pixels import rgb_chw_u8
from vqe.schema import FRAME_COLUMNS
from vqe.training.callbacks import SplitScreen
from vqe.training.callbacks.split_screen import join_halves
from vqe.video import iter_frames, probe_video

FRAMES, SIZE = 5, (48, 64)
VIDEOS = (("test_supervised_synthetic", "video_0001"), ("test_unsupervised", "video_0001"))


def clean(video, frame):
    return draw_frame(video, frame, *SIZE)


def dark(video, frame):
    return clean(video, frame) // 3


def run(callback, videos=VIDEOS, stop=None):
    """Let the callback see the videos' frames, two a batch; `stop` raises after so many batches."""
    rows = [
        (f"x/{i}.png", "y" if "unsupervised" not in subset else "", *SIZE, subset, video_id)
        for subset, video_id in videos
        for i in range(FRAMES)
    ]
    data = VQEDataModule("unread")
    table = pd.DataFrame(rows, columns=FRAME_COLUMNS)
    data.tables["holdout"] = table.assign(frame=NO_VIDEO, fps=NO_VIDEO)
    trainer = SimpleNamespace(datamodule=data)
    callback.on_test_start(trainer, None)
    batches = 0
    for video in range(len(videos)):
        for first in range(0, FRAMES, 2):
            numbers = range(first, min(first + 2, FRAMES))
            x = torch.stack([rgb_chw_u8(dark(video, n)) for n in numbers])
            enhanced = torch.stack([rgb_chw_u8(clean(video, n)) for n in numbers])
            index = torch.tensor([video * FRAMES + n for n in numbers])
            outputs = {"rmse": None, "index": index, "enhanced_u8": enhanced}
            callback.on_test_batch_end(trainer, None, outputs, {"x": x}, batches)
            batches += 1
            if batches == stop:
                callback.on_exception(trainer, None, KeyboardInterrupt())
                return
    callback.on_test_epoch_end(trainer, None)


def test_halves_are_input_and_result_with_a_line_between(tmp_path):
    run(SplitScreen(str(tmp_path), line=4))
    for video, (subset, video_id) in enumerate(VIDEOS):
        path = tmp_path / f"{subset}_{video_id}.mp4"
        info = probe_video(path)
        assert (info.codec, info.pix_fmt, info.fps) == ("h264", "yuv420p", 30)
        frames = list(iter_frames(path, fps=None))
        assert len(frames) == FRAMES
        for n, frame in enumerate(frames):
            assert distance(frame[:, :28], dark(video, n)[:, :28]) < 6
            assert distance(frame[:, 36:], clean(video, n)[:, 36:]) < 6
            assert distance(frame[:, :28], clean(video, n)[:, :28]) > 30
            assert frame[:, 31:33].mean() > 220


def distance(a, b):
    """Mean absolute difference in 8-bit levels, of local means: 4:2:0 blurs single pixels."""
    blocks = [
        p.astype(float).reshape(12, 4, p.shape[1] // 4, 4, 3).mean(axis=(1, 3)) for p in (a, b)
    ]
    return np.abs(blocks[0] - blocks[1]).mean()


@pytest.mark.parametrize("videos", [0, 1])
def test_only_the_first_videos_are_written(tmp_path, videos):
    run(SplitScreen(str(tmp_path / "new"), videos=videos))
    expected = [f"{'_'.join(video)}.mp4" for video in VIDEOS[:videos]]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == expected


def test_interrupted_writing_leaves_nothing_half_done(tmp_path):
    run(SplitScreen(str(tmp_path)), stop=4)  # within the second video
    assert [p.name for p in tmp_path.iterdir()] == ["_".join(VIDEOS[0]) + ".mp4"]


def test_frames_given_are_left_alone():
    frames = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    assert join_halves(frames, frames, 2)[..., 3:5].eq(255).all()
    assert frames.eq(0).all()
