"""The standard models of a loop on every cell, round by round: plots and a table.

In: a `LoopRecord`. Out: data for the template. Intervals are Wilson's over the problems of the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rl.iterate.read import LoopRecord
from rl.iterate.record import AnswerRow, Solved
from rl.pages.figures import Plot
from rl.pages.iteration.curves import RoundLine, round_curves
from rl.pages.table import Cell, Group, Note, Row, Table
from rl.stats.format import bare_percent, number, percent
from rl.stats.intervals import wilson_interval

_Figure = Callable[[Solved], float | None]


def steps_frac(solved: Solved) -> float | None:
    """Steps of right answers as a share of the full traces' steps on the same problems."""
    if solved.steps_correct is None or not solved.full_steps_correct:
        return None
    return solved.steps_correct / solved.full_steps_correct


def solved_plots(loop: LoopRecord, kept: int | None) -> list[Plot]:
    """Accuracy, steps, the share with fewer steps and how many of these are not verified, each over rounds.

    Args:
        loop: The loop.
        kept: The round that is ringed.
    """
    panels: list[tuple[str, str, _Figure, float | None]] = [
        ("Right answers", "%", lambda one: one.accuracy, 102.0),
        ("Steps of right answers", "% of the full trace", steps_frac, None),
        ("Fewer steps than the full trace", "% of answers", lambda one: one.fewer, 102.0),
    ]
    if any(row.solved[cell].unverified_fewer is not None for row in loop.rounds for cell in row.solved):
        panels.append(
            (
                "Skips that are not verified",
                "% of right answers with fewer steps",
                lambda one: one.unverified_fewer,
                102.0,
            )
        )
    plots = []
    for place, (title, unit, figure, top) in enumerate(panels):
        lines = [
            RoundLine(
                label=cell,
                place=colour,
                values=_by_round(loop, cell, figure),
                intervals=_intervals(loop.standard, cell) if not place else {},
                kept=kept,
            )
            for colour, cell in enumerate(loop.cells)
        ]
        if any(line.values for line in lines):
            svg = round_curves(lines, unit=unit, name=f"solved{place}", alt=f"{title} by round", top=top)
            plots.append(Plot(title=title, svg=svg))
    return plots


def solved_table(loop: LoopRecord, kept: int | None) -> Table:
    """Every figure of the standard models, a group of rows for each cell."""
    checked = any(row.solved[c].unverified_correct is not None for row in loop.rounds for c in row.solved)
    heads = [
        "Round",
        "Accuracy (95 % interval)",
        "Steps",
        "Steps of right answers",
        "Full trace, same problems",
        "With fewer steps",
        "With as many",
        "With more",
        *(["Right, a line invalid or missing", "Of those with fewer steps"] if checked else []),
        "Tokens",
    ]
    groups = []
    for cell in loop.cells:
        rows = [
            _row(row.round, row.solved[cell], loop.standard.get(row.round, {}).get(cell, []), checked, kept)
            for row in loop.rounds
            if cell in row.solved
        ]
        first = next(row.solved[cell] for row in loop.rounds if cell in row.solved)
        about = f"{first.num} problems, full traces {number(first.full_steps)} steps on average"
        groups.append(Group(name=cell, about=about, rows=tuple(rows)))
    return Table(label="standard models by round", heads=tuple(heads), groups=tuple(groups))


def _row(round_: int, one: Solved, answers: Sequence[AnswerRow], checked: bool, kept: int | None) -> Row:
    low, high = _wilson(answers)
    interval = (Note(text=f"{bare_percent(low)}–{bare_percent(high)}"),) if answers else ()
    cells = [
        Cell(text=percent(one.accuracy), notes=interval),
        Cell(text=number(one.steps)),
        Cell(text=number(one.steps_correct)),
        Cell(text=number(one.full_steps_correct)),
        *(
            Cell(
                text=percent(share), notes=(Note(text=f"{percent(right)} right"),) if right is not None else ()
            )
            for share, right in (
                (one.fewer, one.fewer_accuracy),
                (one.equal, one.equal_accuracy),
                (one.more, one.more_accuracy),
            )
        ),
        *(
            [Cell(text=percent(one.unverified_correct)), Cell(text=percent(one.unverified_fewer))]
            if checked
            else []
        ),
        Cell(text=number(one.tokens, 1)),
    ]
    return Row(head=str(round_), note="kept" if round_ == kept else "", cells=tuple(cells))


def _by_round(loop: LoopRecord, cell: str, figure: _Figure) -> dict[int, float]:
    found = {row.round: figure(row.solved[cell]) for row in loop.rounds if cell in row.solved}
    return {number: 100 * value for number, value in found.items() if value is not None}


def _intervals(
    standard: Mapping[int, Mapping[str, Sequence[AnswerRow]]], cell: str
) -> dict[int, tuple[float, float]]:
    found = {}
    for number_, cells in standard.items():
        if answers := cells.get(cell):
            low, high = _wilson(answers)
            found[number_] = (100 * low, 100 * high)
    return found


def _wilson(answers: Sequence[AnswerRow]) -> tuple[float, float]:
    if not answers:
        return 0.0, 1.0
    return wilson_interval(sum(row.correct for row in answers), len(answers))
