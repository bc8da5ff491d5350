"""The plots of a step importance page.

In: the table of lines and the summaries. Out: `<svg>` text. Kinds of lines that mean the same for the trace
share a colour and a mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl.importance.lines import LineKind
from rl.importance.summary import KindSummary
from rl.pages.style import stand_in
from rl.pages.svg import RC, to_svg


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How lines of some kinds are drawn.

    Attributes:
        text: In the legend.
        colour: Name of the colour.
        marker: Matplotlib's name of the mark.
        sign: The same mark as text, for the legend.
        kinds: The kinds.
    """

    text: str
    colour: str
    marker: str
    sign: str
    kinds: tuple[LineKind, ...]


MARKS = (
    Mark(text="valid", colour="line1", marker="o", sign="●", kinds=(LineKind.VALID, LineKind.LOST)),
    Mark(text="valid, steps merged", colour="line4", marker="D", sign="◆", kinds=(LineKind.MERGED,)),
    Mark(
        text="invalid, or into a dead end",
        colour="line2",
        marker="X",
        sign="✖",
        kinds=(LineKind.INVALID, LineKind.DEAD_END),
    ),
    Mark(
        text="goes back",
        colour="line3",
        marker="<",
        sign="◀",
        kinds=(LineKind.NEEDED, LineKind.NEEDLESS, LineKind.BACKTRACK, LineKind.MARKER),
    ),
    Mark(text="not checked", colour="line5", marker="s", sign="■", kinds=(LineKind.UNCHECKED,)),
)


def marks_of(table: pd.DataFrame) -> list[Mark]:
    """The marks that occur."""
    found = {LineKind(kind) for kind in table["kind"].unique()}
    return [mark for mark in MARKS if found & {*mark.kinds}]


def along_the_trace(table: pd.DataFrame) -> Markup:
    """Importance of each line by its place in the trace, with the mean of each fifth of the trace."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(5.4, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color=stand_in("muted"), linewidth=0.8)
        place = (table["line"] + 0.5) / table["num_lines"]
        for mark in marks_of(table):
            chosen = table["kind"].isin([kind.value for kind in mark.kinds])
            axes.scatter(
                place[chosen],
                table.loc[chosen, "importance"],
                s=22,
                marker=mark.marker,
                color=stand_in(mark.colour),
                alpha=0.7,
                linewidths=0,
                zorder=3,
            )
        fifth = np.minimum((place * 5).astype(int), 4)
        means = table["importance"].groupby(fifth).mean()
        axes.plot(
            (means.index + 0.5) / 5,
            means,
            color=stand_in("ink"),
            linewidth=1.4,
            marker="_",
            markersize=14,
            zorder=4,
        )
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["first line", "", "middle", "", "last line"])
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.set_ylabel("importance, nats")
        return to_svg(figure, "along", "Importance of each line by its place in the trace")


def by_kind_plot(found: Sequence[KindSummary]) -> Markup:
    """Mean importance of each kind of line, with its interval."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(5.4, 0.7 + 0.3 * len(found)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=stand_in("muted"), linewidth=0.8)
        for place, one in enumerate(found):
            value = one.importance
            ends = [[value.value - value.low], [value.high - value.value]]
            axes.errorbar(
                [value.value],
                [place],
                xerr=None if math.isnan(value.low) else np.maximum(ends, 0.0),
                fmt="o",
                markersize=5,
                color=stand_in("line1"),
                elinewidth=1.6,
                capsize=3,
            )
        axes.set_yticks(range(len(found)), [f"{one.label} ({one.lines})" for one in found])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel("mean importance, nats")
        about = "; ".join(f"{one.label} {one.importance.value:.2f}" for one in found)
        return to_svg(figure, "kinds", f"Mean importance by kind of line: {about}")
