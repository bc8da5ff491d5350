"""The report's main plot: accuracy against steps per correct answer, an arrow from stage to stage.

In: one point per stage. Out: `<svg>` text for the page (`plots.py`). Labels stand beside their points, on
the side where they cover least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl.pages.style import stage_colour, stand_in
from rl.pages.svg import RC, to_svg
from rl.runs.record import Stage

MARKERS = {Stage.BASE: "s", Stage.WARM: "o", Stage.KEY_STEPS: "^", Stage.GRPO: "D"}
"""Matplotlib's names of the marks of the stages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StagePoint:
    """A stage in the plot of accuracy against steps; shares in 0..1."""

    stage: Stage
    steps: float
    accuracy: float
    low: float
    high: float


def trade_off(points: Sequence[StagePoint], full_steps: float, *, steps: str, name: str, alt: str) -> Markup:
    """Accuracy against steps per correct answer, an arrow from each stage to the next.

    Args:
        points: Stages in order; at least one.
        full_steps: Mean steps of the full traces, drawn as a vertical line.
        steps: Label of the x axis.
        name: Prefix of the SVG's ids, unique on the page.
        alt: A description, for screen readers.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=(4.6, 3.1), layout="constrained")
        axes = figure.subplots()
        places = [*(point.steps for point in points), full_steps]
        span = max(1.0, max(places) - min(places))
        axes.set_xlim(max(0.0, min(places) - 0.5 * span), max(places) + 0.5 * span)
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
        for first, second in pairwise(points):
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
        sides = label_sides(points, full_steps, axes.get_xlim(), axes.get_ylim())
        for point, (right, up) in zip(points, sides, strict=True):
            colour = stand_in(stage_colour(point.stage))
            y = 100 * point.accuracy
            axes.errorbar(
                [point.steps],
                [y],
                yerr=[[max(0.0, y - 100 * point.low)], [max(0.0, 100 * point.high - y)]],
                fmt=MARKERS[point.stage],
                markersize=7,
                color=colour,
                elinewidth=1.6,
                capsize=3.5,
                zorder=3,
            )
            axes.annotate(
                f"{point.stage.label}\n{y:.1f} %, {point.steps:.2f}",
                (point.steps, y),
                xytext=(11 * right, 17 * up),
                textcoords="offset points",
                ha="left" if right > 0 else "right",
                va="center",
                color=colour,
                linespacing=1.3,
                bbox={"boxstyle": "square,pad=0.15", "facecolor": stand_in("paper"), "edgecolor": "none"},
                zorder=2.5,
            )
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlabel(steps)
        axes.set_ylabel("correct, %")
        return to_svg(figure, name, alt)


def label_sides(
    points: Sequence[StagePoint], full_steps: float, across: tuple[float, float], up: tuple[float, float]
) -> list[tuple[int, int]]:
    """The side of its point where each label covers least.

    Args:
        points: Stages in order.
        full_steps: Where the line of the full traces stands.
        across: Ends of the x axis.
        up: Ends of the y axis, in percent.

    Returns:
        For each point 1 (right) or -1 (left), and 1 (above), 0 (level) or -1 (below).
    """
    scale = np.array([across[1] - across[0], up[1] - up[0]])
    places = [(np.array([p.steps, 100 * p.accuracy]) - [across[0], up[0]]) / scale for p in points]
    along = np.linspace(0, 1, 21)[:, None]
    things = [first + along * (second - first) for first, second in pairwise(places)]
    for point, place in zip(points, places, strict=True):
        heights = (100 * (point.low + along[:, 0] * (point.high - point.low)) - up[0]) / scale[1]
        things.append(np.stack([np.full_like(heights, place[0]), heights], axis=1))
    reference = np.stack([np.full(4, (full_steps - across[0]) / scale[0]), np.linspace(0.05, 0.95, 4)], axis=1)
    taken = np.concatenate([*things, reference])
    width, height, chosen = 0.27, 0.14, []  # of a label, as shares of the axes
    half = np.array([width / 2, height / 2])
    for place in places:
        best: tuple[float, tuple[int, int], np.ndarray[Any, Any]] | None = None
        for side in ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            middle = place + np.array([side[0] * (0.04 + width / 2), side[1] * 0.095])
            inside = np.all(np.abs(taken - middle) < half, axis=1)
            over = np.maximum(0, np.abs(middle - 0.5) + half - 0.5).sum()
            cost = float(inside.sum() + 100 * over)
            if best is None or cost < best[0]:
                best = (cost, side, middle)
        assert best is not None
        chosen.append(best[1])
        grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 7), np.linspace(-0.5, 0.5, 5)), axis=-1).reshape(
            -1, 2
        )
        taken = np.concatenate([taken, best[2] + grid * [width, height]])
    return chosen
