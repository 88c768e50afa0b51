"""Predictions on held-out content -> how well a critic ranks, and how its scores correlate."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from vqe.schema import ATTRIBUTES, P

CLEAR = 0.2  # distance of the true p from 0.5, from which on a pair counts as clearly different


def build_report(predictions: Sequence[dict[str, torch.Tensor]]) -> pd.DataFrame:
    """Compare predictions with targets, those that are known.

    Pairs count in both orders, a variant with itself in none.

    Args:
        predictions: batches of `p` and `true_p` [B,V,V], `a` and `true_a` [B,V,11].

    Returns:
        A row for p and each score: `score`; `count` of known values; `plcc`, the linear (Pearson)
        and `srcc`, the rank (Spearman) correlation; `rmse`; for p also `accuracy`, the share of
        the `clear_pairs`, whose true p is at least 0.2 from 0.5, that are put in the right order.
    """
    joined = {
        name: torch.cat([batch[name] for batch in predictions]).double().cpu().numpy()
        for name in ("p", "true_p", "a", "true_a")
    }
    p, true_p = joined["p"], joined["true_p"]
    a, true_a = (joined[name].reshape(-1, len(ATTRIBUTES)) for name in ("a", "true_a"))
    apart = np.broadcast_to(~np.eye(p.shape[-1], dtype=bool), p.shape)
    rows = [compare(P, p[apart], true_p[apart]) | rank_accuracy(p[apart], true_p[apart])]
    rows += [compare(name, a[:, i], true_a[:, i]) for i, name in enumerate(ATTRIBUTES)]
    return pd.DataFrame(rows)


def compare(name: str, predicted: np.ndarray, true: np.ndarray) -> dict[str, float | str]:
    """Return the correlations and the error of one score; NaN where they are not defined."""
    table = pd.DataFrame({"predicted": predicted, "true": true}).dropna()
    error = table["predicted"] - table["true"]
    return {
        "score": name,
        "count": len(table),
        "plcc": _correlate(table),
        "srcc": _correlate(table.rank()),
        "rmse": float(np.sqrt((error**2).mean())) if len(table) else np.nan,
    }


def rank_accuracy(p: np.ndarray, true_p: np.ndarray) -> dict[str, float | int]:
    """Return the share of the clear pairs that p puts in the right order, and their number."""
    clear = np.abs(true_p - 0.5) >= CLEAR
    right = (p[clear] > 0.5) == (true_p[clear] > 0.5)
    return {
        "accuracy": float(right.mean()) if clear.any() else np.nan,
        "clear_pairs": int(clear.sum()),
    }


def find_weak(report: pd.DataFrame, limit: float | None) -> list[str]:
    """Return the scores a1 to a11 whose linear correlation is known and below a limit."""
    if limit is None:
        return []
    return report["score"][(report["plcc"] < limit) & (report["score"] != P)].tolist()


def format_report(report: pd.DataFrame, meanings: dict[str, str]) -> str:
    """Lay a report out as a table for the log; `meanings` may name what the scores stand for."""
    shown = report.assign(meaning=report["score"].map(meanings).fillna(""))
    return shown.to_string(index=False, na_rep="", float_format="{:.3f}".format)


def _correlate(table: pd.DataFrame) -> float:
    if len(table) < 2 or (table.nunique() < 2).any():
        return np.nan
    return float(table["predicted"].corr(table["true"]))
