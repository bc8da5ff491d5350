"""The report's plot of steps against difficulty: how answers grow with the problems, stage by stage.

In: the results of every stage by split. Out: a plot for each split with several buckets, and the stages drawn;
none where no answer is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from rl.pages.figures import Plot
from rl.pages.run.trade_off import MARKERS
from rl.pages.steps import worded
from rl.pages.style import stage_colour, stand_in
from rl.pages.svg import RC, name_y_axis, to_svg
from rl.runs.record import SplitResult, Stage
from rl.stats.format import number

_LEAST = 3
"""Buckets that a plot needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketSteps:
    """Steps by bucket.

    Attributes:
        plots: By split.
        stages: The stages that are drawn in any of them, in order.
    """

    plots: Sequence[Plot]
    stages: Sequence[Stage]


def steps_by_bucket(
    results: Mapping[str, Sequence[tuple[Stage, SplitResult]]], *, checked: bool
) -> BucketSteps | None:
    """The plots; None without any.

    Args:
        results: By split.
        checked: Whether steps are checked; else the plots say that they are counted.
    """
    plots, drawn = [], set[Stage]()
    axis = worded("steps per correct answer", checked=checked)
    for place, (split, found) in enumerate(results.items()):
        buckets = list(dict.fromkeys(name for _, result in found for name in result.buckets))
        lines = {stage: [_steps(result, name) for name in buckets] for stage, result in found}
        lines = {stage: steps for stage, steps in lines.items() if any(one is not None for one in steps)}
        if lines and len(buckets) >= _LEAST:
            plots.append(Plot(title=split, svg=_plot(buckets, lines, f"bucket{place}", split, axis)))
            drawn |= lines.keys()
    return BucketSteps(plots=plots, stages=[stage for stage in Stage if stage in drawn]) if plots else None


def _steps(result: SplitResult, bucket: str) -> float | None:
    found = result.buckets.get(bucket)
    return None if found is None else found.steps_per_correct


def _plot(
    buckets: Sequence[str], lines: Mapping[Stage, Sequence[float | None]], name: str, split: str, axis: str
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
        name_y_axis(axes, axis)
        named = {stage: zip(buckets, map(number, steps), strict=True) for stage, steps in lines.items()}
        said = [f"{stage.label}: {', '.join(map(' '.join, found))}" for stage, found in named.items()]
        alt = f"{axis[0].upper()}{axis[1:]} by difficulty bucket on {split}; {'; '.join(said)}"
        return to_svg(figure, name, alt)
