"""Draws the plots of a finished study over loops as one SVG for the docs, with the code of its page.

python docs/step_skipping_plots.py step_skipping runs/step_skipping docs/step_skipping_addition.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

from markupsafe import escape

from configs.schema.ablation import load_ablation
from rl.compare.runs import plan_comparison
from rl.iterate.study import LoopStudy, read_loop_study
from rl.pages.comparison.legend import case_style
from rl.pages.figures import Plot
from rl.pages.iteration.curves import GLYPHS
from rl.pages.iteration.study_plots import accuracy_plots, following_plots, key_of, steps_plots
from rl.pages.style import COLOURS

WIDTH, HEIGHT, TITLE, GAP = 266, 166, 22, 14
STYLE = """\
svg.study {{ {light} }}
@media (prefers-color-scheme: dark) {{ svg.study {{ {dark} }} }}
[data-md-color-scheme="default"] svg.study {{ {light} }}
[data-md-color-scheme="slate"] svg.study {{ {dark} }}
.study > text {{ font: 12px system-ui, sans-serif; fill: var(--ink) }}
.study > text.title, .study .task {{ font-weight: 600 }}"""


def main(ablation: str, folder: str, out: str) -> None:
    """Write a row of plots for each task of the study."""
    study = read_loop_study(plan_comparison(load_ablation(ablation, folder=Path(folder))))
    top, body = 0, []
    for number, (name, part) in enumerate(study.parts()):
        prefix = f"{Path(out).stem}{number}-"
        body.append(_legend(name, part, top + TITLE - 8))
        for place, plot in enumerate(_chosen(part, prefix)):
            body.append(_placed(plot, place * (WIDTH + GAP), top + TITLE))
        top += HEIGHT + 2 * TITLE + GAP
    names = ("light", 0), ("dark", 1)
    style = {name: " ".join(f"--{c}: {pair[at]};" for c, pair in COLOURS.items()) for name, at in names}
    width = 3 * (WIDTH + GAP) - GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="study" viewBox="0 0 {width} {top}" role="img">'
    Path(out).write_text("\n".join([head, f"<style>{STYLE.format(**style)}</style>", *body, "</svg>", ""]))


def _chosen(study: LoopStudy, prefix: str) -> list[Plot]:
    """Accuracy on id and on the easier test cell, and how a request for one step fewer is followed."""
    accuracy = accuracy_plots(study, prefix)[: len(study.test_cells)]
    wanted = [plot for plot in accuracy if plot.title.startswith(("id,", "ood_easy,"))]
    steps = [plot for plot in steps_plots(study, prefix) if plot.title.startswith("id,")]
    return [*wanted, *(following_plots(study, prefix)[1:2] or steps)]


def _placed(plot: Plot, x: int, y: int) -> str:
    title = f'<text x="{x}" y="{y + 12}" class="title">{escape(plot.title)}</text>'
    place = f'<svg x="{x}" y="{y + 16}" width="{WIDTH}" height="{HEIGHT}" '
    return title + str(plot.svg).replace("<svg ", place, 1)


def _legend(name: str, study: LoopStudy, y: int) -> str:
    spans = [f'<tspan class="task">{escape(name)}</tspan>']
    for place, case in enumerate(study.cases):
        style = case_style(place)
        mark = f'<tspan style="fill:var(--{style.colour})">{GLYPHS[style.marker]} {key_of(study, case)}</tspan>'
        spans.append(f'<tspan dx="14">{mark} {escape(case)}</tspan>')
    return f'<text x="0" y="{y}">{"".join(spans)}</text>'


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
