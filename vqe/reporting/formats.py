"""Numbers -> text for people."""

import math
from typing import Any

from vqe.reporting.intervals import Interval

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def format_number(value: Any, digits: int = 3) -> str:
    """Return a number as text, a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NONE
    return f"{value:,.{digits}f}".replace("-", MINUS)


def format_signed(value: Any, digits: int = 3) -> str:
    """Return a number with its sign."""
    text = format_number(value, digits)
    return text if text == NONE or text.startswith(MINUS) else "+" + text


def format_interval(interval: Interval, digits: int = 3) -> str:
    """Return an interval's ends, nothing where there are none."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    return f"{format_number(interval.low, digits)} to {format_number(interval.high, digits)}"
