"""Draws the plots of a finished study as one SVG for the docs, with the code of its page.

Loops, from their folder: accuracy and how requests are followed, by round; with ordinary runs beside them,
accuracy against steps.

    python docs/study_plots.py docs/step_skipping_addition.svg step_skipping=runs/step_skipping

Ordinary runs, from stored results (`stride ablate STUDY --store FOLDER`), a row for each: figures of the
evaluations during GRPO, each as SPLIT:FIGURE. Update 0 is the stage before.

    python docs/study_plots.py docs/unskipping.svg id:merged_lines,ood_easy:accuracy docs/results/unskipping
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from markupsafe import escape

from configs.schema.ablation import load_ablation
from rl.compare.results import CaseRecord, SeedRecord
from rl.compare.runs import plan_comparison
from rl.compare.stored import read_stored
from rl.iterate.study import LoopStudy, read_loop_study
from rl.pages.comparison.legend import case_style
from rl.pages.figures import Plot
from rl.pages.iteration.curves import GLYPHS, RoundLine, round_curves
from rl.pages.iteration.study_plots import accuracy_plots, following_plots, fronts, key_of, names, steps_plots
from rl.pages.style import COLOURS
from rl.runs.record import Stage
from rl.stats.intervals import mean_interval

WIDTH, HEIGHT, TITLE, GAP, COLUMNS = 266, 166, 22, 14, 3
FIGURES = {  # name, unit, and what one of it is in that unit
    "accuracy": ("right answers", "%", 100),
    "merged_lines": ("merged lines", "% of valid lines", 100),
    "empty_thoughts": ("empty thoughts", "%", 100),
    "steps_per_correct": ("steps per right answer", "steps", 1),
}
STYLE = """\
svg.study {{ {light} }}
@media (prefers-color-scheme: dark) {{ svg.study {{ {dark} }} }}
[data-md-color-scheme="default"] svg.study {{ {light} }}
[data-md-color-scheme="slate"] svg.study {{ {dark} }}
.study > text {{ font: 12px system-ui, sans-serif; fill: var(--ink) }}
.study > text.title, .study .task {{ font-weight: 600 }}"""

Row = tuple[str, list[tuple[str, str]], list[Plot]]
"""Name, key and name of each case, plots."""


def main(out: str, *rest: str) -> None:
    """Write a row of plots for each task of a study over loops, or for each folder of stored results."""
    prefix = Path(out).stem
    if "=" in rest[0]:
        ablation, folder = rest[0].split("=", 1)
        study = read_loop_study(plan_comparison(load_ablation(ablation, folder=Path(folder))))
        rows = [_loops(name, part, f"{prefix}{n}-") for n, (name, part) in enumerate(study.parts())]
    else:
        figures = [tuple(one.split(":", 1)) for one in rest[0].split(",")]
        rows = [_evaluations(Path(folder), figures, f"{prefix}{n}-") for n, folder in enumerate(rest[1:])]
    Path(out).write_text(svg_of_rows(rows))


def _loops(name: str, study: LoopStudy, prefix: str) -> Row:
    """Accuracy on id and on the easier test cell, and how a request for one step fewer is followed.

    With ordinary runs beside the loops: accuracy against steps on each test cell.
    """
    if study.others:
        plots = fronts(study, prefix)[:COLUMNS]
        return name, [(key_of(study, case), case) for case in names(study)], plots
    accuracy = accuracy_plots(study, prefix)[: len(study.test_cells)]
    wanted = [plot for plot in accuracy if plot.title.startswith(("id,", "ood_easy,"))]
    steps = [plot for plot in steps_plots(study, prefix) if plot.title.startswith("id,")]
    plots = [*wanted, *(following_plots(study, prefix)[1:2] or steps)]
    return name, [(key_of(study, case), case) for case in study.cases], plots


def _evaluations(folder: Path, figures: Sequence[tuple[str, ...]], prefix: str) -> Row:
    """Means over seeds with 95 % intervals, at every evaluation during GRPO."""
    comparison, cases = read_stored(folder)
    plots = []
    for place, (split, figure) in enumerate(figures):
        name, unit, scale = FIGURES[figure]
        lines = [_line(case, n, split, figure, scale) for n, case in enumerate(cases)]
        title = f"{split}, {name}"
        svg = round_curves(lines, unit=unit, name=f"{prefix}{place}", alt=f"{title} by update", over="update")
        plots.append(Plot(title=title, svg=svg))
    task = str(next(iter(comparison.configs.values()))["env"]["name"])
    return task, [(case.key, case.name) for case in cases], plots


def _line(case: CaseRecord, place: int, split: str, figure: str, scale: float) -> RoundLine:
    seeds = [_by_update(record, split, figure) for record in case.seeds.values()]
    updates = sorted({update for seed in seeds for update in seed})
    found = {
        update: mean_interval([scale * seed[update] for seed in seeds if update in seed]) for update in updates
    }
    return RoundLine(
        label=case.key,
        place=place,
        values={update: mean for update, (mean, _, _) in found.items()},
        intervals={
            update: (max(0.0, low), min(high, scale) if scale > 1 else high)
            for update, (_, low, high) in found.items()
            if not math.isnan(low)
        },
    )


def _by_update(record: SeedRecord, split: str, figure: str) -> dict[int, float]:
    before, name = record.before(Stage.GRPO), f"eval_{split}/{figure}"
    start = None if before is None else getattr(before.results[split], figure)
    during = {row.update: value for row in record.updates if (value := row.metrics.get(name)) is not None}
    return during if start is None else {0: start, **during}


def svg_of_rows(rows: Sequence[Row], height: int = HEIGHT) -> str:
    """The rows as one SVG, with a legend above each.

    Args:
        rows: What to draw.
        height: Of a plot.
    """
    top, body = 0, []
    for name, cases, plots in rows:
        body.append(_legend(name, cases, top + TITLE - 8))
        body += [_placed(plot, place * (WIDTH + GAP), top + TITLE, height) for place, plot in enumerate(plots)]
        top += height + 2 * TITLE + GAP
    names = ("light", 0), ("dark", 1)
    style = {name: " ".join(f"--{c}: {pair[at]};" for c, pair in COLOURS.items()) for name, at in names}
    width = COLUMNS * (WIDTH + GAP) - GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="study" viewBox="0 0 {width} {top}" role="img">'
    return "\n".join([head, f"<style>{STYLE.format(**style)}</style>", *body, "</svg>", ""])


def _placed(plot: Plot, x: int, y: int, height: int) -> str:
    title = f'<text x="{x}" y="{y + 12}" class="title">{escape(plot.title)}</text>'
    place = f'<svg x="{x}" y="{y + 16}" width="{WIDTH}" height="{height}" '
    return title + str(plot.svg).replace("<svg ", place, 1)


def _legend(name: str, cases: Sequence[tuple[str, str]], y: int) -> str:
    spans = [f'<tspan class="task">{escape(name)}</tspan>']
    for place, (key, case) in enumerate(cases):
        style = case_style(place)
        mark = f'<tspan style="fill:var(--{style.colour})">{GLYPHS[style.marker]} {key}</tspan>'
        spans.append(f'<tspan dx="14">{mark} {escape(case)}</tspan>')
    return f'<text x="0" y="{y}">{"".join(spans)}</text>'


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
