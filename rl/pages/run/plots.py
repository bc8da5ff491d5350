"""The plots of a run's report as SVG text.

In: plain numbers. Out: one `<svg>` per panel, in the page's colours (`style.py`), the same bytes every time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rl.pages.style import stage_colour, stand_in
from rl.pages.svg import RC, name_y_axis, running_mean, to_svg
from rl.runs.record import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One line of a panel: values over updates, NaN where there is none."""

    values: Sequence[float]
    colour: str
    style: str


def curves(
    updates: Sequence[int],
    lines: Sequence[Curve],
    *,
    unit: str,
    from_zero: bool,
    logarithmic: bool,
    window: int | None,
    name: str,
    alt: str,
) -> Markup:
    """One panel of values over updates: raw faint, running mean on top; updates without a value are left out.

    Args:
        updates: x values.
        lines: What to draw.
        unit: Label of the y axis.
        from_zero: Start the y axis at 0.
        logarithmic: Logarithmic y axis.
        window: Width of the running mean, in updates; None: draw the values themselves, with marks.
        name: Prefix of the SVG's ids, unique on the page.
        alt: A description, for screen readers.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=(3.7, 2.05))
        figure.subplots_adjust(left=0.145, right=0.985, bottom=0.19, top=0.885)
        axes = figure.subplots()
        for line in lines:
            colour, values = stand_in(line.colour), np.asarray(line.values, dtype=float)
            if logarithmic:
                values = np.where(values > 0, values, np.nan)
            known = np.isfinite(values)
            places, values = np.asarray(updates)[known], values[known]
            if window is None:
                look: dict[str, Any] = {
                    "linewidth": 1.6,
                    "linestyle": line.style,
                    "marker": "o",
                    "markersize": 3.5,
                }
                axes.plot(places, values, color=colour, **look)
                continue
            mark = "o" if len(updates) == 1 else None
            axes.plot(places, values, color=colour, linewidth=0.7, alpha=0.35, marker=mark, markersize=4)
            axes.plot(places, running_mean(values, window), color=colour, linewidth=1.6, linestyle=line.style)
        if logarithmic:
            axes.set_yscale("log")
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
            if axes.get_ylim()[1] >= 1000:
                axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
            if from_zero:
                axes.set_ylim(0, max(axes.get_ylim()[1], 1.05 * axes.dataLim.y1, 0.05))
            if unit == "%" and axes.dataLim.y1 <= 100:
                axes.set_ylim(top=min(100, axes.get_ylim()[1]))
        if len(updates) > 1:
            axes.set_xlim(updates[0], updates[-1])
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("update")
        name_y_axis(axes, unit)
        return to_svg(figure, name, alt)


def step_counts(
    stages: Sequence[tuple[Stage, Sequence[int], Sequence[int]]], full: Sequence[int], *, name: str, alt: str
) -> Markup:
    """How many steps completions take: one row of bars a stage, correct below, not correct on top.

    Args:
        stages: Stage, steps of its correct completions, steps of the others.
        full: Steps of the full traces of the same problems, drawn as an outline.
        name: Prefix of the SVG's ids, unique on the page.
        alt: A description, for screen readers.
    """
    seen = [*full, *(n for _, right, wrong in stages for n in (*right, *wrong))]
    last = max(1, min(max(seen), 2 * max(full) + 6))
    bins = np.arange(last + 1)
    outline = _shares(full, last, len(full))
    with mpl.rc_context(RC):
        figure = Figure(figsize=(3.7, 0.5 + 1.1 * len(stages)), layout="constrained")
        rows = figure.subplots(len(stages), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (stage, right, wrong) in zip(rows, stages, strict=True):
            num = len(right) + len(wrong)
            below, above = _shares(right, last, num), _shares(wrong, last, num)
            there = below > 0
            axes.bar(bins[there], below[there], width=0.82, color=stand_in(stage_colour(stage)))
            there = above > 0
            axes.bar(
                bins[there],
                above[there],
                width=0.82,
                bottom=below[there],
                facecolor=stand_in("wrong"),
                edgecolor=stand_in("muted"),
                hatch="////",
                linewidth=0.5,
            )
            axes.stairs(outline, np.arange(last + 2) - 0.5, color=stand_in("ink"), linewidth=1.0)
            axes.grid(visible=False, axis="x")
            name_y_axis(axes, "problems, %")
            axes.yaxis.set_major_locator(MaxNLocator(4))
        rows[-1].xaxis.set_major_locator(MaxNLocator(10, integer=True))
        more = f" ({last}: or more)" if max(seen) > last else ""
        rows[-1].set_xlabel(f"steps written{more}")
        rows[-1].set_xlim(-0.6, last + 0.6)
        return to_svg(figure, name, alt)


def _thousands(value: float, position: int | None = None) -> str:
    return f"{value / 1000:g}k"


def _shares(counts: Iterable[int], last: int, num: int) -> np.ndarray[Any, Any]:
    found = Counter(min(count, last) for count in counts)
    return np.array([100.0 * found[n] / max(num, 1) for n in range(last + 1)])
