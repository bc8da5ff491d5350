"""The report of a run: one HTML page that needs nothing but itself.

In: a run folder, finished or not. Out: `report.html` in it: the verdict, accuracy against steps, all results,
curves of the training, step counts and problems before and after, provenance. No scripts, no outside files, and
the same bytes for the same folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rl.pages.html import page, visible
from rl.pages.run.backtracks import backtracks
from rl.pages.run.buckets import by_bucket
from rl.pages.run.curves import training
from rl.pages.run.examples import problems, provenance, result_table
from rl.pages.run.plots import step_counts
from rl.pages.run.trade_off import Point, trade_off
from rl.pages.run.verdict import verdict
from rl.pages.style import stage_colour
from rl.runs.folder import write_text
from rl.runs.read import RunRecord, read_run
from rl.runs.record import SplitResult, Stage
from rl.stats.format import bare_percent, number, percent

_EXAMPLES = (8, 3)
"""Problems shown of the first split, and of each other one."""

_SHAPES = {Stage.BASE: "■", Stage.WARM: "●", Stage.GRPO: "◆"}


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder.

    Returns:
        Its path.

    Raises:
        RunFolderError: The folder holds no run, or one of its files is damaged.
    """
    path = folder / "report.html"
    write_text(path, render_report(read_run(folder)))
    return path


def render_report(run: RunRecord) -> str:
    """The whole page."""
    env = run.config.get("env") or {}
    results = {split: list(run.results(split).items()) for split in run.splits}
    parts = [
        f'<header><p class="kind">Run report · {visible(env.get("name", "unknown task"))}</p>'
        f'<h1>{visible(run.name)}</h1><p class="verdict">{_tied(visible(verdict(run)))}</p>',
        _tiles(run),
        "</header>",
        "<h2>Accuracy against steps</h2>",
        _trade_offs(run),
        "<h2>All results</h2>",
        result_table(run),
        '<p class="note">Greedy decoding unless the column says sampled. Figures per trace are means over all '
        "problems of the split, figures per correct answer over the correct ones; a dash stands where there is "
        "none. Steps saved is the mean of 1 − steps / full steps, every correct answer counting alike; the "
        "sentence at the top compares means of steps instead. A real backtrack went back and then took another "
        "branch; a wasted step was undone later; cut off means stopped at the length limit.</p>",
        by_bucket(results),
        backtracks(results),
        "<h2>Training</h2>",
        training(run),
        "<h2>Step counts before and after</h2>",
        _distributions(run),
        "<h2>The same problems before and after</h2>",
        _examples(run),
        "<h2>Where this comes from</h2>",
        provenance(run),
    ]
    return page(f"{run.name}: run report", parts)


def _tied(text: str) -> str:
    return text.replace(" %", "&nbsp;%")


def _tiles(run: RunRecord) -> str:
    if not run.splits:
        return ""
    split = run.splits[0]
    before, after = run.before_after(split)
    assert after is not None
    results = run.results(split)
    now, then = results[after], results[before] if before is not None else None
    figures: tuple[tuple[str, Callable[[SplitResult], str]], ...] = (
        (f"Correct on {split}", lambda result: percent(result.accuracy)),
        ("Every step valid", lambda result: percent(result.verified)),
        ("Steps per correct answer", lambda result: number(result.steps_per_correct)),
        ("Steps saved against full traces", lambda result: percent(result.steps_saved)),
    )
    tiles = []
    for place, (name, figure) in enumerate(figures):
        notes = []
        if place == 0:
            notes.append(f"95 % interval {bare_percent(now.accuracy_low)}–{percent(now.accuracy_high)}")
        if before is not None and then is not None:
            notes.append(f"{before.label}: {figure(then)}")
        tiles.append(
            f"<div><dt>{visible(name)}</dt><dd>{_tied(figure(now))}"
            f"<small>{_tied(visible('; '.join(notes)))}</small></dd></div>"
        )
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _trade_offs(run: RunRecord) -> str:
    if not run.stages:
        return "<p>No stage has been evaluated yet.</p>"
    figures, said = [], []
    for place, split in enumerate(run.splits):
        results = run.results(split)
        points = [
            Point(
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
        said.append(f"<li>{_tied(_said(split, results, full))}</li>")
        if points:
            alt = f"Accuracy against steps per correct answer on {visible(split)}"
            svg = trade_off(points, full, name=f"trade{place}", alt=alt)
            figures.append(f"<figure><figcaption>{visible(split)}</figcaption>{svg}</figure>")
    legend = "".join(
        f'<li><b style="color:var(--{stage_colour(stage)})">{_SHAPES[stage]}</b>{visible(stage.label)}</li>'
        for stage in run.stages
    )
    listed = f'<ul class="said">{"".join(said)}</ul>'
    intro = (
        "<p>Up and to the left is better: more problems solved, in fewer steps. Bars are 95 % intervals of the "
        "accuracy (Wilson); arrows go from stage to stage; the dashed line is the mean of the full traces.</p>"
        f'<ul class="legend">{legend}</ul>'
    )
    if len(figures) == 1:
        return f'{intro}<div class="pair">{figures[0]}{listed}</div>'
    return f'{intro}<div class="panels wide">{"".join(figures)}</div>{listed}'


def _said(split: str, results: Mapping[Stage, SplitResult], full: float) -> str:
    text = f"<b>{visible(split)}</b>: "
    placed = [stage for stage, result in results.items() if result.steps_per_correct is not None]
    if not placed:
        num = next(iter(results.values())).num_problems
        who = visible(" or ".join(stage.label for stage in results))
        return text + (
            f"no correct answer in {num} problems from {who}. There are no steps per correct answer to "
            f"show, so this split has no plot (full traces: {full:.2f} steps)."
        )
    text += " → ".join(
        f"{visible(stage.label)} {percent(results[stage].accuracy)} at "
        f"{number(results[stage].steps_per_correct)} steps"
        for stage in placed
    )
    text += f"; full traces {full:.2f}."
    absent = visible(" and ".join(stage.label for stage in results if stage not in placed))
    return text + (f" Without a correct answer, and so without a point: {absent}." if absent else "")


def _distributions(run: RunRecord) -> str:
    figures: list[str] = []
    used: list[Stage] = []
    for place, split in enumerate(run.splits):
        stages = [stage for stage in run.before_after(split) if stage is not None]
        rows = {stage: list(run.completions[stage].get(split, {}).values()) for stage in stages}
        rows = {stage: found for stage, found in rows.items() if found}
        if not rows:
            continue
        used += rows
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
        svg = step_counts(counts, full, name=f"counts{place}", alt=f"Step counts on {visible(split)}")
        figures.append(
            f"<figure><figcaption>{visible(split)}<p>correct: {visible(right)}</p></figcaption>{svg}</figure>"
        )
    if not figures:
        return "<p>There are no evaluated completions yet.</p>"
    legend = "".join(
        f'<li><i class="box" style="background:var(--{stage_colour(stage)})"></i>'
        f"{visible(stage.label)}, correct</li>"
        for stage in dict.fromkeys(used)
    )
    return (
        "<p>Steps of the greedy completions, the earlier stage above the later one.</p>"
        f'<ul class="legend">{legend}<li><i class="box" style="background:var(--wrong);outline:1px dashed '
        'var(--muted)"></i>not correct (hatched)</li><li><i style="border-color:var(--ink);'
        'border-top-width:1px"></i>full traces of the same problems</li></ul>'
        f'<div class="panels">{"".join(figures)}</div>'
    )


def _examples(run: RunRecord) -> str:
    if not run.splits:
        return "<p>There are no evaluated completions yet.</p>"
    parts = [
        "<p>Chosen by rule, not by hand: problems are sorted into the kinds counted below, the bad news first; "
        "of each kind in turn one is shown, until there are enough. Within a kind the largest change of the "
        "number of steps comes first, then the lowest index.</p>"
        '<p class="note"><span class="mark ok">✓</span> valid step &nbsp; <span class="mark no">✗</span> '
        'invalid step, with the reason &nbsp; <span class="mark na">·</span> not checked &nbsp; '
        "↩ backtrack &nbsp; <s>struck through</s>: undone by a later backtrack</p>"
    ]
    for place, split in enumerate(run.splits):
        parts.append(f"<h3>{visible(split)}</h3>{problems(run, split, _EXAMPLES[min(place, 1)])}")
    return "".join(parts)
