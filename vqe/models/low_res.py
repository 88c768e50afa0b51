"""A frame -> a small copy -> coarse features that know their place and the whole picture.

The two paths are those of M. Gharbi et al., "Deep Bilateral Learning for Real-Time Image
Enhancement", SIGGRAPH 2017: a local one, and a global one whose result is added everywhere. The
global one sees statistics, histograms among them: with few contents to learn from, light and
colour are read from them better than from features alone.
"""

import math
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqe.models.timm_encoder import TimmEncoder

SAMPLES = 2  # rows and columns of the frame that are averaged to one of the small copy
BINS = 16  # of a colour's histogram


class LowResBranch(nn.Module):
    """Turn small square frames into `grid_size` x `grid_size` features."""

    def __init__(
        self,
        *,
        low_res: int,
        grid_size: int,
        width: int,
        global_halvings: int = 0,
        encoder: str | None = None,
        encoder_weights: str | Path | None = None,
    ) -> None:
        """Build the branch.

        Args:
            low_res: side of the small frames, `grid_size` times a power of two >= 2.
            grid_size: side of the features.
            width: channels of the first layer; each halving of the resolution doubles them.
            global_halvings: of the features, after which the global path looks at them once more:
                what a picture shows says how bright it should be.
            encoder: a timm network in place of the first layers; see `TimmEncoder`.
            encoder_weights: file of its weights; None: random ones.

        Raises:
            FileNotFoundError: there is no file of weights.
            ValueError: the sizes do not fit each other, a number is too small, or it is the
                encoder's name or file.
        """
        super().__init__()
        if width < 1:
            raise ValueError(f"expected width >= 1, got {width}")
        if not 0 <= global_halvings <= math.log2(grid_size):
            raise ValueError(
                f"expected global_halvings from 0 to those that leave one of {grid_size} cells, "
                f"got {global_halvings}"
            )
        halvings = count_halvings("low_res", low_res, grid_size)
        widths = [3, *(width * 2**i for i in range(halvings))]
        self.features = widths[-1]
        self.splat = Splat(*(make_conv(i, o, stride=2) for i, o in pairwise(widths)))
        self.local_path = nn.Sequential(
            make_conv(self.features, self.features),
            nn.Conv2d(self.features, self.features, 3, padding=1),
        )
        whole = [self.features] * (global_halvings + 1)
        self.whole = nn.Sequential(*(make_conv(i, o, stride=2) for i, o in pairwise(whole)))
        looks = 2 if global_halvings else 1
        statistics = looks * 2 * self.features + 3 * (2 + BINS)  # of features and three colours
        self.global_path = nn.Sequential(
            nn.Linear(statistics, 4 * self.features),
            nn.ReLU(),
            nn.Linear(4 * self.features, 2 * self.features),
            nn.ReLU(),
            nn.Linear(2 * self.features, self.features),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        if encoder is not None:  # from here on: its weights are its own
            self.splat = TimmEncoder(
                encoder,
                side=low_res,
                cells=grid_size,
                channels=self.features,
                weights=encoder_weights,
            )
        elif encoder_weights is not None:
            raise ValueError(
                f"expected encoder=<timm name> with encoder_weights, got null ({encoder_weights})"
            )

    def forward(self, small: Tensor) -> Tensor:
        """Compute `[B,features,grid_size,grid_size]` from RGB `[B,3,low_res,low_res]`."""
        features = self.splat(small)
        looks = (features, self.whole(features)) if len(self.whole) else (features,)
        pooled = [pool for look in looks for pool in (look.mean((2, 3)), look.amax((2, 3)))]
        shift = self.global_path(torch.cat([measure_colours(small), *pooled], dim=1))
        return F.relu(self.local_path(features) + shift[:, :, None, None])


class Splat(nn.Sequential):
    """Our own first layers; they see colours about zero."""

    def forward(self, small: Tensor) -> Tensor:
        """Compute features from RGB in [0,1]."""
        return super().forward(4 * small - 2)


def measure_colours(small: Tensor) -> Tensor:
    """Return means, deviations and histograms of the colours, `[B,3*(2+BINS)]`, about [0,1].

    They say how dark and how tinted a frame is, whatever it shows.
    """
    samples = small[:, :, ::2, ::2].flatten(2).float()
    mean = samples.mean(2, keepdim=True)
    deviation = ((samples - mean).square().mean(2) + 1e-6).sqrt()
    centres = torch.linspace(0, 1, BINS, device=small.device)[:, None]
    distances = (samples[:, :, None] - centres).abs() * (BINS - 1)
    histogram = 4 * (1 - distances).clamp(min=0).mean(3)
    return torch.cat([mean[:, :, 0], deviation, histogram.flatten(1)], dim=1)


def shrink(frames_bchw: Tensor, side: int) -> Tensor:
    """Return a small square copy `[B,3,side,side]` whose cost does not grow with the frame."""
    size = (SAMPLES * side, SAMPLES * side)
    return F.avg_pool2d(F.interpolate(frames_bchw, size, mode="bilinear"), SAMPLES)


def count_shrink_macs(side: int) -> dict[str, int]:
    """Count what `shrink` costs: four neighbours of each sample."""
    return {"shrink": 3 * (SAMPLES * side) ** 2 * 4}


def count_halvings(name: str, size: int, target: int, *, least: int = 1) -> int:
    """Return how often `size` is halved until it is `target`."""
    halvings = round(math.log2(size / target)) if size > 0 and target > 0 else -1
    if halvings < least or target * 2**halvings != size:
        raise ValueError(
            f"expected {name} = {target} times a power of two >= {2**least}, got {size}"
        )
    return halvings


def make_conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """Build a 3x3 convolution and its ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1), nn.ReLU()
    )
