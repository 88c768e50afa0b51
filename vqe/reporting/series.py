"""Frames of a run or two -> curves over time of each video, thinned to what a picture can show."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from vqe.reporting.run import SUPERVISED, Key, Run


@dataclass(frozen=True)
class Line:
    """Values of a curve; `side` is `input`, `run 0`, `run 1` or `target`, and names its colour."""

    side: str
    label: str
    values: list[float | None]


@dataclass(frozen=True)
class Curve:
    """Lines over a common x.

    Attributes:
        name: of the curve in its video or log.
        title: for people.
        x_label: what x is.
        x: rising.
        lines: as many values each.
    """

    name: str
    title: str
    x_label: str
    x: list[float]
    lines: list[Line] = field(default_factory=list)


def build_curves(runs: list[Run], *, points: int) -> dict[Key, list[Curve]]:
    """Return for each video the mean luma over its frames, and its RMSE or p.

    Args:
        runs: one run or two; a video that the second lacks is left out.
        points: of a curve, at most.
    """
    curves = {}
    for key in runs[0].frames_of:
        frames = [run.frames_of.get(key) for run in runs]
        if all(f is not None and len(f["p"]) == len(frames[0]["p"]) for f in frames):
            curves[key] = _build(key[0], frames, [run.name for run in runs], points)
    return curves


def _build(
    kind: str, frames: list[dict[str, np.ndarray]], names: list[str], points: int
) -> list[Curve]:
    first = frames[0]
    kept = thin(first["luma_enhanced"], points)

    def line(side: str, label: str, values: np.ndarray) -> Line:
        return Line(side, label, round_all(values[kept]))

    def runs(column: str) -> list[Line]:
        each = enumerate(zip(names, frames, strict=True))
        shown = ["enhanced"] if len(names) == 1 else names
        return [line(f"run {i}", shown[i], table[column]) for i, (_, table) in each]

    luma = [line("input", "input", first["luma_input"]), *runs("luma_enhanced")]
    if kind == SUPERVISED:
        luma.append(line("target", "target", first["luma_target"]))
        score = [line("input", "input", first["rmse_input"]), *runs("rmse")]
        title = "RMSE to the target"
    else:
        score, title = runs("p"), "p: better than the input above 0.5"
        if np.isfinite(first["input_p"]).any():
            score.insert(0, line("input", "input", first["input_p"]))
    x = kept.tolist()
    found = [
        Curve("luma", "Mean luma, 8-bit levels", "frame", x, luma),
        Curve("score", title, "frame", x, score),
    ]
    return [c for c in found if any(v is not None for line in c.lines for v in line.values)]


def build_log_curves(log: pd.DataFrame | None) -> list[Curve]:
    """Return the curves of a training's CSV log: losses, what was validated, the learning rate."""
    if log is None or "step" not in log:
        return []
    steps = log["step"]
    groups = {
        "Losses": [c for c in log if c.startswith("train/") and not c.endswith(("lr", "_factor"))],
        "Validation: errors": [c for c in ("val/mse", "val/rmse") if c in log],
        "Validation: scores": [
            c for c in log if c.startswith("val/") and c not in ("val/mse", "val/rmse")
        ],
        "Learning rate": [c for c in log if c == "train/lr"],
    }
    curves = []
    for number, (title, columns) in enumerate(groups.items()):
        table = log[["step", *columns]].apply(pd.to_numeric, errors="coerce")
        table = table[table[columns].notna().any(axis=1)].groupby("step", as_index=False).last()
        if not columns or table.empty:
            continue
        kept = thin(table[columns[0]].to_numpy(float), 400)
        lines = [
            Line(f"line {i % 8}", c.partition("/")[2], round_all(table[c].to_numpy(float)[kept]))
            for i, c in enumerate(columns)
        ]
        x = table["step"].to_numpy()[kept].tolist()
        curves.append(Curve(f"log-{number}", title, "step", x, lines))
    return curves if steps.notna().any() else []


def thin(values: np.ndarray, points: int) -> np.ndarray:
    """Return positions, rising: ends, lowest and highest of each of `points / 2` stretches."""
    count = len(values)
    if count <= points:
        return np.arange(count)
    filled = np.nan_to_num(values, nan=math.inf)
    kept = {0, count - 1}
    for part in np.array_split(np.arange(count), max(1, points // 2 - 1)):
        kept |= {int(part[filled[part].argmin()]), int(part[filled[part].argmax()])}
    return np.array(sorted(kept))


def round_all(values: np.ndarray) -> list[float | None]:
    """Return numbers of four significant digits, None where there is none."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in values.tolist()]
