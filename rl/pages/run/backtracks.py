"""The report's section on backtracks: how many, of which kind, and the first errors of a trace by category.

In: the results of every stage and split. Out: one plot per split and tables, as data for the template; None if
no stage went back or made a named error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl.pages.figures import Key, Plot
from rl.pages.steps import are_checked
from rl.pages.style import stand_in
from rl.pages.svg import RC, to_svg
from rl.pages.table import Group, Table, cells, name_of, row_of
from rl.runs.record import SplitResult
from rl.stats.format import number, percent

Rows = Sequence[tuple[str, SplitResult]]
"""Results on one split, with the stages or the names of what they belong to."""

_LONGEST = 26  # characters of a name beside a bar
_KINDS: tuple[tuple[Callable[[SplitResult], float], str, str, str], ...] = (
    (lambda result: result.needed_backtracks or 0.0, "needed: left a dead end or a wrong line", "line3", ""),
    (
        lambda result: result.needless_backtracks or 0.0,
        "needless: left a branch that could reach the end",
        "line2",
        "////",
    ),
    (lambda result: _others(result), "returned to no earlier step, or unknown", "wrong", "...."),
)
_COLUMNS: tuple[tuple[str, Callable[[SplitResult], float | None]], ...] = (
    ("Backtracks", lambda result: result.backtracks),
    ("Real", lambda result: result.real_backtracks),
    ("Fake", lambda result: result.fake_backtracks),
    ("Needed", lambda result: result.needed_backtracks),
    ("Needless", lambda result: result.needless_backtracks),
    ("Lines undone by each", lambda result: result.backtrack_depth),
    ("Wasted steps", lambda result: result.wasted_steps),
    ("Share straight out of a dead end", lambda result: result.straight_back),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backtracks:
    """The section's contents.

    Attributes:
        kinds: Legend of the plots; empty where no steps are checked, which leaves the kinds unknown.
        figures: One plot a split; empty where no stage went back.
        table: The figures behind them; None where no stage went back.
        errors: First errors by kind; None where the task names none.
    """

    kinds: tuple[Key, ...]
    figures: tuple[Plot, ...]
    table: Table | None
    errors: Table | None


def backtracks(results: Mapping[str, Rows]) -> Backtracks | None:
    """The section, or None where no stage went back or made a named error.

    Args:
        results: By split.
    """
    every = [result for rows in results.values() for _, result in rows]
    most = max((result.backtracks for result in every), default=0.0)
    errors = sorted({name for result in every for name in result.errors})
    checked = are_checked(every)
    if not most and not errors:
        return None
    return Backtracks(
        kinds=tuple(Key(colour=colour, text=text) for _, text, colour, _ in _KINDS if checked),
        figures=tuple(
            Plot(title=split, svg=_bars(rows, most, position))
            for position, (split, rows) in enumerate(results.items())
            if most
        ),
        table=_table("backtracks per trace", results, _COLUMNS if checked else _COLUMNS[:1]) if most else None,
        errors=_errors(results, errors) if errors else None,
    )


def _bars(rows: Rows, most: float, position: int) -> Markup:
    about = "; ".join(f"{name_of(row)} {result.backtracks:.2f}" for row, result in rows)
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
        axes.set_yticks(range(len(rows)), [_short(name_of(row)) for row, _ in rows])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.05 * most)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("backtracks per trace")
        return to_svg(figure, f"backtracks{position}", f"Backtracks per trace: {about}")


def _short(name: str) -> str:
    """A label for an axis: the start of a long name, without the sign that begins a formula."""
    start = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return start.replace("$", r"\$")


def _others(result: SplitResult) -> float:
    known = (result.needed_backtracks or 0.0) + (result.needless_backtracks or 0.0)
    return max(0.0, result.backtracks - known)


def _table(
    label: str,
    results: Mapping[str, Rows],
    columns: Sequence[tuple[str, Callable[[SplitResult], float | None]]],
) -> Table:
    groups = [
        Group(
            name=split,
            rows=tuple(
                row_of(name, cells([number(figure(result)) for _, figure in columns])) for name, result in rows
            ),
        )
        for split, rows in results.items()
    ]
    return Table(label=label, heads=("Stage", *(head for head, _ in columns)), groups=tuple(groups))


def _errors(results: Mapping[str, Rows], names: Sequence[str]) -> Table:
    groups = [
        Group(
            name=split,
            rows=tuple(
                row_of(stage, cells([percent(result.errors.get(name, 0.0)) for name in names]))
                for stage, result in rows
            ),
        )
        for split, rows in results.items()
    ]
    return Table(label="first errors by kind", heads=("Stage", *names), groups=tuple(groups))
