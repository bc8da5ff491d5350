"""Figures as text, for pages and for text tables."""

from __future__ import annotations

import math

ABSENT = "–"
"""Shown on a page where there is no figure."""

_MINUTE = 60  # seconds


def percent(share: float | None) -> str:
    """A share as text: 0.975 is "97.5 %"."""
    return ABSENT if share is None or not math.isfinite(share) else f"{100 * share:.1f} %"


def bare_percent(share: float | None) -> str:
    """A share without its unit: 0.975 is "97.5"."""
    return percent(share).removesuffix(" %")


def number(value: float | None, digits: int = 2) -> str:
    """A figure as text: 1234.5 is "1,234.50"."""
    return ABSENT if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def table_number(value: float | None, digits: int = 2) -> str:
    """A figure in a text table: 1234.5 is "1234.50"; a missing one is "-"."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """A difference as text: "+0.50", "−0.50", and "0.00" where it rounds to nothing."""
    text = f"{value:+,.{digits}f}"
    return text.replace("-", "−") if text.strip("+-0.") else text[1:]


def duration(seconds: float) -> str:
    """A time as text: "40 s", "1 min 15 s", "12 min", "1 h 05 min"."""
    if seconds < 10 * _MINUTE:
        minutes, rest = divmod(round(seconds), _MINUTE)
        parts = [f"{minutes} min"] * (minutes > 0) + [f"{rest} s"] * (rest > 0 or not minutes)
        return " ".join(parts)
    hours, minutes = divmod(round(seconds / _MINUTE), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
