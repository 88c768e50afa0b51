"""Bilateral grid of colour maps, after HDRNet.

M. Gharbi et al., "Deep Bilateral Learning for Real-Time Image Enhancement", SIGGRAPH 2017.
A small network looks at a low-resolution copy of the frame and predicts a coarse grid of affine
colour maps over position and brightness; each pixel looks its own map up through a learnt guide.
Light and colour change locally and edges stay, as only the maps are coarse. Here the grid holds
what is added to the frame (zero at the start), there is no normalisation, and the guide is the
luma plus a learnt part.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqe.models.colour_maps import place_pixels
from vqe.models.crop import Crop
from vqe.models.low_res import count_halvings, make_conv
from vqe.pixels import LUMA_BT601

COEFFICIENTS = 12  # an affine map of three colours: 3 rows of (r, g, b, 1)
GUIDE_WIDTH = 16
GLOBAL_SIZE = 4  # the global path sees the low-resolution features as 4x4 cells


class BilateralGrid(nn.Module):
    """Predict, slice and apply a `grid_size` x `grid_size` x `luma_bins` grid of affine maps."""

    sees_whole = True

    def __init__(
        self,
        *,
        grid_size: int = 16,
        luma_bins: int = 8,
        width: int = 8,
        low_res: int = 256,
    ) -> None:
        """Build the network.

        Args:
            grid_size: cells of the grid along each side of the frame, a power of two >= 4.
            luma_bins: cells of the grid along brightness.
            width: channels of the first layer; each halving of the resolution doubles them.
            low_res: side of the square copy that the grid is predicted from, `grid_size` times a
                power of two >= 2.
        """
        super().__init__()
        halvings = count_halvings("low_res", low_res, grid_size)
        global_halvings = count_halvings("grid_size", grid_size, GLOBAL_SIZE, least=0)
        if luma_bins < 1 or width < 1:
            raise ValueError(f"expected luma_bins and width >= 1, got {luma_bins} and {width}")
        self.luma_bins = luma_bins
        self.low_res = low_res

        widths = [3, *(width * 2**i for i in range(halvings))]
        features = widths[-1]
        self.splat = nn.Sequential(*(make_conv(i, o, stride=2) for i, o in pairwise(widths)))
        self.local_path = nn.Sequential(
            make_conv(features, features), nn.Conv2d(features, features, 3, padding=1)
        )
        self.global_path = nn.Sequential(
            *(make_conv(features, features, stride=2) for _ in range(global_halvings)),
            nn.Flatten(),
            nn.Linear(features * GLOBAL_SIZE**2, 4 * features),
            nn.ReLU(),
            nn.Linear(4 * features, 2 * features),
            nn.ReLU(),
            nn.Linear(2 * features, features),
        )
        self.to_grid = nn.Conv2d(features, COEFFICIENTS * luma_bins, 1)
        self.guide = make_guide()
        self._init_weights()

    def _init_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.to_grid.weight)
        soften_guide(self.guide)

    def forward(self, frames_bchw: Tensor, crop: Crop | None = None) -> Tensor:
        """Enhance RGB frames `[B,3,H,W]` in [0,1]; the result is clamped to [0,1] in eval mode.

        The grid of a crop's frames is predicted from the whole ones.
        """
        grid = self.predict_grid(frames_bchw if crop is None else crop.whole)
        box = None if crop is None else crop.box
        enhanced = frames_bchw + apply_grid(grid, frames_bchw, self.guide, box)
        return enhanced if self.training else enhanced.clamp(0, 1)

    def predict_grid(self, frames_bchw: Tensor) -> Tensor:
        """Predict what is added to the identity map: `[B,12,luma_bins,grid_size,grid_size]`."""
        size = (self.low_res, self.low_res)
        low = F.interpolate(frames_bchw, size, mode="bilinear", antialias=True)
        features = self.splat(low)
        shift = self.global_path(features)[:, :, None, None]
        fused = F.relu(self.local_path(features) + shift)
        return self.to_grid(fused).unflatten(1, (COEFFICIENTS, self.luma_bins))

    def functional_macs(self, height: int, width: int) -> dict[str, int]:
        """Count what a frame costs beside the layers: resizing, luma, slicing and applying."""
        taps_h, taps_w = (2 * max(1.0, side / self.low_res) for side in (height, width))
        resized = 3 * self.low_res * (height * taps_w + self.low_res * taps_h)
        return {"resize": round(resized)} | count_grid_macs(height * width)


def make_guide() -> nn.Sequential:
    """Build the part of the guide that is learnt."""
    return nn.Sequential(nn.Conv2d(3, GUIDE_WIDTH, 1), nn.ReLU(), nn.Conv2d(GUIDE_WIDTH, 1, 1))


@torch.no_grad()
def soften_guide(guide: nn.Sequential) -> None:
    """Let the guide start close to the luma, but not at a zero without gradients."""
    guide[-1].weight.mul_(0.1)


def apply_grid(grid: Tensor, frames_bchw: Tensor, guide: nn.Module, box: Tensor | None) -> Tensor:
    """Look up each pixel's map in the grid `[B,12,D,h,w]` and apply it: what is added, `[B,3,H,W]`.

    The learnt part of the guide adds to the luma; `box` [B,4] is where the frames lie in those that
    the grid covers, None is everywhere.
    """
    # The maps change fast along brightness: a guide in half precision shows as bands.
    with torch.autocast(frames_bchw.device.type, enabled=False):
        luma = torch.tensor(LUMA_BT601, device=frames_bchw.device).view(1, 3, 1, 1)
        place = (frames_bchw * luma).sum(1, keepdim=True) + guide(frames_bchw)
    return _apply_affine(_slice_grid(grid.float(), place, box), frames_bchw)


def count_grid_macs(pixels: int) -> dict[str, int]:
    """Count what looking up and applying the maps costs, beside the guide's layers."""
    corners = 8  # of the cell around the pixel
    return {
        "luma": 3 * pixels,
        "slice": corners * COEFFICIENTS * pixels,
        "affine": COEFFICIENTS * pixels,
    }


def _slice_grid(grid: Tensor, guide: Tensor, box: Tensor | None) -> Tensor:
    """Interpolate the grid `[B,12,D,h,w]` at each pixel of the guide `[B,1,H,W]`: `[B,12,H,W]`."""
    batch, _, height, width = guide.shape
    # Centres of pixels in grid_sample's [-1,1]; the guide's [0,1] spans the bins the same way.
    rows, columns = (2 * places - 1 for places in place_pixels(height, width, guide.device, box))
    place = (
        columns[:, None, :].expand(batch, height, width),
        rows[:, :, None].expand(batch, height, width),
        guide[:, 0] * 2 - 1,
    )
    sampled = F.grid_sample(
        grid, torch.stack(place, -1)[:, None], padding_mode="border", align_corners=False
    )
    return sampled[:, :, 0]


def _apply_affine(coefficients: Tensor, frames_bchw: Tensor) -> Tensor:
    """Apply each pixel's 3x4 map, `[B,12,H,W]`, to its colour (r, g, b, 1): `[B,3,H,W]`."""
    maps = coefficients.unflatten(1, (3, 4))
    return (maps[:, :, :3] * frames_bchw[:, None]).sum(2) + maps[:, :, 3]
