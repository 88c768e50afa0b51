"""Lut: a 3-D look-up table mixed for each frame, then a bilateral grid of affine maps.

H. Zeng et al., "Learning Image-Adaptive 3D Lookup Tables for High Performance Photo Enhancement in
Real-Time", TPAMI 2020: a few learnt tables, mixed by weights that a small network predicts. The
identity is always in the mix, and the learnt tables hold what is added to it. The table sets the
tone of the frame; what depends on the place is left to the grid of M. Gharbi et al., "Deep
Bilateral Learning for Real-Time Image Enhancement", SIGGRAPH 2017, as in `bilateral_grid`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqe.models.bilateral_grid import (
    COEFFICIENTS,
    apply_grid,
    count_grid_macs,
    make_guide,
    soften_guide,
)
from vqe.models.crop import Crop
from vqe.models.low_res import LowResBranch, count_shrink_macs
from vqe.models.streaming import State, StreamingNetwork, smooth


class Lut(StreamingNetwork):
    """Look colours up in a table of the frame's own, then map them by place and brightness.

    The arguments that follow these are those of every `StreamingNetwork`.

    Args:
        tables: learnt tables beside the identity.
        table_size: nodes of a table along each colour.
        luma_bins: cells of the grid along brightness.
    """

    def __init__(
        self,
        *,
        tables: int = 3,
        table_size: int = 17,
        luma_bins: int = 8,
        grid_size: int = 16,
        low_res: int = 128,
        width: int = 16,
        smoothing: float = 0.8,
        scene_cut: float = 0.1,
        strength: float = 1.0,
        light_change: float | None = None,
        global_halvings: int = 0,
        encoder: str | None = None,
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__(
            grid_size=grid_size,
            low_res=low_res,
            width=width,
            smoothing=smoothing,
            scene_cut=scene_cut,
            strength=strength,
            light_change=light_change,
            global_halvings=global_halvings,
            encoder=encoder,
            encoder_weights=encoder_weights,
        )
        if tables < 1 or table_size < 2 or luma_bins < 1:
            raise ValueError(
                "expected tables and luma_bins >= 1 and table_size >= 2, "
                f"got {tables}, {luma_bins} and {table_size}"
            )
        self.luma_bins = luma_bins
        self.branch = LowResBranch(**self.branch_options)
        self.to_grid = nn.Conv2d(self.branch.features, COEFFICIENTS * luma_bins, 1)
        self.to_mix = nn.Linear(self.branch.features, tables)
        self.guide = make_guide()
        self.residual_tables = nn.Parameter(torch.zeros(tables, 3, *[table_size] * 3))
        nn.init.zeros_(self.to_grid.weight)
        nn.init.zeros_(self.to_grid.bias)
        nn.init.ones_(self.to_mix.bias)  # of nothing, at first: only the tables start as zero
        soften_guide(self.guide)

    def luts(self) -> Tensor:
        """Return the learnt tables with the identity in them, `[K,3,N,N,N]`, for regularisers.

        `luts()[k, :, b, g, r]` is the RGB that table `k` alone gives the colour
        (r, g, b) / (N - 1): red runs fastest, as in a .cube file.
        """
        nodes = torch.linspace(0, 1, self.residual_tables.shape[-1], device=self.to_mix.bias.device)
        blue, green, red = torch.meshgrid(nodes, nodes, nodes, indexing="ij")
        return torch.stack([red, green, blue]) + self.residual_tables

    def no_weight_decay(self) -> set[str]:
        """Name the tables: a colour that is seldom seen must not drift back to the identity."""
        return {"residual_tables"}

    def initial_state(self, batch: int, height: int, width: int) -> State:
        """Return zeros: those of `initial_context`, `grid` [B,12*D,g,g] and `mix` [B,K]."""
        side, zeros = (self.grid_size, self.grid_size), self.to_mix.bias.new_zeros
        return self.initial_context(batch, self.to_mix.bias) | {
            "grid": zeros(batch, COEFFICIENTS * self.luma_bins, *side),
            "mix": zeros(batch, len(self.residual_tables)),
        }

    def advance(self, frames_bchw: Tensor, state: State, crop: Crop | None) -> tuple[Tensor, State]:
        """Return the frames with light and colour changed, not clamped, and the next state."""
        context = self.encode_context(frames_bchw, state, crop)
        features = self.branch(context.small)
        grid = smooth(self.to_grid(features).float(), state["grid"], context.share)
        mix = self.to_mix(features.mean((2, 3))).float()
        mix = smooth(mix, state["mix"], context.share[:, :, 0, 0])
        toned = frames_bchw + look_up(self._mix_tables(mix), frames_bchw)
        cells = grid.unflatten(1, (COEFFICIENTS, self.luma_bins))
        box = None if crop is None else crop.box
        mapped = toned + apply_grid(cells, toned, self.guide, box)
        return mapped, context.remembered | {"grid": grid, "mix": mix}

    def _mix_tables(self, mix: Tensor) -> Tensor:
        """Return each frame's own table, `[B,3,N,N,N]`, of what is added to a colour."""
        with torch.autocast(mix.device.type, enabled=False):
            mixed = mix @ self.residual_tables.flatten(1)
        return mixed.unflatten(1, self.residual_tables.shape[1:])

    def functional_macs(self, height: int, width: int) -> dict[str, int]:
        """Count what a frame costs beside layers and matrix products."""
        pixels, corners = height * width, 8
        macs = count_shrink_macs(self.low_res) | {"look-up": 3 * corners * pixels}
        return macs | count_grid_macs(pixels)


def look_up(tables: Tensor, frames_bchw: Tensor) -> Tensor:
    """Interpolate each frame's table `[B,3,N,N,N]`, ordered b, g, r, trilinearly: `[B,3,H,W]`.

    Colours out of [0,1] find what is at its border.
    """
    # grid_sample's coordinates run from the last axis to the first: red, green, blue.
    places = (2 * frames_bchw - 1).permute(0, 2, 3, 1)[:, None].float()
    found = F.grid_sample(tables.float(), places, padding_mode="border", align_corners=True)
    return found[:, :, 0]
