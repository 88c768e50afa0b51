"""Curves and distributions -> the geometry of drawings that need no script."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from vqe.reporting.intervals import Interval
from vqe.reporting.series import Curve

WIDTH, HEIGHT = 520, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 34
BINS = 24
LINKED_DOTS = 400  # more are drawn as one path, without links


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Drawn:
    """A line, as SVG's `d`, and its legend."""

    side: str
    label: str
    path: str


@dataclass(frozen=True)
class Dot:
    """A video in a scatter plot."""

    x: float
    y: float
    anchor: str


@dataclass
class Chart:
    """All that a template needs to draw; lengths in pixels of WIDTH x HEIGHT."""

    name: str
    title: str
    x_label: str
    description: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Drawn] = field(default_factory=list)
    bars: list[tuple[str, list[tuple[float, float, float, float]]]] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    y_label: str = ""


class Scale:
    """Numbers -> pixels along an axis."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        if not high > low:
            low, high = low - (abs(low) * 0.05 or 0.5), low + (abs(low) * 0.05 or 0.5)
        self.low, self.high, self.start, self.end = low, high, start, end

    def place(self, value: float) -> float:
        """Return a value's place, to a tenth of a pixel."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, count: int) -> list[Tick]:
        """Return about so many ticks at round numbers."""
        return [Tick(self.place(v), text) for v, text in find_ticks(self.low, self.high, count)]


def find_ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Return round numbers between two, with their texts."""
    step = 10 ** math.floor(math.log10((high - low) / count))
    step *= next(m for m in (1, 2, 5, 10, 20) if (high - low) / (m * step) <= count)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if digits > 5 or step >= 1e6:
        return [(i * step, f"{i * step:.2g}") for i in range(first, last + 1)]
    return [(i * step, f"{i * step:.{digits}f}") for i in range(first, last + 1)]


def draw_curve(curve: Curve) -> Chart:
    """Draw lines over time or steps."""
    values = [v for line in curve.lines for v in line.values if v is not None]
    x = Scale(min(curve.x), max(curve.x), LEFT, WIDTH - RIGHT)
    y = Scale(*_widen(min(values), max(values)), HEIGHT - BOTTOM, TOP)
    lines = [
        Drawn(line.side, line.label, _draw_path(curve.x, line.values, x, y)) for line in curve.lines
    ]
    ranges = [
        f"{line.label} from {_short(min(known))} to {_short(max(known))}"
        for line in curve.lines
        if (known := [v for v in line.values if v is not None])
    ]
    return Chart(
        curve.name,
        curve.title,
        curve.x_label,
        f"{curve.title}: {', '.join(ranges)}",
        x.ticks(6),
        y.ticks(4),
        lines,
    )


def draw_histogram(
    title: str, x_label: str, columns: list[tuple[str, str, pd.Series]]
) -> Chart | None:
    """Draw how many videos have which values; columns are side, label and values."""
    known = [(side, label, values.dropna()) for side, label, values in columns]
    known = [column for column in known if len(column[2])]
    if not known:
        return None
    everything = np.concatenate([values.to_numpy(float) for *_, values in known])
    edges = np.histogram_bin_edges(everything, bins=min(BINS, max(4, len(everything) // 2)))
    counts = [np.histogram(values, edges)[0] for *_, values in known]
    x = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    y = Scale(0, max(c.max() for c in counts), HEIGHT - BOTTOM, TOP)
    bars, lines = [], []
    for (side, label, _), heights in zip(known, counts, strict=True):
        lines.append(Drawn(side, label, ""))
        boxes = []
        for count, left, right in zip(heights, edges[:-1], edges[1:], strict=True):
            if count:
                top, start, end = y.place(count), x.place(left), x.place(right)
                boxes.append((start, top, round(end - start, 1), round(HEIGHT - BOTTOM - top, 1)))
        bars.append((side, boxes))
    means = ", ".join(f"{label} {_short(v.mean())} on average" for _, label, v in known)
    whole = [Tick(t.at, f"{float(t.text):.0f}") for t in y.ticks(4) if float(t.text).is_integer()]
    return Chart(
        "", title, x_label, f"{title}: {means}", x.ticks(6), whole, lines, bars, y_label="videos"
    )


def draw_scatter(
    title: str, labels: tuple[str, str], first: pd.Series, second: pd.Series, anchors: pd.Series
) -> Chart | None:
    """Draw a dot a video, and the diagonal where both numbers are the same."""
    known = first.notna() & second.notna()
    if known.sum() < 2:
        return None
    first, second, anchors = first[known], second[known], anchors[known]
    low, high = _widen(min(first.min(), second.min()), max(first.max(), second.max()))
    x = Scale(low, high, LEFT, WIDTH - RIGHT)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    places = [(x.place(a), y.place(b)) for a, b in zip(first, second, strict=True)]
    corners = [(x.place(v), y.place(v)) for v in (low, high)]
    diagonal = "M" + "L".join(f"{a} {b}" for a, b in corners)
    lines = [Drawn("even", "no difference", diagonal)]
    dots = [Dot(*place, anchor) for place, anchor in zip(places, anchors, strict=True)]
    if len(dots) > LINKED_DOTS:
        lines.append(Drawn("dots", "videos", "".join(f"M{a} {b}h0" for a, b in places)))
        dots = []
    above = int((second > first).sum())
    described = f"{title}: {above} of {len(places)} videos lie above the diagonal"
    return Chart(
        *("", title, labels[0], described, x.ticks(6), y.ticks(5), lines, [], dots, labels[1])
    )


@dataclass(frozen=True)
class Whisker:
    """An interval on a common scale from 0 to 100."""

    side: str
    at: float
    low: float
    high: float


def draw_whiskers(rows: list[list[tuple[str, Interval]]]) -> list[list[Whisker]]:
    """Place each row's intervals on a scale that all rows share."""
    known = [i for row in rows for _, i in row if i.known]
    if not known:
        return [[] for _ in rows]
    values = [v for i in known for v in (i.value, i.low, i.high) if math.isfinite(v)]
    scale = Scale(*_widen(min(values), max(values)), 2, 98)
    return [
        [
            Whisker(
                side,
                scale.place(i.value),
                scale.place(i.low if math.isfinite(i.low) else i.value),
                scale.place(i.high if math.isfinite(i.high) else i.value),
            )
            for side, i in row
            if i.known
        ]
        for row in rows
    ]


def _draw_path(xs: list[float], values: list[float | None], x: Scale, y: Scale) -> str:
    """Return the line through what is known: a value alone is a dot."""
    known = [(a, b) for a, b in zip(xs, values, strict=True) if b is not None]
    if not known:
        return ""
    places = [f"{x.place(a)} {y.place(b)}" for a, b in known]
    return "M" + "L".join(places) + ("h0" if len(places) == 1 else "")


def _widen(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.06 or abs(low) * 0.05 or 0.5
    return low - room, high + room


def _short(value: float) -> str:
    return f"{value:.4g}"
