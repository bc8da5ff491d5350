"""Accuracy against allowed length: a plot per split with a line for the last stage of each case.

In: a `Study`. Out: plots as data for the template. A point is the mean over seeds; its band is the 95 %
interval of that mean, never narrower than the choice of problems makes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from rl.compare.results import CaseRecord
from rl.compare.study import Study
from rl.pages.comparison.legend import GROUP, case_style
from rl.pages.figures import Plot
from rl.pages.length_curve import LengthLine, length_curve
from rl.runs.record import SplitResult
from rl.stats.intervals import share_interval


def lengths(study: Study) -> list[Plot]:
    """The plots, `GROUP` cases in each; none where no case was judged under several limits."""
    plots = []
    for place, split in enumerate(study.splits):
        lines = [
            line for number, case in enumerate(study.cases) if (line := _line(case, number, split)) is not None
        ]
        for turn in range(0, len(lines), GROUP):
            shown = lines[turn : turn + GROUP]
            keys = f" · {shown[0].key} to {shown[-1].key}" if len(lines) > GROUP else ""
            name, alt = f"length{place}-{turn}", f"Accuracy against allowed length on {split}"
            plots.append(Plot(title=f"{split}{keys}", svg=length_curve(shown, name=name, alt=alt)))
    return plots


def _line(case: CaseRecord, place: int, split: str) -> LengthLine | None:
    """The line of a case, under the limits that all its seeds have; None without one."""
    results = [record.results[split] for record in case.last().values() if split in record.results]
    limits = [int(limit) for limit in results[0].by_length] if results else []
    limits = [limit for limit in limits if all(str(limit) in one.by_length for one in results)]
    if not limits:
        return None
    found = [_interval(results, limit) for limit in limits]
    style = case_style(place)
    return LengthLine(
        key=case.key,
        colour=style.colour,
        marker=style.marker,
        limits=limits,
        accuracy=[mean for mean, _, _ in found],
        low=[low for _, low, _ in found],
        high=[high for _, _, high in found],
    )


def _interval(results: Sequence[SplitResult], limit: int) -> tuple[float, float, float]:
    counts = [(one.by_length[str(limit)].accuracy * one.num_problems, one.num_problems) for one in results]
    return share_interval(counts)
