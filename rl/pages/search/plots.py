"""The plot of a search page: accuracy against tokens, with a band for each line's 95 % interval.

In: the curves of a split and its greedy arm. Out: `<svg>` text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from rl.pages.style import stand_in
from rl.pages.svg import LINE_STYLES, RC, name_y_axis, to_svg
from rl.search.summary import BEST_OF_N, GREEDY, LABELS, MAJORITY, SYMBOLIC, Arm, Curve

_LOOKS = {
    "self_backtracking": ("line1", "o", "●"),
    "verified_states": ("line3", "D", "◆"),
    BEST_OF_N: ("line2", "s", "■"),
    MAJORITY: ("line4", "^", "▲"),
    SYMBOLIC: ("line5", "", "―"),
    GREEDY: ("ink", "*", "★"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An entry of the legend: a sign in a colour, the class of a line style, and what they stand for."""

    colour: str
    sign: str
    text: str
    style: str = ""


def legend(curves: Sequence[Curve], greedy: Arm | None) -> list[Entry]:
    """The entries for what `accuracy_plot` shows."""
    found = [
        Entry(
            colour=_LOOKS[curve.method][0],
            sign=_LOOKS[curve.method][2],
            text=_label(curve),
            style=_style(curve, curves),
        )
        for curve in curves
    ]
    if greedy is not None:
        found.append(Entry(colour=_LOOKS[GREEDY][0], sign=_LOOKS[GREEDY][2], text=LABELS[GREEDY]))
    return found


def accuracy_plot(curves: Sequence[Curve], greedy: Arm | None, *, name: str) -> Markup:
    """Accuracy within budgets of tokens a problem, on a logarithmic axis.

    Args:
        curves: At least one, each with at least one budget.
        greedy: The greedy arm, a point at its mean tokens.
        name: Prefix of the SVG's ids, unique on the page.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axes = figure.subplots()
        for curve in curves:
            colour, marker, _ = _LOOKS[curve.method]
            low, middle, high = (
                [100 * getattr(arm, end) for arm in curve.arms] for end in ("low", "accuracy", "high")
            )
            axes.fill_between(curve.budgets, low, high, color=stand_in(colour), alpha=0.1, linewidth=0)
            axes.plot(
                curve.budgets,
                middle,
                color=stand_in(colour),
                linestyle=_style(curve, curves),
                marker=marker or None,
                markersize=3.5,
                linewidth=1.5,
            )
        if greedy is not None:
            error = [[100 * (greedy.accuracy - greedy.low)], [100 * (greedy.high - greedy.accuracy)]]
            axes.errorbar(
                [greedy.tokens],
                [100 * greedy.accuracy],
                yerr=error,
                fmt="*",
                markersize=9,
                color=stand_in("ink"),
                elinewidth=1.2,
                zorder=5,
            )
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=9))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("budget, sampled tokens a problem")
        name_y_axis(axes, "correct, %")
        ends = "; ".join(f"{_label(curve)} {curve.arms[-1].accuracy:.1%}" for curve in curves)
        return to_svg(figure, name, f"Accuracy against tokens; within the largest budget: {ends}")


def _label(curve: Curve) -> str:
    return LABELS[curve.method] + ("" if curve.breadth is None else f", N = {curve.breadth}")


def _style(curve: Curve, curves: Sequence[Curve]) -> str:
    """Solid for the largest N of a method, then dashed and dotted."""
    ranks = sorted({one.breadth or 0 for one in curves if one.method == curve.method}, reverse=True)
    return LINE_STYLES[min(ranks.index(curve.breadth or 0), len(LINE_STYLES) - 1)]
