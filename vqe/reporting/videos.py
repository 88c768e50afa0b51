"""Run, and what its inputs scored -> a table: a row a video, before and after.

Columns: `anchor`, `subset`, `frames`, `fps`, then a number and the same of the input under
`<number>_input`: `rmse`; `p`, `a1`.., `quality`, the mean of the twelve scores that all grow with
quality; `flicker`, `luma`. Those that a video has not are NaN.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from vqe.reporting.run import KEY, SUPERVISED, UNSUPERVISED, Run
from vqe.schema import CHALLENGE_FPS, SCORES, leaderboard_score, orient_scores

NUMBERS = ("rmse", *SCORES, "quality", "flicker", "luma")
SIDES = ("", "_input")


def build_videos(run: Run, inputs: Run | None) -> pd.DataFrame:
    """Gather a run's videos, in the order of their ids.

    Args:
        run: what was tested.
        inputs: a test of the unchanged inputs, whose numbers are those before; None takes what the
            run itself measured of its inputs, where it did.

    Raises:
        ValueError: the other test is of other videos.
    """
    table = run.videos.reindex(columns=[f"{name}{side}" for side in SIDES for name in NUMBERS])
    table = table.join(_describe_frames(run, table.index), how="left")
    _add_inputs(table, run)
    if inputs is not None:
        _add_other_test(table, inputs, run)
    for side in SIDES:
        scores = {name: table[f"{name}{side}"] for name in SCORES}
        table[f"quality{side}"] = sum(orient_scores(scores).values()) / len(SCORES)
    table["anchor"] = _make_anchors(table.index)
    return table


def find_score(means: dict[str, float]) -> float:
    """Return the leaderboard's score of means over videos, NaN where some are missing."""
    rmse = means.get("rmse", math.nan)
    if not all(math.isfinite(means.get(name, math.nan)) for name in SCORES) or not rmse > 0:
        return math.nan
    return leaderboard_score(means, rmse)


def measure_flicker(luma: np.ndarray, target: np.ndarray | None, fps: int) -> float:
    """Return how much the mean luma flickers, in 8-bit levels.

    Args:
        luma: of a video's frames, in order.
        target: of its target's. The standard deviation over time of the difference to it is what
            docs/networks.md calls flicker. None: of the difference to the video's own median over
            the second around each frame.
        fps: frames per second.
    """
    if target is None:
        around = pd.Series(luma).rolling(max(3, fps), center=True, min_periods=1)
        target = around.median().to_numpy()
    return float(np.std(luma - target))


def _describe_frames(run: Run, index: pd.MultiIndex) -> pd.DataFrame:
    """Return subset, frames, rate, luma and flicker of each video that has frames."""
    rows = {}
    for key, frames in run.frames_of.items():
        subset = frames["subset"][0]
        fps = run.rate(subset, key[1])
        target = frames["luma_target"] if key[0] == SUPERVISED else None
        rows[key] = {
            "subset": subset,
            "frames": len(frames["luma_input"]),
            "fps": fps,
            "_flicker": measure_flicker(frames["luma_enhanced"], target, fps),
            "_flicker_input": measure_flicker(frames["luma_input"], target, fps),
            "_luma": frames["luma_enhanced"].mean(),
            "_luma_input": frames["luma_input"].mean(),
        }
    described = pd.DataFrame.from_dict(rows, orient="index").reindex(index)
    for name, blank in (("subset", None), ("frames", np.nan), ("fps", CHALLENGE_FPS)):
        if name not in described:
            described[name] = blank
    described["subset"] = described["subset"].fillna(index.get_level_values(0).to_series(index))
    return described.fillna({"fps": CHALLENGE_FPS})


def _add_inputs(table: pd.DataFrame, run: Run) -> None:
    """Put luma and flicker into place; add what the run measured of its inputs."""
    for name in ("flicker", "luma"):
        for side in SIDES:
            if f"_{name}{side}" in table:
                table[f"{name}{side}"] = table.pop(f"_{name}{side}")
    if run.frames is None:
        return
    names = {"rmse_input": "rmse_input"} | {f"input_{name}": f"{name}_input" for name in SCORES}
    means = run.frames.groupby(KEY)[list(names)].mean().rename(columns=names)
    table.update(means)


def _add_other_test(table: pd.DataFrame, inputs: Run, run: Run) -> None:
    missing = table.index.difference(inputs.videos.index)
    if len(missing):
        raise ValueError(
            f"expected a test of the same videos for input, got none of {'/'.join(missing[0])} "
            f"and {len(missing) - 1} more ({inputs.folder}). Test both on the same data as "
            f"{run.folder}"
        )
    table.update(inputs.videos.add_suffix("_input"))


def _make_anchors(index: pd.MultiIndex) -> list[str]:
    """Return what a link to each video says: its id, with its kind where an id comes twice."""
    kinds = (UNSUPERVISED, SUPERVISED) if index.get_level_values(0).nunique() > 1 else ()
    first = {video_id: kind for kind in reversed(kinds) for k, video_id in index if k == kind}
    return [
        video_id if first.get(video_id, kind) == kind else f"{video_id}-{kind}"
        for kind, video_id in index
    ]
