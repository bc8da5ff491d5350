"""Plots over the rounds of a loop.

In: figures by round. Out: one `<svg>` a panel, in the page's colours (`style.py`), the same bytes every time.
A band is a 95 % interval; a ring marks the round that was kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl.pages.style import stand_in
from rl.pages.svg import RC, name_y_axis, spread, to_svg

COLOURS = ("line1", "line2", "line3", "line4", "line6", "line5")
MARKERS = "oDs^vP"
GLYPHS = dict(zip(MARKERS, "●◆■▲▼✚", strict=True))
_SIZE = (3.7, 2.3)
_MARGINS = {"left": 0.125, "right": 0.86, "bottom": 0.185, "top": 0.89}
_APART = 9.0  # of two labels at the ends of lines, in points


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundLine:
    """One line: a figure by round, with the ends of its interval where it has one.

    Attributes:
        label: Stands at its right end; empty where the colour is enough.
        place: Which colour and mark it has.
        values: By round.
        intervals: By round; empty without a band.
        kept: The round with a ring; None without one.
        dashed: Whether it is dashed.
    """

    label: str
    place: int
    values: Mapping[int, float]
    intervals: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    kept: int | None = None
    dashed: bool = False

    @property
    def colour(self) -> str:
        """Name of its colour."""
        return COLOURS[self.place % len(COLOURS)]

    @property
    def marker(self) -> str:
        """Matplotlib's name of its mark."""
        return MARKERS[self.place % len(MARKERS)]


def round_curves(
    lines: Sequence[RoundLine],
    *,
    unit: str,
    name: str,
    alt: str,
    top: float | None = None,
    over: str = "round",
) -> Markup:
    """One panel of figures over rounds.

    Args:
        lines: At least one with a value.
        unit: Label of the y axis.
        name: Prefix of the SVG's ids, unique on the page.
        alt: A description, for screen readers.
        top: Upper end of the y axis; None: it follows from the values.
        over: Label of the x axis.
    """
    drawn = [line for line in lines if line.values]
    with mpl.rc_context(RC):
        figure = Figure(figsize=_SIZE)
        figure.subplots_adjust(**_MARGINS)
        axes = figure.subplots()
        for line in drawn:
            _draw(axes, line)
        last = max([1, *(number for line in drawn for number in line.values)])
        axes.set_xlim(-0.04 * last, 1.04 * last)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_ylim(0, top if top is not None else max(1.05 * axes.dataLim.y1, 0.05))
        _label(axes, drawn)
        axes.set_xlabel(over)
        name_y_axis(axes, unit)
        return to_svg(figure, name, alt)


def _draw(axes: Axes, line: RoundLine) -> None:
    colour = stand_in(line.colour)
    rounds = sorted(line.values)
    banded = [number for number in rounds if number in line.intervals]
    if banded:
        low, high = zip(*(line.intervals[number] for number in banded), strict=True)
        if len(banded) > 1:
            axes.fill_between(banded, low, high, color=colour, alpha=0.13, linewidth=0)
        else:
            axes.vlines(banded, low, high, color=colour, linewidth=1.0)
    axes.plot(
        rounds,
        [line.values[number] for number in rounds],
        color=colour,
        marker=line.marker,
        markersize=4,
        linewidth=1.6,
        linestyle="dashed" if line.dashed else "solid",
        clip_on=False,
        zorder=3,
    )
    if line.kept is not None and line.kept in line.values:
        axes.plot(
            [line.kept],
            [line.values[line.kept]],
            "o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.3,
            clip_on=False,
            zorder=4,
        )


def _label(axes: Axes, lines: Sequence[RoundLine]) -> None:
    """Write each line's label at its right end, none over another."""
    labelled = [line for line in lines if line.label]
    height = 72 * _SIZE[1] * (_MARGINS["top"] - _MARGINS["bottom"])
    end = axes.get_ylim()[1]
    ends = [(max(line.values), line.values[max(line.values)]) for line in labelled]
    heights = [height * value / end for _, value in ends]
    for line, at, before, after in zip(labelled, ends, heights, spread(heights, _APART, height), strict=True):
        axes.annotate(
            line.label,
            at,
            xytext=(9, after - before),
            textcoords="offset points",
            va="center_baseline",
            color=stand_in(line.colour),
            fontsize=7.5,
            annotation_clip=False,
        )


def legend(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Colour, mark and name of the lines of a section, in the order of `RoundLine.place`."""
    return [
        (COLOURS[place % len(COLOURS)], GLYPHS[MARKERS[place % len(MARKERS)]], name)
        for place, name in enumerate(names)
    ]
