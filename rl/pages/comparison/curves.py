"""GRPO of every case, update by update: means over seeds with bands.

In: a `Study`. Out: a row of panels for each figure that can be compared between cases, as data for the
template; a reward cannot, as each case may have its own. A band reaches from the lowest to the highest seed. A
line ends where the first seed of its case stops; the seeds that go further are named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl.compare.results import CaseRecord
from rl.compare.study import Study
from rl.pages.comparison.legend import GROUP, case_style
from rl.pages.figures import Plot
from rl.pages.steps import worded
from rl.pages.style import stand_in
from rl.pages.svg import RC, name_y_axis, running_mean, spread, to_svg
from rl.runs.record import UpdateRow

PANELS = (
    ("Correct", "%", ("accuracy",)),
    ("Steps per correct answer", "steps", ("steps_per_correct",)),
    ("Backtracks", "per completion", ("backtracks",)),
    ("Tokens", "per completion", ("tokens/mean",)),
    ("Malformed or cut off", "%", ("outcome/malformed", "outcome/truncated")),
)
"""Title, unit and the metrics whose sum is drawn."""

_SIZE = (3.7, 2.2)
_APART = 9.0  # of two labels at the ends of lines, in points


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """One case in one panel, over its shared updates.

    Attributes:
        updates: x values.
        mean: Over seeds.
        low: Lowest seed.
        high: Highest seed.
    """

    updates: list[int]
    mean: np.ndarray[Any, Any]
    low: np.ndarray[Any, Any]
    high: np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurves:
    """The section's contents.

    Attributes:
        window: Width of the running mean of each seed, in updates.
        rows: Plots, a row for each figure.
        grey: Key of the case that every row repeats in grey; empty where one row holds all cases.
        zero: Titles of the figures that are 0 in every update.
        stopped: Remarks on seeds that stop early.
    """

    window: int
    rows: tuple[tuple[Plot, ...], ...]
    grey: str
    zero: tuple[str, ...]
    stopped: tuple[str, ...]


def learning_curves(study: Study) -> LearningCurves | None:
    """The curves, or None before the first update of GRPO."""
    trained = [case for case in study.cases if any(record.updates for record in case.seeds.values())]
    if not trained:
        return None
    longest = max(len(record.updates) for case in trained for record in case.seeds.values())
    window = 2 * (longest // 40) + 1
    places = {case.name: place for place, case in enumerate(study.cases)}
    rows: list[tuple[Plot, ...]] = []
    zero: list[str] = []
    for number, (figure, unit, metrics) in enumerate(PANELS):
        title = worded(figure, checked=study.steps_checked)
        bands = {case.name: made for case in trained if (made := band(_series(case, metrics, unit), window))}
        if any(np.nanmax(made.high) > 0 for made in bands.values()):
            rows.append(_row(trained, bands, places, title, unit, number))
        elif bands:
            zero.append(title.lower())
    several = len(trained) > GROUP
    return LearningCurves(
        window=window,
        rows=tuple(rows) if several else (tuple(plot for row in rows for plot in row),),
        grey=trained[0].key if several else "",
        zero=tuple(zero),
        stopped=tuple(_stopped(study.cases)),
    )


def _row(
    trained: Sequence[CaseRecord],
    bands: Mapping[str, Band],
    places: Mapping[str, int],
    title: str,
    unit: str,
    number: int,
) -> tuple[Plot, ...]:
    """The plots of one figure, `GROUP` cases in each."""
    plots = []
    for turn in range(0, len(trained), GROUP):
        shown = [case for case in trained[turn : turn + GROUP] if case.name in bands]
        if shown:
            base = [trained[0]] if turn and trained[0].name in bands else []
            svg = _svg(base, shown, bands, places, unit, f"learn{number}-{turn}", title)
            keys = f" · {shown[0].key} to {shown[-1].key}" if len(trained) > GROUP else ""
            plots.append(Plot(title=f"{title}{keys}", svg=svg))
    return tuple(plots)


def band(series: Sequence[Mapping[int, float]], window: int) -> Band | None:
    """Mean and range over seeds, as far as all of them go.

    Args:
        series: Of each seed the value by update, NaN where there is none.
        window: Width of the running mean each is smoothed by.
    """
    shared = sorted(set.intersection(*(set(values) for values in series))) if series else []
    if not shared:
        return None
    rows = []
    for values in series:
        updates = sorted(values)
        smooth = dict(zip(updates, running_mean([values[update] for update in updates], window), strict=True))
        rows.append([smooth[update] for update in shared])
    table = np.array(rows, dtype=float)
    known = np.isfinite(table)
    if not known.any():
        return None
    some = known.any(axis=0)
    mean = np.where(known, table, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return Band(
        updates=shared,
        mean=np.where(some, mean, np.nan),
        low=np.where(some, np.where(known, table, np.inf).min(axis=0), np.nan),
        high=np.where(some, np.where(known, table, -np.inf).max(axis=0), np.nan),
    )


def _series(case: CaseRecord, metrics: Sequence[str], unit: str) -> list[dict[int, float]]:
    scale = 100.0 if unit == "%" else 1.0
    return [
        {row.update: scale * _value(row, metrics) for row in record.updates}
        for record in case.seeds.values()
        if record.updates
    ]


def _value(row: UpdateRow, metrics: Sequence[str]) -> float:
    values = [row.metrics.get(metric) for metric in metrics]
    return math.fsum(v for v in values if v is not None) if any(v is not None for v in values) else math.nan


def _stopped(cases: Sequence[CaseRecord]) -> list[str]:
    """Remarks on seeds that end the line of their case early, or have no updates."""
    remarks = []
    for case in cases:
        lasts = {seed: r.updates[-1].update if r.updates else 0 for seed, r in case.seeds.items()}
        most = max([*lasts.values(), *(record.planned_updates for record in case.seeds.values())])
        for seed, last in lasts.items():
            if last < most:
                ends = f"stops at update {last} of {most}" if last else f"has none of {most} updates"
                remarks.append(f"Seed {seed} of {case.name} {ends}.")
    return remarks


def _svg(
    base: Sequence[CaseRecord],
    shown: Sequence[CaseRecord],
    bands: Mapping[str, Band],
    places: Mapping[str, int],
    unit: str,
    name: str,
    title: str,
) -> Markup:
    with mpl.rc_context(RC):
        figure = Figure(figsize=_SIZE)
        figure.subplots_adjust(left=0.13, right=0.935, bottom=0.18, top=0.895)
        axes = figure.subplots()
        for case in base:
            made = bands[case.name]
            axes.plot(made.updates, made.mean, color=stand_in("muted"), linewidth=1.1, linestyle="dashed")
        for case in shown:
            made, colour = bands[case.name], stand_in(case_style(places[case.name]).colour)
            if len(case.seeds) > 1:
                axes.fill_between(made.updates, made.low, made.high, color=colour, alpha=0.16, linewidth=0)
            mark = "o" if len(made.updates) == 1 else None
            axes.plot(made.updates, made.mean, color=colour, linewidth=1.5, marker=mark, markersize=4)
        every = list(bands.values())  # the same axes in all panels of a figure
        lowest = min(np.nanmin(made.low) for made in every)
        highest = max(np.nanmax(made.high) for made in every)
        room = max(0.06 * (highest - lowest), 0.02 * highest, 0.02)
        top_end = min(100.0, highest + room) if unit == "%" else highest + room
        axes.set_ylim(max(-room / 3, lowest - room) if lowest >= 0 else lowest - room, top_end)
        axes.set_xlim(min(made.updates[0] for made in every), max(2, *(made.updates[-1] for made in every)))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.set_xlabel("update")
        name_y_axis(axes, unit)
        top, (lowest, highest) = 72 * _SIZE[1] * (0.895 - 0.18), axes.get_ylim()
        ends = [_end(bands[case.name]) for case in (*base, *shown)]
        heights = [top * (y - lowest) / (highest - lowest) for _, y in ends]
        raised = spread(heights, _APART, top)
        for case, end, height, up in zip((*base, *shown), ends, heights, raised, strict=True):
            colour = "muted" if case in base else case_style(places[case.name]).colour
            axes.annotate(
                case.key,
                end,
                xytext=(5, up - height),
                textcoords="offset points",
                va="center_baseline",
                color=stand_in(colour),
                fontweight="bold",
                annotation_clip=False,
            )
        return to_svg(figure, name, f"{title} over updates, cases {', '.join(c.key for c in shown)}")


def _end(made: Band) -> tuple[int, float]:
    known = [place for place, value in enumerate(made.mean) if math.isfinite(value)]
    return made.updates[known[-1]], float(made.mean[known[-1]])
