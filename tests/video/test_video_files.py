"""Several videos written in turn: each as if it were alone; errors are told, nothing half stays."""

import pytest
import torch

from vqe.pixels import bgr_hwc_u8
from vqe.video import VideoError, VideoWriter, iter_frames
from vqe.video import sequence as module
from vqe.video.sequence import VideoFiles


def draw(seed, frames=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (frames, 3, 48, 64), generator=generator).to(torch.uint8)


@pytest.fixture
def files():
    files = VideoFiles(crf=18)
    yield files
    files.abort()


def test_files_in_turn_are_those_of_one_after_the_other(tmp_path, files):
    videos = {tmp_path / f"{i}.mp4": draw(i) for i in range(3)}
    for first in range(0, 6, 2):
        for path, frames in videos.items():
            files.write(path, frames[first : first + 2], fps=30)
    for path in videos:
        files.end(path)
    files.close()
    assert files.written == 3
    for path, frames in videos.items():
        with VideoWriter(tmp_path / "alone.mp4", crf=18) as writer:
            for frame in frames:
                writer.write(bgr_hwc_u8(frame))
        assert path.read_bytes() == (tmp_path / "alone.mp4").read_bytes()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_frames_of_a_gpu_become_the_same_file(tmp_path, files):
    frames = draw(0, 48)
    for first in range(0, 48, 8):
        part = frames[first : first + 8]
        files.write(tmp_path / "cpu.mp4", part, fps=30)
        on_gpu = part.cuda()
        files.write(tmp_path / "gpu.mp4", on_gpu, fps=30)
        on_gpu.zero_()  # the memory is used again
    files.close()
    assert (tmp_path / "gpu.mp4").read_bytes() == (tmp_path / "cpu.mp4").read_bytes()


def test_a_file_is_complete_once_it_is_not_ending(tmp_path, files):
    path = tmp_path / "a.mp4"
    files.write(path, draw(0), fps=30)
    assert not files.is_ending(path)
    files.end(path)
    while files.is_ending(path):
        files.collect()
    assert sum(1 for _ in iter_frames(path, None)) == 6
    files.end(path)  # once more says nothing
    assert files.written == 1


def test_few_encoders_are_at_work_however_many_videos_end(tmp_path, files):
    for i in range(5):
        files.write(tmp_path / f"{i}.mp4", draw(i, 1), fps=30)
        files.end(tmp_path / f"{i}.mp4")
        assert files.written >= i - module.ENDING
    files.close()
    assert files.written == 5


def test_what_an_encoder_fails_at_is_raised_by_a_later_call(tmp_path, files):
    path = tmp_path / "gone" / "a.mp4"
    with pytest.raises(VideoError, match=r"a\.mp4: cannot be written: No such file"):
        for _ in range(1000):
            files.write(path, draw(0, 1), fps=30)
    files.abort()
    assert list(tmp_path.iterdir()) == []


def test_an_abort_leaves_what_is_whole(tmp_path, files):
    for i in range(3):
        files.write(tmp_path / f"{i}.mp4", draw(i, 12), fps=30)
    files.end(tmp_path / "0.mp4")
    files.abort()
    assert [p.name for p in tmp_path.iterdir()] == ["0.mp4"]
    assert sum(1 for _ in iter_frames(tmp_path / "0.mp4", None)) == 12
