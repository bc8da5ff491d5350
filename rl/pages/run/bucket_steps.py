"""The report's plot of steps against difficulty: how answers grow with the problems, stage by stage.

In: the results of every stage by split. Out: a plot for each split with several buckets; none where no answer
is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from rl.pages.figures import Plot
from rl.pages.run.trade_off import MARKERS
from rl.pages.style import stage_colour, stand_in
from rl.pages.svg import RC, name_y_axis, to_svg
from rl.runs.record import SplitResult, Stage
from rl.stats.format import number

_LEAST = 3
"""Buckets that a plot needs."""


def steps_by_bucket(results: Mapping[str, Sequence[tuple[Stage, SplitResult]]]) -> list[Plot]:
    """The plots.

    Args:
        results: By split.
    """
    plots = []
    for place, (split, found) in enumerate(results.items()):
        buckets = list(dict.fromkeys(name for _, result in found for name in result.buckets))
        lines = {stage: [_steps(result, name) for name in buckets] for stage, result in found}
        lines = {stage: steps for stage, steps in lines.items() if any(one is not None for one in steps)}
        if lines and len(buckets) >= _LEAST:
            plots.append(Plot(title=split, svg=_plot(buckets, lines, name=f"bucket{place}", split=split)))
    return plots


def _steps(result: SplitResult, bucket: str) -> float | None:
    found = result.buckets.get(bucket)
    return None if found is None else found.steps_per_correct


def _plot(
    buckets: Sequence[str], lines: Mapping[Stage, Sequence[float | None]], *, name: str, split: str
) -> Markup:
    with mpl.rc_context(RC):
        figure = Figure(figsize=(5.4, 3.0), layout="constrained")
        axes = figure.subplots()
        for stage, steps in lines.items():
            axes.plot(
                range(len(buckets)),
                [float("nan") if one is None else one for one in steps],
                color=stand_in(stage_colour(stage)),
                marker=MARKERS[stage],
                markersize=4,
                linewidth=1.6,
            )
        axes.set_xticks(range(len(buckets)), buckets, rotation=90 if len(buckets) > _LEAST else 0)
        for label in axes.get_xticklabels():
            label.set_parse_math(False)  # names may come from a user's data
        axes.set_ylim(bottom=0)
        name_y_axis(axes, "steps per correct answer")
        named = {stage: zip(buckets, map(number, steps), strict=True) for stage, steps in lines.items()}
        said = [f"{stage.label}: {', '.join(map(' '.join, found))}" for stage, found in named.items()]
        alt = f"Steps per correct answer by difficulty bucket on {split}; {'; '.join(said)}"
        return to_svg(figure, name, alt)
