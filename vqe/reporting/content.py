"""Tables, lists, curves, pictures -> what the page's template names, and the files to download."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from vqe.reporting.charts import (
    Chart,
    draw_curve,
    draw_histogram,
    draw_scatter,
    draw_whiskers,
)
from vqe.reporting.choice import Ranked
from vqe.reporting.clips import Clip
from vqe.reporting.comparison import MEASURE
from vqe.reporting.estimates import BEFORE, Estimate
from vqe.reporting.formats import NONE, format_number, format_signed
from vqe.reporting.pictures import Stills
from vqe.reporting.provenance import Origin
from vqe.reporting.run import SUPERVISED, Key
from vqe.reporting.series import Curve
from vqe.schema import ATTRIBUTES

SIDE_NAMES = {"input": "input", "target": "target"}
SIGNIFICANT = 6
DIGITS = {"rmse": 4, "flicker": 2, "luma": 1}  # 3 for all others


@dataclass(eq=False)
class Findings:
    """All that was found, before it is laid out.

    Attributes:
        names: of the runs.
        tables: of `build_videos`, one index.
        estimates: the tiles.
        compared: of `compare_videos`, None for one run.
        lists: of videos to look at.
        curves: by video.
        log_curves: of each run's training.
        origins: of each run.
    """

    names: list[str]
    tables: list[pd.DataFrame]
    estimates: list[Estimate]
    compared: pd.DataFrame | None
    lists: list[Ranked]
    curves: dict[Key, list[Curve]]
    log_curves: list[list[Curve]]
    origins: list[Origin]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Column:
    """A column of the table of all videos; `wide` ones are shown on request."""

    label: str
    hint: str
    wide: bool = False


def lay_out(found: Findings) -> dict[str, Any]:
    """Return what the template names, all but the videos with pictures."""
    labels = {"input": "input", "target": "target"}
    shown = ["enhanced"] if len(found.names) == 1 else found.names
    labels |= {f"run {i}": name for i, name in enumerate(shown)}
    main = [e for e in found.estimates if e.number.name not in ATTRIBUTES]
    scales = [e for e in found.estimates if e.number.name in ATTRIBUTES]
    return {
        "names": found.names,
        "labels": labels,
        "notes": found.notes,
        "main": main,
        "scales": list(zip(scales, _draw_scales(scales), strict=True)),
        "lists": [
            (ranked, [_describe(found, key) for key in ranked.keys]) for ranked in found.lists
        ],
        "compared": _describe_comparison(found),
        "log_charts": [[draw_curve(c) for c in curves] for curves in found.log_curves],
        "distributions": _draw_distributions(found, labels),
        "columns": list_columns(found),
        "rows": list_rows(found),
        "origins": found.origins,
        "series": _pack_curves(found),
    }


def describe_videos(
    found: Findings, stills: dict[Key, Stills], clips: dict[Key, Clip]
) -> list[dict[str, Any]]:
    """Return what the template names of each video with pictures, or with a reason for none."""
    return [_describe_video(found, key, stills, clips) for key in stills]


def _draw_scales(scales: list[Estimate]) -> list:
    rows = [
        [("input", e.before), *((f"run {i}", after) for i, after in enumerate(e.after))]
        for e in scales
    ]
    return draw_whiskers(rows)


def _describe(found: Findings, key: Key) -> dict[str, Any]:
    """Return a video's anchor and its main number, before and after."""
    measure = MEASURE[key[0]]
    tables = found.tables
    before = tables[0].at[key, measure + BEFORE]
    return {
        "anchor": tables[-1].at[key, "anchor"],
        "video_id": key[1],
        "kind": key[0],
        "measure": "RMSE" if measure == "rmse" else "p",
        "digits": DIGITS.get(measure, 3),
        "before": before,
        "after": [table.at[key, measure] for table in tables],
        "flicker": tables[-1].at[key, "flicker"],
    }


def _describe_comparison(found: Findings) -> dict[str, Any] | None:
    if found.compared is None:
        return None
    compared = found.compared
    changed = [
        _describe(found, key) | compared.loc[[key]].to_dict("records")[0]
        for key in compared.index[compared["changed"].astype(bool)]
    ]
    return {
        "changed": changed,
        "counts": {
            kind: {
                "videos": len(part),
                "second": int((part["better"] == "second").sum()),
                "first": int((part["better"] == "first").sum()),
            }
            for kind, part in compared.groupby(level=0)
        },
    }


def _draw_distributions(found: Findings, labels: dict[str, str]) -> list[Chart]:
    first, last = found.tables[0], found.tables[-1]
    charts: list[Chart | None] = []
    for name, title in (
        ("rmse", "RMSE"),
        ("p", "p"),
        ("quality", "Mean of the twelve scores"),
        ("flicker", "Flicker, 8-bit levels"),
    ):
        after = [(f"run {i}", labels[f"run {i}"], t[name]) for i, t in enumerate(found.tables)]
        columns = [("input", "input", first[name + BEFORE]), *after]
        charts.append(draw_histogram(f"{title}, over videos", title, columns))
        if len(found.tables) == 2:
            pair, axes = (first[name], last[name]), (found.names[0], found.names[1])
        else:
            pair, axes = (first[name + BEFORE], first[name]), ("before", "after")
        charts.append(
            draw_scatter(f"{title}: {axes[1]} against {axes[0]}", axes, *pair, last["anchor"])
        )
    return [chart for chart in charts if chart is not None]


def list_columns(found: Findings) -> list[Column]:
    """Return the columns of the table of all videos, behind the video's own."""
    columns = [Column("set", "with targets or without"), Column("frames", "tested")]
    for name, hint in (
        ("RMSE", "to the target, in challenge range; less is better"),
        ("p", "how likely the critic finds it better than the input"),
        ("scores", "mean of the twelve scores, all turned so that more is better"),
        ("flicker", "8-bit levels; less is better"),
    ):
        sides = ["before", *(["after"] if len(found.names) == 1 else found.names)]
        columns += [
            Column(f"{name}, {side}", hint, _is_wide(name, i)) for i, side in enumerate(sides)
        ]
    if found.compared is not None:
        hint = f"{found.names[1]} less {found.names[0]}: of RMSE with targets, else of p"
        columns.append(Column("difference", hint))
        columns += [Column("95 % interval", "of the difference, over frames")]
        columns += [Column("better", "where the interval does not hold 0")]
        columns += [Column("changed sides", "better than the input in one run alone")]
    columns += [Column(name, "the challenge's score, raw", wide=True) for name in ATTRIBUTES]
    return columns


def _is_wide(name: str, side: int) -> bool:
    return side == 0 and name in ("p", "scores")


def list_rows(found: Findings) -> list[tuple[str, str, list[str]]]:
    """Return anchor, video_id and cells of each video."""
    first, last = found.tables[0], found.tables[-1]
    columns = [last["subset"].tolist(), _format(last["frames"], 0)]
    for name in ("rmse", "p", "quality", "flicker"):
        for values in (first[name + BEFORE], *(table[name] for table in found.tables)):
            columns.append(_format(values, DIGITS.get(name, 3)))
    if found.compared is not None:
        columns += _list_comparison(found)
    columns += [_format(last[name], 3) for name in ATTRIBUTES]
    cells = map(list, zip(*columns, strict=True))
    ids = last.index.get_level_values(1)
    return list(zip(last["anchor"], ids, cells, strict=True))


def _format(values: pd.Series, digits: int) -> list[str]:
    return [format_number(value, digits) for value in values.astype(float).tolist()]


def _list_comparison(found: Findings) -> list[list[str]]:
    """Return the columns that compare two runs."""
    names = {"first": found.names[0], "second": found.names[1], "": ""}
    columns: list[list[str]] = [[], [], [], []]
    for (kind, _), row in zip(found.compared.index, found.compared.to_dict("records"), strict=True):
        digits = DIGITS.get(MEASURE[kind], 3)
        ends = [format_signed(row[end], digits) for end in ("low", "high")]
        columns[0].append(format_signed(row["difference"], digits))
        columns[1].append("" if NONE in ends else " to ".join(ends))
        columns[2].append(names[row["better"]])
        columns[3].append("yes" * row["changed"])
    return columns


def _describe_video(
    found: Findings, key: Key, stills: dict[Key, Stills], clips: dict[Key, Clip]
) -> dict[str, Any]:
    last = found.tables[-1].loc[key]
    fps = int(last["fps"])
    return _describe(found, key) | {
        "subset": last["subset"],
        "frames": last["frames"],
        "fps": fps,
        "facts": _list_facts(found, key),
        "lists": [ranked.title for ranked in found.lists if key in ranked.keys],
        "charts": [draw_curve(curve) for curve in found.curves.get(key, [])],
        "stills": stills[key],
        "clip": clips.get(key),
    }


def _list_facts(found: Findings, key: Key) -> list[tuple[str, list[str]]]:
    """Return rows of a video's numbers: name, before, and after in each run."""
    names = [("rmse", "RMSE")] if key[0] == SUPERVISED else [("p", "p"), ("quality", "scores")]
    names += [("flicker", "flicker"), ("luma", "mean luma")]
    rows = []
    for name, label in names:
        values = [found.tables[0].at[key, name + BEFORE], *(t.at[key, name] for t in found.tables)]
        texts = [format_number(float(v), DIGITS.get(name, 3)) for v in values]
        if any(text != NONE for text in texts):
            rows.append((label, texts))
    return rows


def _pack_curves(found: Findings) -> dict[str, Any]:
    """Return curves as the page's script takes them, by anchor, then of the logs by place."""

    def pack(curve: Curve) -> dict[str, Any]:
        lines = [{"side": li.side, "label": li.label, "y": li.values} for li in curve.lines]
        return {
            "name": curve.name,
            "title": curve.title,
            "xLabel": curve.x_label,
            "x": curve.x,
            "lines": lines,
        }

    anchors = found.tables[-1]["anchor"]
    return {
        "videos": {
            anchors[key]: [pack(curve) for curve in curves]
            for key, curves in found.curves.items()
            if key in anchors.index
        },
        "logs": [[pack(curve) for curve in curves] for curves in found.log_curves],
    }


def build_csv(found: Findings) -> str:
    """Return all videos' numbers as a CSV: a column a number, before, and after in each run."""
    return _build_export(found).to_csv(index=False, float_format=f"%.{SIGNIFICANT}g")


def build_json(found: Findings) -> dict[str, Any]:
    """Return all that the page says in numbers: {global: {name: ..}, videos: {column: [..]}}."""
    table = _build_export(found)
    return _drop_nan(
        {
            "runs": found.names,
            "global": [
                {
                    "name": e.number.name,
                    "kind": e.number.kind,
                    "videos": e.videos,
                    "before": asdict(e.before),
                    "after": [asdict(after) for after in e.after],
                    "change": asdict(e.change),
                }
                for e in found.estimates
            ],
            "videos": {name: table[name].tolist() for name in table},
            "provenance": [
                {"run": origin.name, **dict(origin.rows), "config": origin.config}
                for origin in found.origins
            ],
        }
    )


def _build_export(found: Findings) -> pd.DataFrame:
    first = found.tables[0]
    before = first.filter(regex="_input$").rename(columns=lambda c: c.replace("_input", " before"))
    parts = [first[["anchor", "subset", "frames", "fps"]], before]
    for name, table in zip(found.names, found.tables, strict=True):
        numbers = [c.removesuffix(BEFORE) for c in first if c.endswith(BEFORE)]
        after = "after" if len(found.names) == 1 else name
        parts.append(table[numbers].add_suffix(f" {after}"))
    if found.compared is not None:
        parts.append(found.compared[["difference", "low", "high", "better", "changed"]])
    return pd.concat(parts, axis=1).reset_index().dropna(axis=1, how="all")


def _drop_nan(value: Any) -> Any:
    """Return the same with None for what is no number, floats of six significant digits."""
    if isinstance(value, dict):
        return {str(k): _drop_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_drop_nan(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT}g}") if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value
