"""All that a report says -> one HTML file: styles, scripts, pictures and data within it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from vqe.reporting.charts import HEIGHT, WIDTH
from vqe.reporting.formats import format_interval, format_number, format_signed

PAGES = Path(__file__).with_name("pages")
VENDOR = Path(__file__).with_name("vendor")
SCRIPTS = {"first": PAGES / "first.js", "uplot": VENDOR / "uPlot.iife.min.js"}
SCRIPTS["page"] = PAGES / "report.js"
STYLES = (VENDOR / "uPlot.min.css", PAGES / "report.css")


def render_page(**content: Any) -> str:
    """Fill the page in; whatever is put into it is escaped.

    Args:
        content: what `report.html` names.
    """
    scripts = {name: _read(path) for name, path in SCRIPTS.items()}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": format_number,
        "signed": format_signed,
        "interval": format_interval,
        "fragment": lambda anchor: "#" + quote(anchor, safe=""),
        "json": to_json,
        "megabytes": lambda size: f"{size / 1e6:.1f} MB",
    }
    return environment.get_template("report.html").render(
        scripts={name: Markup(text) for name, text in scripts.items()},
        styles=Markup("\n".join(map(_read, STYLES))),
        policy=_write_policy(scripts.values()),
        chart_size=(WIDTH, HEIGHT),
        **content,
    )


def to_json(value: Any) -> Markup:
    """Return JSON that may stand in a script element: no `<` can end it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def link_csv(text: str) -> str:
    """Return a link that holds a CSV."""
    return "data:text/csv;charset=utf-8," + quote(text, safe=",;:=!*()~-_.'/@ ")


def link_json(value: Any) -> str:
    """Return a link that holds JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
    return "data:application/json;base64," + base64.b64encode(text.encode()).decode("ascii")


def _write_policy(scripts: Any) -> str:
    """Allow the page's own scripts by their digests, and nothing from any network."""
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in scripts
    )
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; "
        "img-src data: blob:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").replace("\r\n", "\n")
