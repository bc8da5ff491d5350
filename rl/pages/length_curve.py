"""Plots of accuracy against allowed length.

In: results under several length limits. Out: one `<svg>` per split, with a band for each line's 95 % interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from rl.pages.style import stand_in
from rl.pages.svg import RC, name_y_axis, spread, to_svg

_MOST_TICKS = 8
_SIZE = (3.7, 2.4)
_MARGINS = {"left": 0.125, "right": 0.95, "bottom": 0.175, "top": 0.9}
_TOP = 102.0  # upper end of the y axis, in percent
_APART = 9.0  # of two labels at the ends of lines, in points


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthLine:
    """One line: accuracy under each limit, with the ends of its interval, in 0..1.

    Attributes:
        key: Stands at its right end; empty where the colour is enough.
        colour: Name of its colour.
        marker: Matplotlib's name of its mark.
        limits: Length limits in tokens, rising.
        accuracy: Under each limit.
        low: Lower ends.
        high: Upper ends.
    """

    key: str
    colour: str
    marker: str
    limits: Sequence[int]
    accuracy: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def length_curve(lines: Sequence[LengthLine], *, name: str, alt: str) -> Markup:
    """Accuracy against allowed length, on a logarithmic axis of tokens.

    Args:
        lines: At least one, each with at least one limit.
        name: Prefix of the SVG's ids, unique on the page.
        alt: A description, for screen readers.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=_SIZE)
        figure.subplots_adjust(**_MARGINS)
        axes = figure.subplots()
        for line in lines:
            colour = stand_in(line.colour)
            percents = [[100 * share for share in shares] for shares in (line.accuracy, line.low, line.high)]
            axes.fill_between(line.limits, percents[1], percents[2], color=colour, alpha=0.15, linewidth=0)
            axes.plot(line.limits, percents[0], color=colour, marker=line.marker, markersize=4, linewidth=1.6)
        axes.set_xscale("log")
        limits = sorted({limit for line in lines for limit in line.limits})
        every = -(-len(limits) // _MOST_TICKS)
        axes.set_xticks(limits[::-1][::every])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, _TOP)
        _label(axes, lines)
        axes.set_xlabel("length limit, tokens")
        name_y_axis(axes, "correct, %")
        return to_svg(figure, name, alt)


def _label(axes: Axes, lines: Sequence[LengthLine]) -> None:
    """Write each line's key at its right end, none over another."""
    top = 72 * _SIZE[1] * (_MARGINS["top"] - _MARGINS["bottom"])
    keyed = [line for line in lines if line.key]
    heights = [top * 100 * line.accuracy[-1] / _TOP for line in keyed]
    for line, height, up in zip(keyed, heights, spread(heights, _APART, top), strict=True):
        axes.annotate(
            line.key,
            (line.limits[-1], 100 * line.accuracy[-1]),
            xytext=(6, up - height),
            textcoords="offset points",
            va="center_baseline",
            color=stand_in(line.colour),
            fontweight="bold",
            annotation_clip=False,
        )
