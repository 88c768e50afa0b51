"""The enhancement benchmark: its numbers against references of their own, and what it keeps."""

import json

import cv2
import enhancement
import enhancement_quality
import numpy as np
import pytest
import torch
from conftest import draw_frame
from enhancement_data import Clip
from enhancement_quality import QUALITY, measure_clip
from enhancement_speed import SPEED, run_onnx, run_torch

from vqe.export.onnx import export_onnx
from vqe.models import SampleConv
from vqe.pixels import rgb_chw_u8

KEYS = {*QUALITY, *SPEED}
ISSUE_KEYS = (
    "rmse psnr ssim flicker critic_p macs_g torch_ms_360p onnx_ms_360p torch_ms_720p onnx_ms_720p"
)


class HalfCritics(torch.nn.Module):
    """Say 0.25 of every frame."""

    def forward(self, x, enhanced, seeds):
        self.clamped = torch.full((len(x), 12), 0.25)
        return self


@pytest.fixture
def clip():
    frames = [draw_frame(1, f, 48, 64) for f in range(6)]
    dark = [(f * 0.5).astype(np.uint8) for f in frames]
    return Clip("video_0001", *(torch.stack([rgb_chw_u8(f) for f in s]) for s in (dark, frames)))


def test_numbers_agree_with_numpy_and_opencv(clip):
    found = measure_clip(clip, clip.x, HalfCritics())
    x, y = (side.permute(0, 2, 3, 1).numpy() for side in (clip.x, clip.y))
    error = x.astype(float) - y
    frame_mse = np.mean(error**2, axis=(1, 2, 3))
    assert found["rmse"] == pytest.approx(np.sqrt(frame_mse / 128**2).mean(), rel=1e-4)
    psnr = np.mean([cv2.PSNR(a, b) for a, b in zip(x, y, strict=True)])
    assert found["psnr"] == pytest.approx(psnr, rel=1e-4)
    luma = (error @ [0.299, 0.587, 0.114]).mean(axis=(1, 2))
    assert found["flicker"] == pytest.approx(luma.std(), rel=1e-3)
    assert found["critic_p"] == pytest.approx(0.25)
    assert 0 < found["ssim"] < 1
    perfect = measure_clip(clip, clip.y, HalfCritics())
    assert (perfect["rmse"], perfect["flicker"]) == (0, 0)
    assert perfect["ssim"] == pytest.approx(1)


def test_flicker_sees_what_changes_over_time_alone(clip):
    darker = clip.y // 2 + 20
    flickering = darker.clone()
    flickering[::2] += 10
    still, moving = (
        measure_clip(Clip("", clip.x, torch.full_like(clip.y, 90)), video, HalfCritics())["flicker"]
        for video in (torch.full_like(clip.y, 60), flickering)
    )
    assert still == pytest.approx(0, abs=1e-3)
    assert moving > 4


def test_network_is_measured_as_rendered(clip):
    network = SampleConv()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
        expected = (network.eval()(clip.x.float() / 255).clamp(0, 1) * 255).round()
    enhanced = enhancement_quality.enhance_by(network)(clip.x)
    assert enhanced.dtype == torch.uint8
    assert (enhanced.float() - expected).abs().max() <= 1  # batches of another size round otherwise


class Fading(torch.nn.Module):
    """A network with memory: the mean of this frame and the last."""

    def __init__(self):
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(0.5))

    def initial_state(self, batch, height, width):
        return {"last": torch.zeros(batch, 3, height, width)}

    def forward(self, frames, state=None):
        last = torch.zeros_like(frames) if state is None else state["last"]
        enhanced = frames * self.share + last * (1 - self.share)
        return enhanced if state is None else (enhanced, {"last": enhanced})


def test_networks_with_memory_are_timed_with_their_state(tmp_path):
    frame = torch.rand(1, 3, 16, 24)
    network = Fading().eval()
    path = tmp_path / "network.onnx"
    export_onnx(network, path, check_sizes=((16, 24), (20, 36)))
    for run in (run_torch(network, frame), run_onnx(path, network, frame)):
        run()
        run()


def test_quick_run_has_the_issue_s_keys_and_goes_on_from_what_is_there(tmp_path, monkeypatch):
    assert set(ISSUE_KEYS.split()) == KEYS
    report = tmp_path / "enhancement.json"
    options = ["--quick", "--json", str(report), "--folder", str(tmp_path / "work")]
    enhancement.main([*options, "--networks", "input,opencv,sample"])
    first = json.loads(report.read_text())
    assert list(first) == ["input", "opencv", "sample"]
    for network, row in first.items():
        assert {name for name in row if not name.endswith("_spread")} == KEYS
        assert all(row[name] is not None for name in QUALITY)
        assert all((row[name] is None) == (network != "sample") for name in SPEED)
    assert first["sample"]["rmse_spread"] == 0  # one seed

    def fail(*_, **__):
        raise AssertionError("it was there")

    monkeypatch.setattr("enhancement_training.train", fail)
    monkeypatch.setattr("enhancement.measure_quality", fail)
    monkeypatch.setattr("enhancement.measure_speed", fail)
    enhancement.main([*options, "--networks", "sample"])
    assert json.loads(report.read_text()) == {"sample": first["sample"]}
    with pytest.raises(AssertionError, match="it was there"):
        enhancement.main([*options, "--networks", "sample", "optimizer.lr=1e-4"])


def test_other_clean_footage_is_measured_instead(tmp_path):
    clean, reports = tmp_path / "clean", {}
    clean.mkdir()
    cv2.imwrite(str(clean / "picture.png"), draw_frame(3, 0, 48, 64))
    for name, extra in {"own": [], "other": ["--clean", str(clean)]}.items():
        report = tmp_path / f"{name}.json"
        options = ["--quick", "--json", str(report), "--folder", str(tmp_path / "work")]
        enhancement.main([*options, "--networks", "input", *extra])
        reports[name] = json.loads(report.read_text())["input"]["rmse"]
    assert reports["own"] != reports["other"]


def test_unknown_networks_are_named(capsys):
    with pytest.raises(SystemExit):
        enhancement.main(["--networks", "nano,tiny"])
    assert "got tiny" in capsys.readouterr().err
