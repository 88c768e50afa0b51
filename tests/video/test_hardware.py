"""A GPU as decoder: the CPU's pixels, and a clear word where there is none."""

import logging

import av
import numpy as np
import pytest
import torch
from clips import make_clip

from vqe.video import VideoError, VideoFrames, hardware, iter_frames
from vqe.video.reader import build_graph
from vqe.video.source import decode_video, open_video

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
with_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
NAMES = ("cuda", "auto")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "a.mp4", frames=5, rate=30)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:0", ""])
def test_an_unknown_decoder_is_an_error(clip, name):
    with pytest.raises(ValueError, match="expected decoder to be one of cpu, cuda, auto, got"):
        next(iter_frames(clip, decoder=name))


@without_gpu
def test_no_gpu_is_an_error_that_says_what_to_do(clip):
    words = r"a\.mp4: expected a GPU that decodes, got.*Use decoder=cpu, or auto"
    with pytest.raises(VideoError, match=words):
        next(iter_frames(clip, decoder="cuda"))
    with pytest.raises(VideoError, match=words):
        VideoFrames(clip, 30, decoder="cuda").read(0)


@without_gpu
def test_auto_falls_back_and_says_so(clip, caplog):
    hardware._tell_once.cache_clear()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            frames = list(iter_frames(clip, decoder="auto"))
    assert np.array_equal(frames, list(iter_frames(clip)))
    random = VideoFrames(clip, 30, decoder="auto:0")
    assert np.array_equal(random.read(3), frames[3])
    assert sum("decoded on the CPU" in r.getMessage() for r in caplog.records) == 1


@pytest.mark.parametrize("decoder", NAMES)
def test_a_file_that_is_none_is_not_the_gpu_s_fault(tmp_path, decoder):
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(VideoError) as caught:
        next(iter_frames(tmp_path / "a.mp4", decoder=decoder))
    assert "GPU that decodes" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"width": 66, "height": 50}, {"pix_fmt": "yuvj420p"}])
def test_what_a_gpu_hands_out_becomes_the_cpu_s_pixels(tmp_path, options):
    path = make_clip(tmp_path / "a.mp4", frames=3, rate=30, **options)
    expected = list(iter_frames(path, None))
    with open_video(path) as (container, stream):
        graph, found = None, []
        for frame in map(as_nv12, decode_video(container, stream)):
            graph = graph or build_graph(frame, stream, None, 1)
            graph.push(frame)
            found.append(graph.pull().to_ndarray())
    assert np.array_equal(found, expected)


def as_nv12(frame):
    """Return a frame as a GPU hands it out: the same samples, the two colours side by side."""
    y, u, v = (
        np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    )
    packed = av.VideoFrame(frame.width, frame.height, "nv12")
    sides = y, np.stack([u, v], axis=-1).reshape(len(u), -1)
    for plane, samples in zip(packed.planes, sides, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : samples.shape[1]] = samples
        plane.update(rows.tobytes())
    packed.pts, packed.time_base = frame.pts, frame.time_base
    packed.colorspace, packed.color_range = frame.colorspace, frame.color_range
    return packed


@pytest.mark.gpu
@with_gpu
@pytest.mark.parametrize(
    "options", [{}, {"rotation": 90}, {"codec": "libx265"}, {"pix_fmt": "yuvj420p"}], ids=str
)
@pytest.mark.parametrize("decoder", NAMES)
def test_a_gpu_s_pixels_are_a_cpu_s(tmp_path, decoder, options):
    path = make_clip(tmp_path / "a.mp4", width=320, height=240, frames=20, rate=30, **options)
    with open_video(path, decoder=decoder) as (container, stream):
        assert stream.codec_context.is_hwaccel
        assert next(decode_video(container, stream)).format.name == "nv12"
    expected = np.stack(list(iter_frames(path))).astype(int)
    found = np.stack(list(iter_frames(path, decoder=decoder))).astype(int)
    differences = np.abs(found - expected)
    print(f"{options}: at most {differences.max()} levels, {differences.mean():.2g} on average")
    assert differences.max() <= 2 and differences.mean() <= 0.05
    random = VideoFrames(path, 30, decoder=decoder)
    for number in (11, 3, 4, 19):
        assert np.array_equal(random.read(number), found[number])


@pytest.mark.gpu
@with_gpu
def test_what_a_gpu_does_not_decode_is_told_or_left_to_the_cpu(tmp_path):
    path = make_clip(tmp_path / "a.mkv", width=320, height=240, frames=5, codec="ffv1")
    with pytest.raises(VideoError, match=r"expected a codec that GPUs decode, got ffv1"):
        next(iter_frames(path, decoder="cuda"))
    found = list(iter_frames(path, decoder="auto"))
    assert np.array_equal(found, list(iter_frames(path)))
