"""The report's section on backtracks: how many, of which kind, and the first errors of a trace by category.

In: the results of every stage and split. Out: HTML with one plot a split and a table; nothing where no stage
ever went back or erred in a named way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl.pages.html import group_row, row_head, row_name, table, visible
from rl.pages.style import stand_in
from rl.pages.svg import RC, to_svg
from rl.runs.record import SplitResult
from rl.stats.format import number, percent

Rows = Sequence[tuple[str, SplitResult]]
"""Results on one split, with the stages or the names of what they belong to."""

_KINDS: tuple[tuple[Callable[[SplitResult], float], str, str, str], ...] = (
    (lambda result: result.needed_backtracks or 0.0, "out of a dead end or a wrong line", "line3", ""),
    (lambda result: result.needless_backtracks or 0.0, "out of a branch that was right", "line2", "////"),
    (lambda result: _others(result), "to no earlier step, or not known", "wrong", "...."),
)
_COLUMNS: tuple[tuple[str, Callable[[SplitResult], float | None]], ...] = (
    ("Backtracks", lambda result: result.backtracks),
    ("Real", lambda result: result.real_backtracks),
    ("Fake", lambda result: result.fake_backtracks),
    ("Needed", lambda result: result.needed_backtracks),
    ("Needless", lambda result: result.needless_backtracks),
    ("Lines undone, each", lambda result: result.backtrack_depth),
    ("Wasted steps", lambda result: result.wasted_steps),
)


def backtracks(results: Mapping[str, Rows]) -> str:
    """The section, or an empty text where no stage went back or made a named error.

    Args:
        results: By split.
    """
    parts = []
    if any(result.backtracks for rows in results.values() for _, result in rows):
        parts += [_plots(results), _table(results)]
        parts.append(
            '<p class="note">Per trace, greedy. A real backtrack returned to an earlier state and then took '
            "another branch; it was needed where the branch it left could not have led to the end. Wasted "
            "steps were undone later.</p>"
        )
    if any(result.errors for rows in results.values() for _, result in rows):
        parts.append(_errors(results))
    return "<h2>Backtracks and errors</h2>" + "".join(parts) if parts else ""


def _plots(results: Mapping[str, Rows]) -> str:
    most = max(result.backtracks for rows in results.values() for _, result in rows)
    figures = [
        f"<figure><figcaption>{visible(split)}</figcaption>{_bars(rows, most, position)}</figure>"
        for position, (split, rows) in enumerate(results.items())
    ]
    legend = "".join(
        f'<li><i class="box" style="background:var(--{colour})"></i>{text}</li>'
        for _, text, colour, _ in _KINDS
    )
    return f'<ul class="legend">{legend}</ul><div class="panels wide">{"".join(figures)}</div>'


def _bars(rows: Rows, most: float, position: int) -> str:
    about = "; ".join(f"{row_name(row)} {result.backtracks:.2f}" for row, result in rows)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(3.7, 0.55 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots()
        left = [0.0] * len(rows)
        for amount, _, colour, hatch in _KINDS:
            widths = [amount(result) for _, result in rows]
            axes.barh(
                range(len(rows)),
                widths,
                left=left,
                height=0.6,
                facecolor=stand_in(colour),
                edgecolor=stand_in("muted"),
                hatch=hatch,
                linewidth=0.5,
            )
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(rows)), [row_name(row) for row, _ in rows])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.05 * most)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("backtracks per trace")
        return to_svg(figure, f"backtracks{position}", f"Backtracks per trace: {about}")


def _others(result: SplitResult) -> float:
    known = (result.needed_backtracks or 0.0) + (result.needless_backtracks or 0.0)
    return max(0.0, result.backtracks - known)


def _table(results: Mapping[str, Rows]) -> str:
    lines = []
    for split, rows in results.items():
        lines.append(group_row(split, 1 + len(_COLUMNS)))
        for row, result in rows:
            cells = "".join(f"<td>{number(figure(result))}</td>" for _, figure in _COLUMNS)
            lines.append(f"<tr>{row_head(row)}{cells}</tr>")
    return table(["Stage", *(head for head, _ in _COLUMNS)], lines)


def _errors(results: Mapping[str, Rows]) -> str:
    names = sorted({name for rows in results.values() for _, result in rows for name in result.errors})
    lines = []
    for split, rows in results.items():
        lines.append(group_row(split, len(names) + 1))
        for row, result in rows:
            cells = "".join(f"<td>{percent(result.errors.get(name, 0.0))}</td>" for name in names)
            lines.append(f"<tr>{row_head(row)}{cells}</tr>")
    note = '<p class="note">Share of problems whose first wrong line is of this kind.</p>'
    return table(["Stage", *(visible(name) for name in names)], lines) + note
