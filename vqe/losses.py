"""Enhanced frames, targets and critic scores -> named, weighted loss terms."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from vqe.critics.frozen import Scores
from vqe.metrics import squared_error
from vqe.schema import INVERTED_SCORES, SCORES


@dataclass(frozen=True)
class Step:
    """What a loss term may look at.

    Attributes:
        x: input frames, RGB [0,1] [B,3,H,W].
        enhanced: the network's output before any clamp, the same shape.
        y: targets, the same shape; zero where there is none.
        has_target: bool [B].
        scores: the critics' scores, or None where no term asked for them.
    """

    x: torch.Tensor
    enhanced: torch.Tensor
    y: torch.Tensor
    has_target: torch.Tensor
    scores: Scores | None = None


class SupervisedMSE(nn.Module):
    """Mean squared error to the target in challenge range, over the frames that have one."""

    needs_scores = False

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar; zero, with a gradient of zero, where no frame has a target."""
        error_b = squared_error(step.enhanced, step.y) * step.has_target
        return error_b.sum() / step.has_target.sum().clamp(min=1)


class VQALoss(nn.Module):
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


class WeightedTerms(nn.Module):
    """A sum of named loss terms.

    Args:
        terms: each called with a `Step`, returning a scalar.
        weights: one number for each term; a term of weight 0 is not computed.

    Raises:
        ValueError: the names differ, a weight is negative, or all are 0.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        if set(terms) != set(weights):
            raise ValueError(
                f"expected a weight for each of the terms {sorted(terms)}, got weights for "
                f"{sorted(weights)}. Make loss.terms and loss.weights name the same"
            )
        if min(weights.values(), default=0) < 0 or not any(weights.values()):
            raise ValueError(f"expected weights >= 0, one above 0, got {dict(weights)}")
        self.weights = {name: float(w) for name, w in weights.items() if w}
        self.terms = nn.ModuleDict({name: terms[name] for name in self.weights})

    @property
    def needs_scores(self) -> bool:
        """Whether any term looks at the critics' scores."""
        return any(term.needs_scores for term in self.terms.values())

    def forward(self, step: Step) -> dict[str, torch.Tensor]:
        """Return each term by name, unweighted, and their weighted sum as `loss`."""
        values = {name: term(step) for name, term in self.terms.items()}
        return values | {"loss": sum(self.weights[name] * v for name, v in values.items())}
