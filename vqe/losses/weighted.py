"""Named loss terms -> their weighted sum, some of them ramped up in the course of training."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from vqe.losses.step import LossTerm, Step


class WeightedTerms(nn.Module):
    """A sum of named loss terms.

    Args:
        terms: what the names stand for.
        weights: one number for each term; a term of weight 0 is not computed.
        ramps: for some terms [from, to], shares of the whole training: the term is not computed
            before `from`, then its factor grows linearly from 0 to 1, where it stays after `to`.

    Raises:
        ValueError: the names differ, a weight is negative, all are 0, a ramp is no part of [0,1],
            every term has one, or critics lead without a fidelity term that has none.
    """

    def __init__(
        self,
        terms: Mapping[str, LossTerm],
        weights: Mapping[str, float],
        ramps: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        ramps = ramps or {}
        _check_names(terms, weights, ramps)
        if min(weights.values(), default=0) < 0 or not any(weights.values()):
            raise ValueError(f"expected weights >= 0, one above 0, got {dict(weights)}")
        self.weights = {name: float(w) for name, w in weights.items() if w}
        self.terms = nn.ModuleDict({name: terms[name] for name in self.weights})
        self.ramps = {n: tuple(ramps[n]) for n in self.weights if ramps.get(n) is not None}
        self._check_ramps()
        self._check_anchor()

    def _check_ramps(self) -> None:
        for name, ramp in self.ramps.items():
            if len(ramp) != 2 or not 0 <= ramp[0] <= ramp[1] <= 1:
                raise ValueError(
                    f"expected loss.ramps.{name} = [from, to] with 0 <= from <= to <= 1, "
                    f"got {list(ramp)}"
                )
        if set(self.ramps) == set(self.weights):
            raise ValueError(
                f"expected a term that leads from the start, got ramps for all of "
                f"{sorted(self.weights)}. Remove one: loss.ramps.<term>=null"
            )

    def _check_anchor(self) -> None:
        critics = [name for name, term in self.terms.items() if term.needs_scores]
        steady = [term for name, term in self.terms.items() if name not in self.ramps]
        if critics and not any(term.is_fidelity for term in steady):
            raise ValueError(
                f"expected a fidelity term without a ramp beside the critic terms {critics}, got "
                f"{list(self.weights)}: frozen critics alone get fooled. Set the weight of one "
                "above 0, such as loss.weights.sup_mse=1"
            )

    @property
    def needs_scores(self) -> bool:
        """Whether any term looks at the critics' scores, sooner or later."""
        return any(term.needs_scores for term in self.terms.values())

    def factor(self, name: str, progress: float) -> float:
        """Return a term's factor in [0,1] when a share `progress` of the training is done."""
        start, end = self.ramps.get(name, (0, 0))
        if progress >= end:
            return 1.0
        return max(0.0, (progress - start) / (end - start))

    def factors(self, progress: float) -> dict[str, float]:
        """Return the factor of each term that has a ramp."""
        return {name: self.factor(name, progress) for name in self.ramps}

    def active(self, progress: float) -> dict[str, LossTerm]:
        """Return the terms that count when a share `progress` of the training is done."""
        return {name: term for name, term in self.terms.items() if self.factor(name, progress)}

    def forward(self, step: Step, progress: float = 1.0) -> dict[str, torch.Tensor]:
        """Return each active term by name, unweighted, and their weighted sum as `loss`."""
        values = {name: term(step) for name, term in self.active(progress).items()}
        scales = {name: self.weights[name] * self.factor(name, progress) for name in values}
        return values | {"loss": sum(scales[name] * v for name, v in values.items())}


def _check_names(terms: Mapping, weights: Mapping, ramps: Mapping) -> None:
    if set(terms) != set(weights):
        raise ValueError(
            f"expected a weight for each of the terms {sorted(terms)}, got weights for "
            f"{sorted(weights)}. Make loss.terms and loss.weights name the same"
        )
    if not set(ramps) <= set(terms):
        raise ValueError(f"expected ramps for terms among {sorted(terms)}, got {sorted(ramps)}")
