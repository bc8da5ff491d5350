"""Accuracy against what it costs: a plot of every split and cost, with the Pareto front.

In: a `Study`. Out: HTML. A point is the mean over seeds, its bars the 95 % interval of the mean
(`rl.stats.intervals`), small dots single seeds. A case is on the front if no other is at least as accurate at
no higher cost, and better in one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from rl.compare.means import mean_share
from rl.compare.results import Figure
from rl.compare.study import Study
from rl.pages.comparison.labels import Place, place_labels
from rl.pages.comparison.legend import Start, case_style, legend, start_keys
from rl.pages.html import visible
from rl.pages.style import stand_in
from rl.pages.svg import RC, to_svg
from rl.runs.record import SplitResult
from rl.stats.intervals import mean_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cost:
    """A figure that is drawn against accuracy.

    Attributes:
        figure: Of a result.
        title: Label of the x axis.
        name: Part of the SVG's ids.
    """

    figure: Figure
    title: str
    name: str


COSTS = (
    _Cost(figure=lambda result: result.steps_per_correct, title="steps per correct answer", name="steps"),
    _Cost(figure=lambda result: result.backtracks, title="backtracks per trace", name="backtracks"),
    _Cost(figure=lambda result: result.tokens, title="tokens per trace", name="tokens"),
)
"""What is drawn against accuracy."""

_SIZE = (3.7, 3.0)
_MARGINS = {"left": 0.135, "right": 0.965, "bottom": 0.145, "top": 0.975}
_LEADER = 12.0  # a label further off than this has a line to its point


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A case, or what it began with, in one plot.

    Attributes:
        key: Its letter.
        name: Its name.
        colour: Name of its colour.
        marker: Matplotlib's name of its mark.
        hollow: Whether it is what others began with.
        costs: By seed.
        accuracies: Of the same seeds, in percent.
        interval: Ends of the mean accuracy's 95 % interval, in percent.
    """

    key: str
    name: str
    colour: str
    marker: str
    hollow: bool
    costs: tuple[float, ...]
    accuracies: tuple[float, ...]
    interval: tuple[float, float]

    @property
    def middle(self) -> Place:
        """Means over seeds."""
        return fmean(self.costs), fmean(self.accuracies)


def trade_offs(study: Study) -> str:
    """The section's legend and plots."""
    starts = start_keys(study.cases, study.entries)
    parts = [legend(study.cases, starts)]
    for cost in COSTS:
        title = cost.title
        if not any(cost.figure(entry.mean()) for found in study.compared().values() for entry in found):
            parts.append(f"<h3>Accuracy against {title}</h3><p>There are none in any case.</p>")
            continue
        figures = []
        for split in study.splits:
            points, absent = _points(study, split, cost.figure, starts)
            name = f"front-{cost.name}-{study.splits.index(split)}"
            figures.append(_figure(split, title, points, absent, name))
        wide = "" if len(figures) % 3 == 0 else " wide"
        parts.append(f'<h3>Accuracy against {title}</h3><div class="panels top{wide}">{"".join(figures)}</div>')
    return "".join(parts)


def pareto_front(points: Sequence[Place]) -> list[int]:
    """Which points (cost, accuracy) no other one beats, the cheapest first.

    Example: of (1, 50), (2, 80), (3, 70) the first two: the third costs more than the second and is worse.
    """
    on = [
        place
        for place, (cost, accuracy) in enumerate(points)
        if not any(c <= cost and a >= accuracy and (c < cost or a > accuracy) for c, a in points)
    ]
    return sorted(on, key=lambda place: points[place])


def _points(
    study: Study, split: str, cost: Figure, starts: Mapping[Start, str]
) -> tuple[list[Point], list[str]]:
    """The points there are, and what is to be said of those there are not."""
    points, absent = [], []
    for place, case in enumerate(study.cases):
        rows = {seed: record.results[split] for seed, record in case.last().items() if split in record.results}
        if not rows:
            continue
        style = case_style(place)
        found = _point(case.key, case.name, style.colour, style.marker, rows, cost)
        if found is not None:
            points.append(found)
        without = [seed for seed, row in rows.items() if cost(row) is None]
        if without and found is None:
            absent.append(f"{case.name}, no correct answer")
        elif without:
            absent.append(f"seed {', '.join(map(str, without))} of {case.name}, no correct answer")
    for entry in study.entries:
        key = starts.get((entry.cases, entry.stage))
        if key is not None and entry.split == split:
            start = _point(key, entry.name, "muted", "o", entry.results, cost, hollow=True)
            points += [start] if start is not None else []
    return points, absent


def _point(
    key: str,
    name: str,
    colour: str,
    marker: str,
    results: Mapping[int, SplitResult],
    cost: Figure,
    *,
    hollow: bool = False,
) -> Point | None:
    known = [(value, result) for result in results.values() if (value := cost(result)) is not None]
    if not known:
        return None
    _, low, high = mean_share([result for _, result in known], lambda result: result.accuracy)
    return Point(
        key=key,
        name=name,
        colour=colour,
        marker=marker,
        hollow=hollow,
        costs=tuple(value for value, _ in known),
        accuracies=tuple(100 * result.accuracy for _, result in known),
        interval=(100 * low, 100 * high),
    )


def _figure(split: str, title: str, points: Sequence[Point], absent: Sequence[str], name: str) -> str:
    cases = [point for point in points if not point.hollow]
    front = [cases[place] for place in pareto_front([point.middle for point in cases])]
    said = f"<p>Front: {', '.join(map(_named, front))}.</p>" if cases else ""
    if absent:
        said += f"<p>Without a point: {visible('; '.join(absent))}.</p>"
    svg = _svg(title, points, front, name, split) if points else ""
    return f"<figure><figcaption>{visible(split)}</figcaption>{svg}<div class=under>{said}</div></figure>"


def _named(point: Point) -> str:
    return f'<span class="nb"><b>{point.key}</b> {visible(point.name)}</span>'


def _svg(title: str, points: Sequence[Point], front: Sequence[Point], name: str, split: str) -> str:
    with mpl.rc_context(RC):
        figure = Canvas(figsize=_SIZE)
        figure.subplots_adjust(**_MARGINS)
        axes = figure.subplots()
        _limit(axes, points)
        bars = [*_draw_front(axes, front), *(bar for point in points for bar in _draw(axes, point))]
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(title)
        axes.set_ylabel("correct, %")
        axes.yaxis.set_label_coords(-0.115, 0.5)
        _label(figure, axes, points, bars)
        said = "; ".join(
            f"{point.key} {point.name} {point.middle[1]:.1f} % at {point.middle[0]:.2f}" for point in points
        )
        return to_svg(figure, name, visible(f"Accuracy against {title} on {split}: {said}"))


def _limit(axes: Axes, points: Sequence[Point]) -> None:
    """Room for every seed; intervals of few seeds are so wide that they would leave none for what differs."""
    costs = [cost for point in points for cost in point.costs]
    shares = [share for point in points for share in point.accuracies]
    across = max(0.12 * (max(costs) - min(costs)), 0.02 * max(costs), 0.02)
    up = max(0.12 * (max(shares) - min(shares)), 2.0)
    axes.set_xlim(max(-0.25 * across, min(costs) - across), max(costs) + across)
    axes.set_ylim(max(-0.25 * up, min(shares) - up), min(100 + 0.25 * up, max(shares) + up))


def _draw_front(axes: Axes, front: Sequence[Point]) -> list[Place]:
    """Draw the stairs of the front, to the right edge; return places along them."""
    if not front:
        return []
    corners = [front[0].middle]
    for point in front[1:]:
        corners += [(point.middle[0], corners[-1][1]), point.middle]
    corners.append((axes.get_xlim()[1], corners[-1][1]))
    axes.plot(
        *zip(*corners, strict=True),
        color=stand_in("muted"),
        linewidth=1.1,
        linestyle=(0, (4, 2.5)),
        zorder=1.5,
    )
    return [(float(x), float(y)) for one, other in pairwise(corners) for x, y in np.linspace(one, other, 24)]


def _draw(axes: Axes, point: Point) -> list[Place]:
    """Draw a point; return places along its bars, in units of the axes."""
    ink = stand_in(point.colour)
    x, left, right = mean_interval(point.costs)
    y, (low, high) = point.middle[1], point.interval
    if len(point.costs) > 1:
        axes.plot(
            point.costs, point.accuracies, point.marker, markersize=2.2, color=ink, alpha=0.5, zorder=2, mew=0
        )
    axes.errorbar(
        [x],
        [y],
        xerr=None if math.isnan(left) else [[x - left], [right - x]],
        yerr=[[max(0.0, y - low)], [max(0.0, high - y)]],
        fmt=point.marker,
        markersize=5 if point.hollow else 6.5,
        color=ink,
        markerfacecolor=stand_in("paper") if point.hollow else ink,
        ecolor=(ink, 0.45),
        elinewidth=0.7,
        zorder=3,
    )
    (least, most), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    along = [(x, float(value)) for value in np.linspace(max(bottom, low), min(top, high), 24)]
    if math.isnan(left):
        return along
    return along + [(float(value), y) for value in np.linspace(max(least, left), min(most, right), 24)]


def _label(figure: Canvas, axes: Axes, points: Sequence[Point], bars: Sequence[Place]) -> None:
    scale = 72 / figure.dpi
    places = _in_points(axes, [point.middle for point in points], scale)
    corners = _in_points(axes, list(zip(axes.get_xlim(), axes.get_ylim(), strict=True)), scale)
    box = (*corners[0], *corners[1])
    found = place_labels(places, [point.key for point in points], _in_points(axes, bars, scale), box)
    for point, (x, y), (u, v) in zip(points, places, found, strict=True):
        far = math.hypot(u - x, v - y) > _LEADER
        axes.annotate(
            point.key,
            point.middle,
            xytext=(u - x, v - y),
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            color=stand_in(point.colour if point.hollow else "ink"),
            fontsize=8.5,
            fontweight="normal" if point.hollow else "bold",
            arrowprops={
                "arrowstyle": "-",
                "color": stand_in("muted"),
                "linewidth": 0.5,
                "shrinkA": 0,
                "shrinkB": 3,
            }
            if far
            else None,
            zorder=4,
        )


def _in_points(axes: Axes, places: Sequence[Place], scale: float) -> list[Place]:
    if not places:
        return []
    return [(float(x) * scale, float(y) * scale) for x, y in axes.transData.transform(places)]
