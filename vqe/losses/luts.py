"""A network's 3D LUTs -> how rough they are, and how far they turn back.

H. Zeng et al., "Learning Image-Adaptive 3D Lookup Tables for High Performance Photo Enhancement in
Real-Time", TPAMI 2020. Means are taken where the paper has sums, so that the weights hold for
tables of any size. A network without `luts()` gives zero.
"""

import torch

from vqe.losses.step import LossTerm, Step

AXES = (-3, -2, -1)


class LUTSmoothness(LossTerm):
    """Mean squared difference of neighbouring entries, summed over the three axes."""

    needs_luts = True

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar >= 0; the identity table is not at zero."""
        if step.luts is None:
            return step.zero()
        return sum(step.luts.float().diff(dim=axis).square().mean() for axis in AXES)


class LUTMonotonicity(LossTerm):
    """Mean of how far each output falls where an input colour rises, over the three axes."""

    needs_luts = True

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar >= 0, zero for tables that never fall."""
        if step.luts is None:
            return step.zero()
        return sum((-step.luts.float().diff(dim=axis)).relu().mean() for axis in AXES)
