"""People's scores of videos and a CSV of objective scores -> how well the latter foretell them."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, pearsonr, spearmanr

from vqe.files import read_csv
from vqe.schema import SCORES, orient_scores

MEASURES = {"plcc": pearsonr, "srcc": spearmanr, "kendall": kendalltau}
SCORE = "score"  # the mean of the challenge's twelve, all growing with quality
PERCENTILES = (2.5, 97.5)


def read_scores(scores: Mapping[str, str] | str) -> pd.DataFrame:
    """Read what score_videos.py wrote.

    Args:
        scores: a CSV for each method, or one CSV whose paths begin with the method's folder.

    Returns:
        method, video, and the numbers; `score` is added where the twelve scores are there.

    Raises:
        FileNotFoundError: there is no such CSV.
        ValueError: it is none of score_videos.py.
    """
    files = {None: scores} if isinstance(scores, str) else dict(scores)
    parts = []
    for method, name in files.items():
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"expected the CSV of scores {path}, got nothing")
        table = read_csv(path)
        if "path" not in table:
            raise ValueError(f"expected a column path as score_videos.py writes it ({path})")
        place = table["path"].map(PurePosixPath)
        table["video"] = place.map(lambda p: p.stem)
        table["method"] = place.map(lambda p: p.parts[0]) if method is None else method
        parts.append(table)
    table = pd.concat(parts, ignore_index=True)
    if set(SCORES) <= set(table):
        oriented = table[list(SCORES)].apply(lambda row: orient_scores(row.to_dict()), axis=1)
        table[SCORE] = pd.DataFrame(oriented.tolist()).mean(axis=1)
    numbers = table.select_dtypes("number").columns.drop("frames", errors="ignore")
    return table[["method", "video", *numbers]]


def correlate_scores(
    videos: pd.DataFrame, scores: pd.DataFrame, *, replicates: int, seed: int
) -> pd.DataFrame:
    """Return a row a score: videos, and each of PLCC, SRCC, Kendall with its 95 % interval.

    Args:
        videos: people's `cmos` by method and video.
        scores: numbers by method and video.
        replicates: draws of videos, each with all its methods, for the intervals.
        seed: of the draws.

    Raises:
        ValueError: fewer than three videos are in both.
    """
    both = videos[["method", "video", "cmos"]].merge(scores, on=["method", "video"])
    if len(both) < 3:
        raise ValueError(
            f"expected scores of the rated videos, got {len(both)} that match by method and video. "
            "Give scores={<method>: <csv>, ..} with the study's method names"
        )
    random = np.random.default_rng(seed)
    content = [np.flatnonzero(both["video"] == v) for v in both["video"].unique()]
    draws = [
        np.concatenate([content[i] for i in random.integers(len(content), size=len(content))])
        for _ in range(replicates)
    ]
    rows = []
    for name in both.columns.drop(["method", "video", "cmos"]):
        x, y = both[name].to_numpy(float), both["cmos"].to_numpy(float)
        row = {"score": name, "videos": len(both)}
        for measure, function in MEASURES.items():
            row[measure] = _correlate(function, x, y)
            ends = [_correlate(function, x[d], y[d]) for d in draws]
            low, high = (
                np.nanpercentile(ends, PERCENTILES) if np.isfinite(ends).any() else (np.nan,) * 2
            )
            row |= {f"{measure}_low": low, f"{measure}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _correlate(function, x: np.ndarray, y: np.ndarray) -> float:
    there = np.isfinite(x) & np.isfinite(y)
    if there.sum() < 3 or np.ptp(x[there]) == 0 or np.ptp(y[there]) == 0:
        return float("nan")
    return float(function(x[there], y[there])[0])
