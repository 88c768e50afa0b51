"""Clean frames -> faults drawn anew each time they are seen: endless pairs of a few contents.

Pairs on disk show each content with a few faults, and a network learns those by heart. Here x is
as clean as y until it is read; the same draw of the batch's seed gives the same faults.
"""

import numpy as np
import torch

from vqe.pixels import bgr_hwc_u8, rgb_chw_u8
from vqe.synthesis import degrade_clip
from vqe.synthesis.presets import find_preset

SEEDS = 2**31


class RandomFaults:
    """Degrade a frame or a clip by a draw from a preset: a transform for `photometric`.

    Frames that have faults of their own are better left out of such a training.

    Args:
        faults: a preset of conf/faults.

    Raises:
        ValueError: there is no such preset.
    """

    needs_cpu = True  # numpy, OpenCV and codecs do it

    def __init__(self, faults: str) -> None:
        self.faults = find_preset(faults)

    def __call__(self, x_u8: torch.Tensor) -> torch.Tensor:
        """Degrade uint8 RGB [3,H,W] or [T,3,H,W]."""
        seed = int(torch.randint(SEEDS, ()))
        parameters = self.faults.draw(seed)
        clip = x_u8.as_subclass(torch.Tensor)
        frames = [bgr_hwc_u8(frame) for frame in (clip if clip.ndim == 4 else clip[None])]
        bad = degrade_clip(np.stack(frames), parameters, seed=seed)
        done = torch.stack([rgb_chw_u8(frame) for frame in bad])
        return done if clip.ndim == 4 else done[0]
