"""Results -> an HTML section of its own style, to read alone or to include in a report."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
import pandas as pd

from vqe.files import complete_or_absent

if TYPE_CHECKING:
    from vqe.subjective.analyse import Results

PAGES = Path(__file__).with_name("pages")
WIDTH = 320  # pixels of an interval's line


def write_section(results: Results, path: Path) -> None:
    """Write the section, numbers and drawn intervals, without script."""
    methods = results.methods
    page = load_template("section.html").render(
        facts=results.facts,
        methods=_place(methods, "strength", "low", "high", np.log),
        opinions=_place(methods, "cmos", "cmos_low", "cmos_high", np.asarray),
        pairs=results.pairs.to_dict("records"),
        wins=results.wins,
        rules=results.rules.to_dict("records"),
        correlation=results.correlation.to_dict("records"),
        width=WIDTH,
    )
    with complete_or_absent(path) as part:
        part.write_text(page, encoding="utf-8")


@functools.cache
def load_template(name: str) -> jinja2.Template:
    """Return a page's template; whatever is put into it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    return environment.get_template(name)


def format_number(value: object, digits: int = 2) -> str:
    """Return a number as text, a hyphen where there is none."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _place(table: pd.DataFrame, middle: str, low: str, high: str, scale) -> list[dict]:
    """Return rows with `x`, `x_low`, `x_high` in pixels along a common scale."""
    if middle not in table:
        return []
    known = table[np.isfinite(table[[middle, low, high]].astype(float)).all(axis=1)]
    if known.empty:
        return []
    ends = scale(known[[low, high]].to_numpy(float))
    start, span = ends.min(), max(np.ptp(ends), 1e-9)
    rows = known.rename(columns={middle: "value", low: "from", high: "to"}).to_dict("records")
    for row in rows:
        for name, value in (("x", "value"), ("x_low", "from"), ("x_high", "to")):
            row[name] = round(10 + float(scale(row[value]) - start) / span * (WIDTH - 20), 1)
    return rows
