"""The critics' scores -> how far they are from the best."""

import torch

from vqe.losses.step import LossTerm, Step
from vqe.schema import INVERTED_SCORES, SCORES


class VQALoss(LossTerm):
    """Mean squared distance of the twelve scores to 1, the inverted one flipped first.

    Args:
        before_clamps: take the scores before the critics' clamps, whose gradient is zero once
            saturated. The challenge's own loss takes them after.
    """

    needs_scores = True

    def __init__(self, before_clamps: bool = True) -> None:
        super().__init__()
        self.before_clamps = before_clamps
        inverted = [name in INVERTED_SCORES for name in SCORES]
        self.register_buffer("inverted", torch.tensor(inverted), persistent=False)

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar over all frames, with a target or without."""
        scores = step.scores.before_clamps if self.before_clamps else step.scores.clamped
        oriented = torch.where(self.inverted, 1 - scores, scores)
        return (oriented - 1).square().mean()
