"""The plots of a study over loops: figures by round with a line for each case, and accuracy against steps.

In: a `LoopStudy`. Out: plots as data for the template. Lines are means over seeds, bands their 95 %
intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from string import ascii_lowercase

from rl.compare.means import mean_share
from rl.iterate.record import Solved
from rl.iterate.study import LoopStudy, mean_accuracy, values
from rl.pages.comparison.legend import case_style
from rl.pages.comparison.scatter import CasePoint, front_plot
from rl.pages.figures import Plot
from rl.pages.iteration.curves import RoundLine, round_curves
from rl.pages.iteration.followed import request_name
from rl.pages.iteration.solved import steps_frac
from rl.pages.iteration.study_tables import round_name
from rl.stats.intervals import mean_interval

_STEPS = "steps per correct answer"
_Interval = tuple[float, float, float]


def names(study: LoopStudy) -> list[str]:
    """All cases: loops, then ordinary runs."""
    return [*study.cases, *(case.name for case in study.others)]


def key_of(study: LoopStudy, case: str) -> str:
    """The letter of a case in plots."""
    return ascii_lowercase[names(study).index(case) % 26]


def accuracy_plots(study: LoopStudy, name: str) -> list[Plot]:
    """Accuracy by round, a panel for each cell; `name` begins the ids of the SVGs, as in all functions here."""
    return [
        plot
        for place, cell in enumerate(study.cells)
        if (
            plot := _panel(
                study,
                cell,
                mean_accuracy,
                "right answers, %",
                f"{name}accuracy{place}",
                f"{cell}, accuracy",
                102.0,
            )
        )
    ]


def steps_plots(study: LoopStudy, name: str) -> list[Plot]:
    """Steps of right answers by round, as a share of the full traces' on the same problems."""

    def share(results: Mapping[int, Solved]) -> _Interval | None:
        return _mean(values(results, steps_frac))

    return [
        plot
        for place, cell in enumerate(study.cells)
        if (
            plot := _panel(
                study, cell, share, "steps, % of the full trace", f"{name}steps{place}", f"{cell}, steps", None
            )
        )
    ]


def following_plots(study: LoopStudy, name: str) -> list[Plot]:
    """Right answers with the steps asked for, on real skips of id, a panel for each request."""
    plots = []
    for fewer in sorted({fewer for case in study.cases for fewer in study.fewer(case)}):
        lines = []
        for place, case in enumerate(study.cases):
            found: dict[int, _Interval] = {}
            for number in study.rounds(case):
                rows = study.followed(case, "id", fewer, number).values()
                shares = [s for one in rows if (s := one.joint_real if fewer else one.joint) is not None]
                if (mean := _mean(shares)) is not None:
                    found[number] = mean
            lines.append(_line(key_of(study, case), place, found))
        if any(line.values for line in lines):
            title = f"Right with the steps asked for: {request_name(fewer)}"
            svg = round_curves(lines, unit="%", name=f"{name}joint{fewer}", alt=title, top=102.0)
            plots.append(Plot(title=title, svg=svg))
    return plots


def fronts(study: LoopStudy, name: str) -> list[Plot]:
    """Accuracy against steps on every test cell: loops at the round kept, full traces alone, ordinary runs."""
    plots = []
    for place, cell in enumerate(study.test_cells):
        points, absent = [], []
        for case in study.cases:
            style = case_style(names(study).index(case))
            results = study.solved(case, cell, None) or _last(study, case, cell)
            key = key_of(study, case)
            point = _point(key, case, style.colour, style.marker, results)
            if point is not None:
                points.append(point)
            elif results:
                absent.append(f"{case}, no correct answer")
        for record in study.others:
            style = case_style(names(study).index(record.name))
            ordinary = {seed: one.results[cell] for seed, one in record.last().items() if cell in one.results}
            costs = [one.steps_per_correct for one in ordinary.values() if one.steps_per_correct is not None]
            if not costs:
                absent += [f"{record.name}, no correct answer"] if ordinary else []
                continue
            known = [one for one in ordinary.values() if one.steps_per_correct is not None]
            _, low, high = mean_share(known, lambda one: one.accuracy)
            points.append(
                CasePoint(
                    key=key_of(study, record.name),
                    name=record.name,
                    colour=style.colour,
                    marker=style.marker,
                    hollow=False,
                    costs=tuple(costs),
                    accuracies=tuple(100 * one.accuracy for one in known),
                    interval=(100 * low, 100 * high),
                )
            )
        if (base := study.full_only) is not None:
            results = study.solved(base.case, cell, base.round)
            start = _point("full", round_name(base.case, base.round), "muted", "o", results, hollow=True)
            points += [start] if start is not None else []
        if points:
            plots.append(front_plot(cell, _STEPS, points, absent, f"{name}front{place}"))
    return plots


def _last(study: LoopStudy, case: str, cell: str) -> dict[int, Solved]:
    """Results of the last round that all seeds have, where no round was chosen."""
    last = min((loop.last_round for loop in study.of(case)), default=-1)
    return study.solved(case, cell, last)


def _point(
    key: str, name: str, colour: str, marker: str, results: Mapping[int, Solved], *, hollow: bool = False
) -> CasePoint | None:
    known = {seed: one for seed, one in results.items() if one.steps_correct is not None}
    accuracy = mean_accuracy(known)
    if accuracy is None:
        return None
    _, low, high = accuracy
    return CasePoint(
        key=key,
        name=name,
        colour=colour,
        marker=marker,
        hollow=hollow,
        costs=tuple(values(known, lambda one: one.steps_correct)),
        accuracies=tuple(100 * share for share in values(known, lambda one: one.accuracy)),
        interval=(100 * low, 100 * high),
    )


def _panel(
    study: LoopStudy,
    cell: str,
    figure: Callable[[Mapping[int, Solved]], _Interval | None],
    unit: str,
    name: str,
    title: str,
    top: float | None,
) -> Plot | None:
    lines = []
    for place, case in enumerate(study.cases):
        found = {number: figure(study.solved(case, cell, number)) for number in study.rounds(case)}
        known = {number: one for number, one in found.items() if one is not None}
        lines.append(_line(key_of(study, case), place, known))
    if not any(line.values for line in lines):
        return None
    return Plot(
        title=title, svg=round_curves(lines, unit=unit, name=name, alt=f"{unit} on {cell} by round", top=top)
    )


def _line(label: str, place: int, found: Mapping[int, _Interval]) -> RoundLine:
    return RoundLine(
        label=label,
        place=place,
        values={number: 100 * mean for number, (mean, _, _) in found.items()},
        intervals={
            number: (100 * max(0.0, low), 100 * high)
            for number, (_, low, high) in found.items()
            if not math.isnan(low)
        },
    )


def _mean(shares: list[float]) -> _Interval | None:
    return mean_interval(shares) if shares else None
