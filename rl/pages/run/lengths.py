"""The report's section on accuracy against allowed length.

In: a `RunRecord`. Out: a plot per split with a line per stage, as data for the template.
"""

from __future__ import annotations

from dataclasses import dataclass

from rl.pages.figures import Plot
from rl.pages.length_curve import LengthLine, length_curve
from rl.pages.run.trade_off import MARKERS
from rl.pages.style import stage_colour
from rl.pages.table import Group, Table, cells, row_of
from rl.runs.read import RunRecord
from rl.runs.record import SplitResult, Stage
from rl.stats.format import ABSENT, percent


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """The section's contents: the stages drawn, a plot per split, and the same as a table."""

    stages: tuple[Stage, ...]
    plots: tuple[Plot, ...]
    table: Table


def lengths(run: RunRecord) -> Lengths | None:
    """The section, or None where no result was taken under several limits or nothing is ever right."""
    drawn: list[Stage] = []
    plots, groups = [], []
    every = [one for split in run.splits for one in run.results(split).values()]
    limits = sorted({int(limit) for one in every for limit in one.by_length})
    for place, split in enumerate(run.splits):
        results = {stage: one for stage, one in run.results(split).items() if one.by_length}
        if not any(one.accuracy for one in results.values()):
            continue
        drawn += results
        lines = [_line(stage, result) for stage, result in results.items()]
        alt = f"Accuracy against allowed length on {split}"
        plots.append(Plot(title=split, svg=length_curve(lines, name=f"length{place}", alt=alt)))
        rows = [row_of(stage, cells(_shares(result, limits))) for stage, result in results.items()]
        groups.append(Group(name=split, rows=tuple(rows)))
    if not plots:
        return None
    heads = ("Stage", *(f"{limit:,}" for limit in limits))
    table = Table(label="accuracy by length limit in tokens", heads=heads, groups=tuple(groups))
    stages = tuple(stage for stage in Stage if stage in drawn)
    return Lengths(stages=stages, plots=tuple(plots), table=table)


def _shares(result: SplitResult, limits: list[int]) -> list[str]:
    found = [result.by_length.get(str(limit)) for limit in limits]
    return [ABSENT if one is None else percent(one.accuracy) for one in found]


def _line(stage: Stage, result: SplitResult) -> LengthLine:
    found = list(result.by_length.values())
    return LengthLine(
        key="",
        colour=stage_colour(stage),
        marker=MARKERS[stage],
        limits=[int(limit) for limit in result.by_length],
        accuracy=[one.accuracy for one in found],
        low=[one.accuracy_low for one in found],
        high=[one.accuracy_high for one in found],
    )
