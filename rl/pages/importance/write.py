"""The page of a step importance analysis: one HTML file that needs nothing but itself.

In: the folder of an analysis, finished or not. Out: `importance.html` in it, laid out by
`templates/importance.html`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from rl.importance.record import LineRow, ProblemLog, ProblemRow, line_table
from rl.importance.summary import Correlation, Estimate, KindSummary, by_kind, correlations
from rl.pages.figures import Plot, Tile
from rl.pages.importance.plots import along_the_trace, by_kind_plot, marks_of
from rl.pages.render import render
from rl.pages.table import Cell, Group, Note, Row, Table
from rl.runs.analysis import read_settings
from rl.runs.files import write_text
from rl.stats.format import ABSENT, number, percent, signed

PAGE = "importance.html"
_MOST_TRACES = 8
_MOST_CHARS = 160  # of a line in a table


def write_page(folder: Path) -> Path:
    """Write the page of an analysis into its folder.

    Returns:
        Its path.

    Raises:
        RunFolderError: The folder holds no analysis, or a file of it is damaged.
    """
    path = folder / PAGE
    write_text(path, render_page(read_settings(folder, "importance"), ProblemLog(folder).read()))
    return path


def render_page(settings: dict[str, Any], rows: Sequence[ProblemRow]) -> str:
    """The whole page.

    Args:
        settings: What the analysis was started with.
        rows: The problems so far.
    """
    traces = [row for row in rows if row.lines]
    table = line_table(rows)
    known = table[table["importance"].notna()] if len(table) else table
    kinds = by_kind(table) if len(known) else []
    related = correlations(table) if len(known) else []
    return render(
        "importance.html",
        title=f"{settings['name']}: step importance",
        name=str(settings["name"]),
        model=str(settings["model"]),
        task=str(settings["env"]["name"]),
        split=str(settings["split"]),
        band=tuple(percent(end) for end in settings["accuracy"]),
        num_continuations=int(settings["num_continuations"]),
        num_samples=int(settings["num_samples"]),
        temperature=f"{settings['temperature']:g}",
        verdict=_verdict(traces, known, settings),
        tiles=_tiles(rows, traces, known),
        marks=marks_of(known) if len(known) else [],
        along=Plot(title="Importance along the trace", svg=along_the_trace(known)) if len(known) else None,
        kinds_plot=Plot(title="Mean importance by kind of line", svg=by_kind_plot(kinds)) if kinds else None,
        kinds=_kinds_table(kinds) if kinds else None,
        related=_related_table(related) if related else None,
        checked=bool(len(known)) and bool(known["decides"].notna().any()),
        traces=[(row, _trace_table(row)) for row in traces[:_MOST_TRACES]],
        num_more=max(0, len(traces) - _MOST_TRACES),
        num_inexact=sum(not boundary.whole for row in traces for boundary in row.boundaries),
        left_out=_left_out(rows),
    )


def _verdict(traces: Sequence[ProblemRow], known: pd.DataFrame, settings: dict[str, Any]) -> str:
    if not traces:
        return "No trace was analysed: no problem that was sampled is in the band and has a step."
    if not len(known):
        return "Each trace ends with its first line, so no line can be compared."
    share = known["importance"].sort_values(ascending=False)
    top = max(1, round(0.2 * len(share)))
    total = share.clip(lower=0).sum()
    part = share.clip(lower=0).iloc[:top].sum() / total if total else math.nan
    mean = known["change"].abs().mean()
    return (
        f"In {len(traces)} traces with {len(known)} lines, the most important fifth of the lines has "
        f"{percent(part)} of all importance; the mean line moves accuracy by {percent(mean)}."
    )


def _tiles(rows: Sequence[ProblemRow], traces: Sequence[ProblemRow], known: pd.DataFrame) -> tuple[Tile, ...]:
    if not traces:
        return ()
    num = sum(boundary.num for row in traces for boundary in row.boundaries)
    return (
        Tile(name="Traces", figure=f"{len(traces)}", notes=(f"of {len(rows)} problems sampled",)),
        Tile(
            name="Lines",
            figure=f"{len(known)}",
            notes=(f"{fmean(len(row.lines) for row in traces):.1f} a trace",),
        ),
        Tile(name="Continuations", figure=f"{num:,}"),
        Tile(
            name="Accuracy of the policy",
            figure=percent(fmean(row.accuracy for row in traces)),
            notes=(f"{percent(fmean(row.right for row in traces))} of the traces are right",),
        ),
    )


def _left_out(rows: Sequence[ProblemRow]) -> list[str]:
    """Why problems were not analysed, with how many."""
    reasons = [row.why_not for row in rows if row.why_not]
    return [f"{reasons.count(reason)}: {reason}" for reason in dict.fromkeys(reasons)]


def _cell(estimate: Estimate, *, share: bool = False, signs: bool = False) -> Cell:
    """A figure with its interval below it."""
    if math.isnan(estimate.value):
        return Cell(text=ABSENT)

    def shown(value: float) -> str:
        if share:
            return signed(100 * value, 1) if signs else number(100 * value, 1)
        return signed(value) if signs else number(value)

    unit = " %" if share else ""
    if math.isnan(estimate.low):
        return Cell(text=shown(estimate.value) + unit)
    between = f"{shown(estimate.low)} to {shown(estimate.high)}"
    return Cell(text=shown(estimate.value) + unit, notes=(Note(text=between),))


def _kinds_table(kinds: Sequence[KindSummary]) -> Table:
    heads = (
        "Line",
        "Lines",
        "Importance, nats",
        "Change of accuracy",
        "Its size",
        "Another step is written",
        "Counterfactual importance",
        "Change against others",
    )
    rows = [
        Row(
            head=one.label,
            note=f"in {one.problems} traces",
            cells=(
                Cell(text=f"{one.lines:,}"),
                _cell(one.importance, signs=True),
                _cell(one.change, share=True, signs=True),
                _cell(one.size, share=True),
                _cell(one.others, share=True),
                _cell(one.counterfactual, signs=True),
                _cell(one.counterfactual_change, share=True, signs=True),
            ),
        )
        for one in kinds
    ]
    return Table(label="importance by kind of line", heads=heads, groups=(Group(name="", rows=tuple(rows)),))


def _related_table(found: Sequence[Correlation]) -> Table:
    rows = [
        Row(
            head=one.about,
            cells=(
                Cell(text=f"{one.lines:,}"),
                _cell(one.importance, signs=True),
                _cell(one.counterfactual, signs=True),
            ),
        )
        for one in found
    ]
    heads = ("Known of the line", "Lines", "Importance", "Counterfactual importance")
    return Table(label="rank correlations", heads=heads, groups=(Group(name="", rows=tuple(rows)),))


def _trace_table(row: ProblemRow) -> Table:
    heads = ("Line", "Right before", "Right after", "Importance", "Another step", "Counterfactual importance")
    lines = [
        Row(
            head=line.text if len(line.text) <= _MOST_CHARS else f"{line.text[:_MOST_CHARS]} …",
            note=f"{line.kind.label}{', taken back later' if line.taken_back else ''}",
            cells=tuple(Cell(text=text) for text in _figures(line, row.boundaries[place].num)),
        )
        for place, line in enumerate(row.lines)
    ]
    return Table(label=f"problem {row.index}", heads=heads, groups=(Group(name="", rows=tuple(lines)),))


def _figures(line: LineRow, num: int) -> list[str]:
    other = line.counterfactual
    return [
        percent(line.accuracy_before),
        percent(line.accuracy_after),
        ABSENT if line.importance is None else signed(line.importance),
        percent(line.num_other / num),
        ABSENT if other is None else signed(other.divergence - other.chance),
    ]
