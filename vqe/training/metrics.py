"""Measure frames in the numbers of the leaderboard, which are taken in challenge range."""

import torch
from torchmetrics import Metric

from vqe.schema import SCORES, leaderboard_score


class ValidationMetrics(Metric):
    """Average over all frames of all ranks: `mse`, `rmse`, the raw scores and the score.

    The score is the leaderboard's formula on means over frames; the leaderboard itself takes means
    over videos first, which is the same where videos are equally long.
    """

    NAMES = ("mse", "rmse", *SCORES)
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        zeros = torch.zeros(len(self.NAMES))
        self.add_state("sums", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("counts", zeros.clone(), dist_reduce_fx="sum")

    def update(self, mse_b: torch.Tensor, scores_bs: torch.Tensor) -> None:
        """Add frames: the squared error [N] of those with a target, scores [M,12] of the others."""
        values = (mse_b, mse_b.sqrt(), *scores_bs.unbind(1))
        self.sums += torch.stack([v.detach().float().sum() for v in values])
        self.counts += self.counts.new_tensor([len(v) for v in values])

    def compute(self) -> dict[str, float]:
        """Return every mean that has frames behind it, and `score` where all of them have."""
        totals = zip(self.NAMES, self.sums.tolist(), self.counts.tolist(), strict=True)
        means = {name: total / count for name, total, count in totals if count}
        finite = all(torch.isfinite(torch.tensor(v)) for v in means.values())
        if len(means) == len(self.NAMES) and finite and means["rmse"] > 0:
            means["score"] = leaderboard_score(means, means["rmse"])
        return means
