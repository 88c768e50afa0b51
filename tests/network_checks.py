"""What the tests of several networks share: small builds, pictures, damage and a short training."""

import numpy as np
import torch
import torch.nn.functional as F

from vqe.models import Base, BilateralGrid, Identity, Lut, Nano, Recurrent, SampleConv
from vqe.models.enhancement import enhance

NETWORKS = [Identity, SampleConv, BilateralGrid, Nano, Lut, Base, Recurrent]
TRAINABLE = NETWORKS[1:]
WITH_MEMORY = [Nano, Lut, Base, Recurrent]
SMALL = {  # the same code with less to compute
    BilateralGrid: {"low_res": 64, "width": 16},
    Nano: {"low_res": 64},
    Lut: {"low_res": 64, "table_size": 9},
    Base: {"low_res": 64, "channels": 8, "layers": 2},
    Recurrent: {"low_res": 64, "channels": 8, "layers": 1, "gate_channels": 4},
}


def build_small(network_class, **options):
    """Build a network that costs little."""
    return network_class(**SMALL.get(network_class, {}), **options)


def perturb(network, scale=0.05):
    """Move all parameters away from the identity."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return network


def draw_clean_frames():
    """Draw two pictures with edges, ramps and colours in [0.05, 0.95], [2,3,72,96]."""
    rows, columns = torch.meshgrid(
        torch.linspace(0, 1, 72), torch.linspace(0, 1, 96), indexing="ij"
    )
    disc = ((rows - 0.5) ** 2 + (columns - 0.4) ** 2 < 0.08).float()
    stripes = (torch.sin(columns * 40) > 0).float()
    first = torch.stack([0.2 + 0.6 * disc, 0.3 + 0.4 * rows, 0.25 + 0.5 * stripes * columns])
    second = torch.stack([0.1 + 0.8 * stripes * rows, 0.8 - 0.5 * disc, 0.2 + 0.6 * columns])
    return torch.stack([first, second]).clamp(0.05, 0.95)


def darken(frames):
    """Add what a webcam does: a gamma, a colour cast and light from one side."""
    side = torch.linspace(0.35, 1.0, frames.shape[-1])
    cast = torch.tensor([1.0, 0.85, 0.7]).view(3, 1, 1)
    return frames**1.3 * cast * side


def make_clips(frames, length=3, noise=0.02):
    """Repeat frames [B,3,H,W] in time with noise that is new in each, [B,T,3,H,W]."""
    generator = torch.Generator().manual_seed(2)
    clips = frames[:, None].repeat(1, length, 1, 1, 1)
    return (clips + noise * torch.randn(clips.shape, generator=generator)).clamp(0, 1)


def train(network, inputs, targets, steps, lr=3e-3):
    """Train on frames or clips; the targets broadcast."""
    optimizer = torch.optim.AdamW(network.parameters(), lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(network, inputs, targets).backward()
        optimizer.step()
    return network


def loss(network, inputs, targets):
    """Return the mean squared error of what a network makes of frames or clips."""
    return F.mse_loss(enhance(network, inputs), targets.expand_as(inputs))


def rmse(a, b):
    """Return the root of the mean squared difference."""
    return (a - b).square().mean().sqrt().item()


def linear_weights(position, count):
    """Weigh cells by their distance from a position in [0,1], the ends extended."""
    place = np.clip(position * count - 0.5, 0, count - 1)
    return np.clip(1 - np.abs(np.arange(count) - place), 0, None)
