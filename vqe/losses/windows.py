"""Frames -> means over Gaussian windows around each pixel, as SSIM takes them."""

import torch
import torch.nn.functional as F

SIGMA = 1.5  # pixels
RADIUS = 5  # 11 taps


def window_means(*frames: torch.Tensor) -> list[torch.Tensor]:
    """Average each of several [N,C,H,W] over the window around each pixel, borders mirrored.

    In float32, whatever autocast says: differences of these means are tiny.

    Raises:
        ValueError: a side is shorter than half a window.
    """
    height, width = frames[0].shape[-2:]
    if min(height, width) <= RADIUS:
        raise ValueError(
            f"expected frames of more than {RADIUS} pixels a side, got {height}x{width} (h x w). "
            "Train on larger frames or crops"
        )
    # planes side by side as channels of one depthwise convolution: ten times faster on a CPU
    planes = torch.cat([f.float() for f in frames]).flatten(0, 1)[None]
    taps = torch.arange(-RADIUS, RADIUS + 1, device=planes.device, dtype=torch.float32)
    kernel = torch.exp(-(taps**2) / (2 * SIGMA**2))
    kernel = (kernel / kernel.sum()).expand(planes.shape[1], 1, 1, -1)
    planes = F.pad(planes, [RADIUS] * 4, mode="reflect")
    with torch.autocast(planes.device.type, enabled=False):
        rows = F.conv2d(planes, kernel.transpose(2, 3), groups=planes.shape[1])
        means = F.conv2d(rows, kernel, groups=planes.shape[1])
    return list(means.view(len(frames), *frames[0].shape).unbind(0))
