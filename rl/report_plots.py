"""The report's plots as SVG text that can stand inside a page.

In: plain numbers. Out: one `<svg>` a panel, in the page's colours (`report_style.py`), the same bytes every time.
Text from a model or a config never gets into a plot: titles, legends and names are the page's.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from rl.report_style import COLOURS, stage_colour, stand_in

MARKERS = {"base": "s", "warm": "o", "grpo": "D"}
LINE_STYLES = ("solid", "dashed", "dotted")

_RC = {
    "svg.hashsalt": "report",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": stand_in("muted"),
    "axes.labelcolor": stand_in("muted"),
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "grid.color": stand_in("rule"),
    "grid.linewidth": 0.6,
    "xtick.color": stand_in("muted"),
    "ytick.color": stand_in("muted"),
    "text.color": stand_in("ink"),
    "hatch.linewidth": 0.6,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A stage in the plot of accuracy against steps; shares in 0..1."""

    stage: str
    text: str
    steps: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One line of a panel: values over updates, NaN where there is none."""

    values: Sequence[float]
    colour: str
    style: str


def trade_off(points: Sequence[Point], full_steps: float, *, name: str, alt: str) -> str:
    """Accuracy against steps per correct answer, an arrow from each stage to the next.

    Args:
        points: Stages in order; at least one.
        full_steps: Mean steps of the full traces, drawn as a vertical line.
        name: Prefix of the SVG's ids, unique on the page.
        alt: What the plot shows, for screen readers.
    """
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(4.6, 3.1), layout="constrained")
        axes = figure.subplots()
        steps = [*(point.steps for point in points), full_steps]
        span = max(1.0, max(steps) - min(steps))
        axes.set_xlim(max(0.0, min(steps) - 0.45 * span), max(steps) + 0.45 * span)
        low = 100 * min(point.low for point in points)
        axes.set_ylim(max(0.0, min(80.0, 10 * np.floor((low - 4) / 10))), 102)
        axes.axvline(full_steps, color=stand_in("muted"), linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
        axes.annotate(
            f"full traces {full_steps:.2f}",
            (full_steps, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            color=stand_in("muted"),
        )
        for first, second in zip(points, points[1:], strict=False):
            axes.annotate(
                "",
                (second.steps, 100 * second.accuracy),
                (first.steps, 100 * first.accuracy),
                arrowprops={
                    "arrowstyle": "-|>,head_width=0.3,head_length=0.6",
                    "color": stand_in("muted"),
                    "linewidth": 1.2,
                    "shrinkA": 7,
                    "shrinkB": 7,
                },
                zorder=2,
            )
        sideways = sorted(points, key=lambda point: (point.steps, -points.index(point)))
        for point in points:
            colour = stand_in(stage_colour(point.stage))
            y = 100 * point.accuracy
            axes.errorbar(
                [point.steps],
                [y],
                yerr=[[max(0.0, y - 100 * point.low)], [max(0.0, 100 * point.high - y)]],
                fmt=MARKERS.get(point.stage, "^"),
                markersize=7,
                color=colour,
                elinewidth=1.6,
                capsize=3.5,
                zorder=3,
            )
            place = sideways.index(point)
            left, right = place == 0 and len(points) > 1, place == len(points) - 1
            axes.annotate(
                f"{point.text}\n{y:.1f} %, {point.steps:.2f}",
                (point.steps, y),
                xytext=(-11 if left else 11, 0 if left or right else -24),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                color=colour,
                linespacing=1.3,
                bbox={"boxstyle": "square,pad=0.15", "facecolor": stand_in("paper"), "edgecolor": "none"},
                zorder=2.5,
            )
        axes.set_xlabel("steps per correct answer")
        axes.set_ylabel("correct, %")
        return _svg(figure, name, alt)


def curves(
    updates: Sequence[int],
    lines: Sequence[Curve],
    *,
    unit: str,
    from_zero: bool,
    logarithmic: bool,
    window: int,
    name: str,
    alt: str,
) -> str:
    """One panel of values over updates: raw faint, running mean on top.

    Args:
        updates: x values.
        lines: What to draw.
        unit: Label of the y axis.
        from_zero: Start the y axis at 0.
        logarithmic: Logarithmic y axis.
        window: Width of the running mean, in updates.
        name: Prefix of the SVG's ids, unique on the page.
        alt: What the panel shows, for screen readers.
    """
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(3.7, 2.05), layout="constrained")
        axes = figure.subplots()
        for line in lines:
            colour, values = stand_in(line.colour), np.asarray(line.values, dtype=float)
            if logarithmic:
                values = np.where(values > 0, values, np.nan)
            mark = "o" if len(updates) == 1 else None
            axes.plot(updates, values, color=colour, linewidth=0.7, alpha=0.35, marker=mark, markersize=4)
            axes.plot(updates, running_mean(values, window), color=colour, linewidth=1.6, linestyle=line.style)
        if logarithmic:
            axes.set_yscale("log")
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
            if axes.get_ylim()[1] >= 1000:
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            if from_zero:
                axes.set_ylim(0, max(axes.get_ylim()[1], 0.05))
        if len(updates) > 1:
            axes.set_xlim(updates[0], updates[-1])
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("update")
        axes.set_ylabel(unit)
        return _svg(figure, name, alt)


def step_counts(
    stages: Sequence[tuple[str, Sequence[int], Sequence[int]]], full: Sequence[int], *, name: str, alt: str
) -> str:
    """How many steps completions take: one row of bars a stage, correct below, not correct on top.

    Args:
        stages: Stage, steps of its correct completions, steps of the others.
        full: Steps of the full traces of the same problems, drawn as an outline.
        name: Prefix of the SVG's ids, unique on the page.
        alt: What the plot shows, for screen readers.
    """
    last = min(max([*full, *(n for _, right, wrong in stages for n in (*right, *wrong)), 1]), 2 * max(full) + 6)
    bins = np.arange(last + 1)
    outline = _shares(full, last, len(full))
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(4.4, 0.55 + 1.25 * len(stages)), layout="constrained")
        rows = figure.subplots(len(stages), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (stage, right, wrong) in zip(rows, stages, strict=True):
            num = len(right) + len(wrong)
            below, above = _shares(right, last, num), _shares(wrong, last, num)
            axes.bar(bins, below, width=0.82, color=stand_in(stage_colour(stage)))
            axes.bar(
                bins,
                above,
                width=0.82,
                bottom=below,
                facecolor=stand_in("wrong"),
                edgecolor=stand_in("muted"),
                hatch="////",
                linewidth=0.5,
            )
            axes.stairs(outline, np.arange(last + 2) - 0.5, color=stand_in("ink"), linewidth=1.0)
            axes.grid(visible=False, axis="x")
            axes.set_ylabel("problems, %")
            axes.yaxis.set_major_locator(MaxNLocator(4))
        rows[-1].xaxis.set_major_locator(MaxNLocator(10, integer=True))
        rows[-1].set_xlabel(f"steps written ({last} stands for {last} or more)")
        rows[-1].set_xlim(-0.6, last + 0.6)
        return _svg(figure, name, alt)


def running_mean(values: Sequence[float] | np.ndarray[Any, Any], window: int) -> np.ndarray[Any, Any]:
    """Mean over the `window` values around each one, fewer at the ends; NaN values are left out.

    Example: running_mean([1, 2, 6], 3) -> [1.5, 3, 4].
    """
    raw = np.asarray(values, dtype=float)
    known = np.isfinite(raw)
    kernel = np.ones(2 * (window // 2) + 1)
    half = len(kernel) // 2
    total = np.convolve(np.pad(np.where(known, raw, 0.0), half), kernel, mode="valid")
    count = np.convolve(np.pad(known.astype(float), half), kernel, mode="valid")
    return np.where(known, total / np.maximum(count, 1.0), np.nan)


def _shares(counts: Iterable[int], last: int, num: int) -> np.ndarray[Any, Any]:
    found = Counter(min(count, last) for count in counts)
    return np.array([100.0 * found[n] / max(num, 1) for n in range(last + 1)])


def _svg(figure: Figure, name: str, alt: str) -> str:
    buffer = io.StringIO()
    figure.savefig(
        buffer,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    body = text[text.index(">") + 1 :]
    width, height = (float(part) * 72 for part in figure.get_size_inches())
    body = re.sub(r"(\d\.\d\d)\d+", r"\1", body)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    for colour in COLOURS:
        body = body.replace(stand_in(colour), f"var(--{colour})")
    body = re.sub(r"\n\s*", "\n", body)
    return f'<svg viewBox="0 0 {width:.2f} {height:.2f}" role="img" aria-label="{alt}">{body.strip()}'
