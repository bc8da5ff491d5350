"""Accuracy against cost: a plot for every split and cost, with the Pareto front.

In: a `Study`. Out: plots as data for the template. A point is the mean over seeds, its bars are the 95 %
interval of the mean (Student's t), small dots are single seeds. A point is on the front if no other one is at
least as accurate at no higher cost and better in one of the two; stages that cases start from count as points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from rl.compare.means import mean_share
from rl.compare.results import Figure
from rl.compare.study import Study
from rl.pages.comparison.labels import Place, place_labels
from rl.pages.comparison.legend import Start, case_style, start_keys, start_name
from rl.pages.figures import Plot
from rl.pages.render import visible
from rl.pages.steps import worded
from rl.pages.style import stand_in
from rl.pages.svg import RC, name_y_axis, to_svg
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
"""The costs that accuracy is drawn against."""

_SIZE = (3.7, 3.0)
_MARGINS = {"left": 0.11, "right": 0.965, "bottom": 0.145, "top": 0.925}
_REACH = 1.0  # how far an axis follows the intervals beyond the seeds, as a share of the seeds' range
_LEADER = 12.0  # a label further off than this has a line to its point


@dataclass(frozen=True, kw_only=True, slots=True)
class CasePoint:
    """A case, or a stage that cases start from, in one plot.

    Attributes:
        key: Its letter.
        name: Its name.
        colour: Name of its colour.
        marker: Matplotlib's name of its mark.
        hollow: Whether it is a stage that cases start from.
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
    interval: Place

    @property
    def middle(self) -> Place:
        """Means over seeds."""
        return fmean(self.costs), fmean(self.accuracies)


@dataclass(frozen=True, kw_only=True, slots=True)
class TradeOff:
    """Accuracy against one cost: one plot per split, or none if the cost is 0 in every case."""

    title: str
    plots: tuple[Plot, ...]


def trade_offs(study: Study) -> list[TradeOff]:
    """The plots of every cost."""
    starts = start_keys(study.cases, study.entries)
    made = []
    for cost in COSTS:
        title = worded(cost.title, checked=study.steps_checked)
        plots: list[Plot] = []
        if any(cost.figure(entry.mean()) for found in study.compared().values() for entry in found):
            for place, split in enumerate(study.splits):
                points, absent = _points(study, split, cost.figure, starts)
                plots.append(front_plot(split, title, points, absent, f"front-{cost.name}-{place}"))
        made.append(TradeOff(title=title, plots=tuple(plots)))
    return made


def pareto_front(points: Sequence[Place]) -> list[int]:
    """Places of the points (cost, accuracy) that no other one beats, the cheapest first.

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
) -> tuple[list[CasePoint], list[str]]:
    """The points, and a remark for every seed or case without one."""
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
            name = start_name(study.cases, (entry.cases, entry.stage))
            start = _point(key, name, "muted", "o", entry.results, cost, hollow=True)
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
) -> CasePoint | None:
    known = [(value, result) for result in results.values() if (value := cost(result)) is not None]
    if not known:
        return None
    _, low, high = mean_share([result for _, result in known], lambda result: result.accuracy)
    return CasePoint(
        key=key,
        name=name,
        colour=colour,
        marker=marker,
        hollow=hollow,
        costs=tuple(value for value, _ in known),
        accuracies=tuple(100 * result.accuracy for _, result in known),
        interval=(100 * low, 100 * high),
    )


def front_plot(split: str, title: str, points: Sequence[CasePoint], absent: Sequence[str], name: str) -> Plot:
    """Accuracy against a cost on a split, with the Pareto front.

    Args:
        split: Title of the plot.
        title: Label of the x axis.
        points: What to draw.
        absent: Remarks on what has no point.
        name: Prefix of the SVG's ids, unique on the page.
    """
    front = [points[place] for place in pareto_front([point.middle for point in points])]
    below: list[Markup] = []
    if front:
        named = Markup(", ").join(map(_named, front))
        below.append(Markup("Front: {}.").format(named))
    if absent:
        below.append(Markup("Without a point: {}.").format(visible("; ".join(absent))))
    svg = _svg(title, points, front, name, split) if points else Markup("")
    return Plot(title=split, svg=svg, below=tuple(below))


def _named(point: CasePoint) -> Markup:
    return Markup('<span class="nb"><b>{}</b> {}</span>').format(point.key, visible(point.name))


def _svg(title: str, points: Sequence[CasePoint], front: Sequence[CasePoint], name: str, split: str) -> Markup:
    with mpl.rc_context(RC):
        figure = Canvas(figsize=_SIZE)
        figure.subplots_adjust(**_MARGINS)
        axes = figure.subplots()
        _limit(axes, points)
        bars = [*_draw_front(axes, front), *(bar for point in points for bar in _draw(axes, point))]
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(title)
        name_y_axis(axes, "correct, %")
        _label(figure, axes, points, bars)
        about = "; ".join(
            f"{point.key} {point.name} {point.middle[1]:.1f} % at {point.middle[0]:.2f}" for point in points
        )
        return to_svg(figure, name, f"Accuracy against {title} on {split}: {about}")


def _limit(axes: Axes, points: Sequence[CasePoint]) -> None:
    """Show every seed, and every interval that does not reach much further than the seeds do."""
    costs = [point.costs for point in points]
    left, right = _range(costs, [mean_interval(seeds)[1:] for seeds in costs], math.inf)
    shares = [point.accuracies for point in points]
    low, high = _range(shares, [point.interval for point in points], 100.0)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)


def _range(values: Sequence[Sequence[float]], intervals: Sequence[Place], most: float) -> Place:
    """Lower and upper end of an axis.

    With two seeds an interval can be ten times as wide as all seeds together, so that nothing else could be
    seen: beyond `_REACH` times their range on each side it is cut, which an arrow shows.
    """
    every = [value for seeds in values for value in seeds]
    ends = [end for interval in intervals for end in interval if not math.isnan(end)]
    span = max(max(every) - min(every), 0.05 * max(every), 0.05 if most == math.inf else 2.0)
    low = max(min([*every, *ends]), min(every) - _REACH * span, 0.0)
    high = min(max([*every, *ends]), max(every) + _REACH * span, most)
    room = 0.08 * (high - low or span)
    return max(low - room, -0.4 * room), min(high + room, most)


def _draw_front(axes: Axes, front: Sequence[CasePoint]) -> list[Place]:
    """Draw the steps of the front up to the right edge; return places along them."""
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


def _draw(axes: Axes, point: CasePoint) -> list[Place]:
    """Draw a point; return places along its bars, in units of the axes."""
    ink = stand_in(point.colour)
    x, left, right = mean_interval(point.costs)
    y, (low, high) = point.middle[1], point.interval
    if len(point.costs) > 1:
        axes.plot(
            point.costs,
            point.accuracies,
            point.marker,
            markersize=4.5,
            color=ink,
            alpha=0.4,
            zorder=2,
            mew=0,
            clip_on=False,
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
        elinewidth=0.9,
        zorder=3,
    )
    _mark_cut_ends(axes, (x, y), [(left, right), (low, high)], point.colour)
    (least, most), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    along = [(x, float(value)) for value in np.linspace(max(bottom, low), min(top, high), 24)]
    if math.isnan(left):
        return along
    return along + [(float(value), y) for value in np.linspace(max(least, left), min(most, right), 24)]


def _mark_cut_ends(axes: Axes, middle: Place, ends: Sequence[Place], colour: str) -> None:
    """An arrow at the edge of the plot where an interval extends beyond it."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    (x, y), (across, up) = middle, ends
    cuts = (
        (across[0] < left, (left, y), "<"),
        (across[1] > right, (right, y), ">"),
        (up[0] < bottom, (x, bottom), "v"),
        (up[1] > top, (x, top), "^"),
    )
    for is_cut, at, marker in cuts:
        if is_cut:
            axes.plot(*at, marker, markersize=4, color=stand_in(colour), clip_on=False, zorder=3)


def _label(figure: Canvas, axes: Axes, points: Sequence[CasePoint], bars: Sequence[Place]) -> None:
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
