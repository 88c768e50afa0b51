"""Held-out clips + an enhancer -> RMSE, PSNR, SSIM, flicker and the critic's p."""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from enhancement_data import Clip, list_clips, read_clip
from torch import Tensor, nn
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from vqe.critics.frozen_critics import FrozenCritics
from vqe.losses.errors import rmse
from vqe.models.enhancement import VideoEnhancer
from vqe.pixels import LUMA_BT601, bgr_hwc_u8, dequantise, quantise, rgb_chw_u8
from vqe.schema import SCORES, P

sys.path.append(str(Path(__file__).resolve().parents[1] / "baseline"))
from enhance_opencv import OpenCVEnhancer

QUALITY = ("rmse", "psnr", "ssim", "flicker", "critic_p")
BATCH = 4  # frames at a time
Enhance = Callable[[Tensor], Tensor]  # a video, uint8 RGB [T,3,H,W] -> the same


def keep_input(video: Tensor) -> Tensor:
    """Change nothing."""
    return video


def enhance_opencv(video: Tensor) -> Tensor:
    """Apply the baseline, anew for each video."""
    enhancer = OpenCVEnhancer()
    return torch.stack([rgb_chw_u8(enhancer(bgr_hwc_u8(frame))) for frame in video])


def enhance_by(network: nn.Module) -> Enhance:
    """Make an enhancer of a network, frame after frame as a test does it, rounded to 8 bits."""
    network = network.eval()

    @torch.inference_mode()
    def enhance(video: Tensor) -> Tensor:
        videos = VideoEnhancer()
        videos.begin()
        parts = [videos.enhance(network, dequantise(part), 0) for part in video.split(BATCH)]
        return quantise(torch.cat(parts))

    return enhance


def measure_quality(data: Path, enhance: Enhance, critics: FrozenCritics) -> dict[str, float]:
    """Average the numbers in `QUALITY` over the held-out clips."""
    rows = []
    for folder in list_clips(data):
        clip = read_clip(folder)
        rows.append(measure_clip(clip, enhance(clip.x), critics))
    return {name: sum(row[name] for row in rows) / len(rows) for name in QUALITY}


@torch.inference_mode()
def measure_clip(
    clip: Clip, enhanced: Tensor, critics: FrozenCritics, *, every: int = 1
) -> dict[str, float]:
    """Measure one enhanced clip, uint8 RGB [T,3,H,W]; means over its frames.

    Args:
        clip: input and target.
        enhanced: what became of the input.
        critics: score frames.
        every: SSIM and the critic take time: of each so many frames they see the first.

    Returns:
        `rmse` in challenge range; `psnr` in dB; `ssim`; `flicker`, the standard deviation over
        time of the mean luma of enhanced less target, in 8-bit levels; `critic_p` in [0,1].
    """
    x, y, result = (dequantise(video) for video in (clip.x, clip.y, enhanced))
    psnr = peak_signal_noise_ratio(result, y, data_range=1.0, reduction="none", dim=(1, 2, 3))
    ssim = [
        structural_similarity_index_measure(a[None], b[None], data_range=1.0)
        for a, b in zip(result[::every], y[::every], strict=True)
    ]
    luma = torch.tensor(LUMA_BT601)[:, None, None] * (result - y) * 255
    p = [
        critics(*pair, torch.zeros(len(pair[0]), dtype=torch.int64)).clamped[:, SCORES.index(P)]
        for pair in zip(x[::every].split(BATCH), result[::every].split(BATCH), strict=True)
    ]
    return {
        "rmse": rmse(result, y).mean().item(),
        "psnr": psnr.mean().item(),
        "ssim": torch.stack(ssim).mean().item(),
        "flicker": luma.sum(1).mean((1, 2)).std(correction=0).item(),
        "critic_p": torch.cat(p).mean().item(),
    }
