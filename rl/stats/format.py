"""Figures as a reader meets them."""

from __future__ import annotations

import math


def percent(share: float | None) -> str:
    """A share as text: 0.975 is "97.5 %"; a dash where there is none."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.1f} %"
