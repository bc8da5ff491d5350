"""Plots of accuracy against allowed length.

In: results under several length limits. Out: one `<svg>` per split, with a band for each line's 95 % interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from rl.pages.style import stand_in
from rl.pages.svg import RC, name_y_axis, to_svg

_MOST_TICKS = 8


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
        figure = Figure(figsize=(3.7, 2.4))
        figure.subplots_adjust(left=0.125, right=0.95, bottom=0.175, top=0.9)
        axes = figure.subplots()
        for line in lines:
            colour = stand_in(line.colour)
            percents = [[100 * share for share in shares] for shares in (line.accuracy, line.low, line.high)]
            axes.fill_between(line.limits, percents[1], percents[2], color=colour, alpha=0.15, linewidth=0)
            axes.plot(line.limits, percents[0], color=colour, marker=line.marker, markersize=4, linewidth=1.6)
            if line.key:
                axes.annotate(
                    line.key,
                    (line.limits[-1], percents[0][-1]),
                    xytext=(6, 0),
                    textcoords="offset points",
                    va="center",
                    color=colour,
                )
        axes.set_xscale("log")
        limits = sorted({limit for line in lines for limit in line.limits})
        every = -(-len(limits) // _MOST_TICKS)
        axes.set_xticks(limits[::-1][::every])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, 102)
        axes.set_xlabel("length limit, tokens")
        name_y_axis(axes, "correct, %")
        return to_svg(figure, name, alt)
