"""The first sections of a run's report: headline figures, accuracy against steps, step counts.

In: a `RunRecord`. Out: data for the template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rl.pages.figures import Plot, Tile
from rl.pages.run.plots import step_counts
from rl.pages.run.trade_off import StagePoint, trade_off
from rl.pages.steps import worded
from rl.runs.read import RunRecord
from rl.runs.record import SampleRow, SplitResult, Stage
from rl.stats.format import bare_percent, number, percent

_SHAPES = {Stage.BASE: "■", Stage.WARM: "●", Stage.KEY_STEPS: "▲", Stage.GRPO: "◆"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TradeOffs:
    """Accuracy against steps.

    Attributes:
        legend: The mark of each stage.
        plots: One for each split with correct answers.
        lines: The same as text: a split and its sentence.
    """

    legend: tuple[tuple[Stage, str], ...]
    plots: tuple[Plot, ...]
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Distributions:
    """Step counts before and after: the stages drawn, and one plot per split."""

    stages: tuple[Stage, ...]
    plots: tuple[Plot, ...]


def tiles(run: RunRecord) -> list[Tile]:
    """The headline figures of the last stage on the first split, the stage before it below each."""
    if not run.splits:
        return []
    split = run.splits[0]
    before, after = run.before_after(split)
    assert after is not None
    results = run.results(split)
    now, then = results[after], results[before] if before is not None else None
    figures: list[tuple[str, Callable[[SplitResult], str]]] = [
        (f"Correct on {split}", lambda result: percent(result.accuracy)),
        (
            worded("Steps per correct answer", checked=run.steps_checked),
            lambda result: number(result.steps_per_correct),
        ),
    ]
    if run.steps_checked:
        figures.insert(1, ("No step invalid", lambda result: percent(result.verified)))
        figures.append(("Steps saved against full traces", lambda result: percent(result.steps_saved)))
    else:
        figures.append(("Tokens per completion", lambda result: number(result.tokens, 1)))
    made = []
    for place, (name, figure) in enumerate(figures):
        notes = []
        if place == 0:
            notes.append(f"95 % interval {bare_percent(now.accuracy_low)}–{percent(now.accuracy_high)}")
            notes += [] if now.greedy else ["mean over all samples"]
        if before is not None and then is not None:
            notes.append(f"{before.label}: {figure(then)}")
        made.append(Tile(name=name, figure=figure(now), notes=tuple(notes)))
    return made


def trade_offs(run: RunRecord) -> TradeOffs:
    """Accuracy against steps per correct answer on every split."""
    plots, lines = [], []
    for place, split in enumerate(run.splits):
        results = run.results(split)
        points = [
            StagePoint(
                stage=stage,
                steps=result.steps_per_correct,
                accuracy=result.accuracy,
                low=result.accuracy_low,
                high=result.accuracy_high,
            )
            for stage, result in results.items()
            if result.steps_per_correct is not None
        ]
        full = next(iter(results.values())).full_steps
        lines.append((split, _sentence(results, full)))
        if points:
            steps = worded("steps per correct answer", checked=run.steps_checked)
            svg = trade_off(
                points, full, steps=steps, name=f"trade{place}", alt=f"Accuracy against {steps} on {split}"
            )
            plots.append(Plot(title=split, svg=svg))
    legend = tuple((stage, _SHAPES[stage]) for stage in run.stages)
    return TradeOffs(legend=legend, plots=tuple(plots), lines=tuple(lines))


def _sentence(results: Mapping[Stage, SplitResult], full: float) -> str:
    placed = [stage for stage, result in results.items() if result.steps_per_correct is not None]
    if not placed:
        num = next(iter(results.values())).num_problems
        stages = " or ".join(stage.label for stage in results)
        return (
            f"no correct answer in {num} problems from {stages}. There are no steps per correct answer to "
            f"show, so this split has no plot (full traces: {full:.2f} steps)."
        )
    text = " → ".join(
        f"{stage.label} {percent(results[stage].accuracy)} at {number(results[stage].steps_per_correct)} steps"
        for stage in placed
    )
    absent = " and ".join(stage.label for stage in results if stage not in placed)
    rest = f" Not in the plot, without a correct answer: {absent}." if absent else ""
    return f"{text}; full traces {full:.2f}.{rest}"


def distributions(run: RunRecord) -> Distributions:
    """How many steps completions take, before and after the last stage."""
    plots: list[Plot] = []
    drawn: list[Stage] = []
    for place, split in enumerate(run.splits):
        stages = [stage for stage in run.before_after(split) if stage is not None]
        rows = {stage: list(run.completions[stage].get(split, {}).values()) for stage in stages}
        rows = {stage: found for stage, found in rows.items() if found}
        if rows:
            drawn += rows
            plots.append(_distribution(split, rows, f"counts{place}"))
    return Distributions(stages=tuple(dict.fromkeys(drawn)), plots=tuple(plots))


def _distribution(split: str, rows: Mapping[Stage, list[SampleRow]], name: str) -> Plot:
    counts = [
        (
            stage,
            [row.num_steps for row in found if row.correct],
            [row.num_steps for row in found if not row.correct],
        )
        for stage, found in rows.items()
    ]
    full = [row.full_steps for row in next(iter(rows.values()))]
    right = " → ".join(f"{stage.label} {len(ok)} of {len(ok) + len(no)}" for stage, ok, no in counts)
    svg = step_counts(counts, full, name=name, alt=f"Step counts on {split}")
    return Plot(title=split, notes=(f"correct: {right}",), svg=svg)
