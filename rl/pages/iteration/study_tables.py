"""The tables of a study over loops: rounds, differences to full traces alone, rules for stopping, requests.

In: a `LoopStudy`. Out: tables as data for the template. Intervals are Student's t over seeds; those of shares
are never narrower than the problems alone make them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from rl.iterate.record import Solved
from rl.iterate.regret import ALL_MIXES, RegretRow, RoundDifference
from rl.iterate.study import LoopStudy, mean_accuracy, values
from rl.pages.iteration.followed import request_name, unverified_frac
from rl.pages.table import Cell, Group, Note, Row, Table
from rl.stats.format import ABSENT, bare_percent, number, percent, signed
from rl.stats.intervals import mean_interval


def round_name(case: str, round_: int | None) -> str:
    """A round of a case; None is the round that is kept of each seed."""
    return f"{case}, {'round kept' if round_ is None else f'round {round_}'}"


def rounds_table(study: LoopStudy) -> Table:
    """The standard models of every case and round, a group of rows for each cell."""
    heads = (
        "Case and round",
        "Seeds",
        "Accuracy (95 % interval)",
        "Steps of right answers",
        "Full trace, same problems",
        "Steps saved",
        "With fewer steps",
        "With as many",
        "With more",
        "Not verified, of right ones with fewer",
    )
    groups = []
    for cell in study.cells:
        rows = []
        for case in study.cases:
            kept = [None] if study.kept_rounds(case) and len(study.rounds(case)) > 1 else []
            for round_ in [*study.rounds(case), *kept]:
                results = study.solved(case, cell, round_)
                accuracy = mean_accuracy(results)
                if accuracy is None:
                    continue
                mean, low, high = accuracy
                cells = (
                    Cell(text=str(len(results))),
                    Cell(text=percent(mean), notes=_ends(low, high, bare_percent)),
                    _over_seeds(values(results, lambda one: one.steps_correct), number),
                    _over_seeds(values(results, lambda one: one.full_steps_correct), number),
                    _over_seeds(values(results, saved_frac), percent),
                    _over_seeds(values(results, lambda one: one.fewer), percent),
                    _over_seeds(values(results, lambda one: one.equal), percent),
                    _over_seeds(values(results, lambda one: one.more), percent),
                    _over_seeds(values(results, lambda one: one.unverified_fewer), percent),
                )
                rows.append(Row(head=round_name(case, round_), cells=cells))
        if rows:
            groups.append(Group(name=cell, rows=tuple(rows)))
    return Table(label="standard models by case and round", heads=heads, groups=tuple(groups))


def difference_table(study: LoopStudy) -> Table | None:
    """Every round less the model trained on full traces alone; None where there is no such model."""
    base = study.full_only
    if base is None or not any(one.found for one in study.differences):
        return None
    by_name: dict[tuple[str, int | None], dict[str, RoundDifference]] = {}
    for one in study.differences:
        by_name.setdefault((one.case, one.round), {})[one.cell] = one
    rows = []
    for (case, round_), cells in by_name.items():
        figures = tuple(_difference(cells.get(cell)) for cell in study.cells)
        seeds = max((one.found.num_seeds for one in cells.values() if one.found is not None), default=0)
        if seeds:
            rows.append(Row(head=round_name(case, round_), note=_seeds(seeds), cells=figures))
    group = Group(name="", rows=tuple(rows))
    return Table(
        label="less full traces alone", heads=("Less full traces alone", *study.cells), groups=(group,)
    )


def regret_table(study: LoopStudy) -> Table | None:
    """What every rule costs on the test cells, over seeds; None before a loop has answers there."""
    if not study.regrets:
        return None
    heads = (
        "Rule",
        "Rounds kept",
        "Regret, points (95 % interval)",
        "Accuracy",
        "Steps saved",
        "Accuracy less the last round's, points",
    )
    groups = []
    for case in [*study.cases, ALL_MIXES]:
        for cell in study.test_cells:
            found = [one for one in study.regrets if one.case == case and one.cell == cell]
            if found and any(len(study.rounds(one.kept[0].case)) > 1 for one in found):
                name = "all cases, case and round chosen" if case == ALL_MIXES else case
                rows = tuple(_regret(one) for one in found)
                groups.append(Group(name=f"{cell}: {name}", about=_seeds(found[0].num_seeds), rows=rows))
    return Table(label="rules for stopping", heads=heads, groups=tuple(groups)) if groups else None


def requests_table(study: LoopStudy) -> Table | None:
    """How requests are followed on id, and what was kept of those on train; None before the first answers."""
    heads = (
        "Case and request",
        "Round",
        "Steps as asked for",
        "Right, of those",
        "Right with the steps asked for",
        "Kept for this round",
        "Not verified, of the kept",
    )
    groups = []
    for case in study.cases:
        rows = []
        for fewer in study.fewer(case):
            for round_ in study.rounds(case):
                results = study.followed(case, "id", fewer, round_)
                if not results:
                    continue
                ones = list(results.values())
                asked = study.asked(case, round_, fewer).values() if fewer else []
                unverified = [share for one in asked if (share := unverified_frac(one)) is not None]
                cells = (
                    Cell(text=str(round_)),
                    _over_seeds(
                        [s for o in ones if (s := o.consistency_real if fewer else o.consistency) is not None]
                    ),
                    _over_seeds(
                        [
                            s
                            for o in ones
                            if (s := o.accuracy_consistent_real if fewer else o.accuracy_consistent) is not None
                        ]
                    ),
                    _over_seeds([s for o in ones if (s := o.joint_real if fewer else o.joint) is not None]),
                    _over_seeds([float(one.kept) for one in asked], lambda value: number(value, 0)),
                    _over_seeds(unverified),
                )
                rows.append(Row(head=request_name(fewer), cells=cells))
        if rows:
            groups.append(Group(name=case, about=_seeds(len(study.of(case))), rows=tuple(rows)))
    return Table(label="requests for fewer steps", heads=heads, groups=tuple(groups)) if groups else None


def saved_frac(one: Solved) -> float | None:
    """Steps saved by right answers, as a share of the full traces' steps on the same problems."""
    if one.steps_correct is None or not one.full_steps_correct:
        return None
    return 1 - one.steps_correct / one.full_steps_correct


def _regret(one: RegretRow) -> Row:
    counts = Counter(str(kept) if one.case == ALL_MIXES else str(kept.round) for kept in one.kept)
    kept = ("; " if one.case == ALL_MIXES else ", ").join(
        name if num == 1 else f"{name} ({num}×)" for name, num in sorted(counts.items())
    )
    gain = Cell(text=ABSENT)
    if one.gain is not None:
        gain = Cell(text=signed(100 * one.gain, 1), notes=_ends(one.gain_low, one.gain_high, _points))
    cells = (
        Cell(text=kept),
        Cell(text=f"{100 * one.mean:.1f}", notes=_ends(one.low, one.high, lambda end: f"{100 * end:.1f}")),
        Cell(text=percent(one.accuracy)),
        Cell(text=percent(one.steps_saved)),
        gain,
    )
    return Row(head=one.rule.value, cells=cells)


def _difference(one: RoundDifference | None) -> Cell:
    if one is None or one.found is None:
        return Cell(text=ABSENT)
    notes = list(_ends(one.found.low, one.found.high, _points)) or [Note(text="no interval")]
    if one.exceeds:
        notes.append(Note(text="more than noise", css="ok" if one.found.mean > 0 else "no"))
    return Cell(text=signed(100 * one.found.mean, 1), notes=tuple(notes))


def _over_seeds(found: Sequence[float], form: Callable[[float], str] = percent) -> Cell:
    """The mean over seeds with its interval, cut off at 0 and, of a share, at 1."""
    if not found:
        return Cell(text=ABSENT)
    mean, low, high = mean_interval(found)
    if math.isnan(low):
        return Cell(text=form(mean))
    most = 1.0 if form is percent else math.inf
    low, high = (max(0.0, low) if min(found) >= 0 else low), min(most, high)
    return Cell(text=form(mean), notes=_ends(low, high, lambda end: form(end).removesuffix(" %")))


def _ends(low: float, high: float, form: Callable[[float], str]) -> tuple[Note, ...]:
    if math.isnan(low):
        return ()
    between = " to " if form is _points else "–"
    return (Note(text=f"{form(low)}{between}{form(high)}"),)


def _points(share: float) -> str:
    return signed(100 * share, 1)


def _seeds(num: int) -> str:
    return f"{num} seed{'s' * (num != 1)}"
