"""What a loss term sees of a training step, and what it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from vqe.critics.frozen_vqa import Scores


@dataclass(frozen=True)
class Step:
    """What a loss term may look at.

    Attributes:
        x: input frames, RGB [0,1] [B,3,H,W]; clips lie in it one after the other.
        enhanced: the network's output before any clamp, the same shape.
        y: targets, the same shape; zero where there is none.
        has_target: bool [B].
        scores: the critics' scores, or None where no term asked for them.
        clip_length: consecutive frames of one video in a row; 1: frames on their own.
        luts: the network's 3D LUTs [K,3,N,N,N], or None: it has none, or no term asked.
    """

    x: torch.Tensor
    enhanced: torch.Tensor
    y: torch.Tensor
    has_target: torch.Tensor
    scores: Scores | None = None
    clip_length: int = 1
    luts: torch.Tensor | None = None

    def zero(self) -> torch.Tensor:
        """Return 0 with a gradient of zero, for a term that has nothing to say."""
        return self.enhanced[:0].float().sum()

    def mean_over_targets(
        self, measure: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Average over the frames with a target; zero where there are none.

        Args:
            measure: (enhanced, y), both float32 [N,3,H,W], -> a scalar.
        """
        chosen = self.has_target
        if not chosen.any():
            return self.zero()
        return measure(self.enhanced[chosen].float(), self.y[chosen].float())


class LossTerm(nn.Module):
    """A part of the loss: called with a `Step`, returns a scalar.

    Attributes:
        needs_scores: whether it looks at the critics' scores, which cost most of a step.
        needs_luts: whether it looks at the network's LUTs.
        is_fidelity: whether it alone holds the picture in place: an anchor for the critics.
    """

    needs_scores = False
    needs_luts = False
    is_fidelity = False
