"""Writes what a comparison of loops has: pages, raw figures, a table for the terminal.

In: a `LoopStudy`. Out: the page of the study over rounds; where some cases are ordinary runs, the page of their
comparison beside it; CSV files; text.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rl.compare.export import comparison_csv
from rl.compare.results import CaseRecord
from rl.compare.runs import Comparison
from rl.compare.study import Study, make_study
from rl.iterate.export import answers_csv, regret_csv, rounds_csv
from rl.iterate.study import LoopStudy, mean_accuracy, values
from rl.pages.comparison.page import render_comparison
from rl.pages.comparison.text import comparison_text
from rl.pages.iteration.study import render_loops
from rl.pages.iteration.study_tables import round_name
from rl.pages.text import text_table
from rl.runs.files import write_text
from rl.stats.format import table_number


def write_pages(study: LoopStudy, page: Path) -> None:
    """Write the page of a study and, beside it, the comparison of its ordinary runs.

    Args:
        study: The study.
        page: Path of the page; `runs_page` says where the other is.

    Raises:
        OSError: A file cannot be written.
    """
    others = runs_page(page)
    if study.others:
        write_text(others, render_comparison(_ordinary(study)))
    write_text(page, render_loops(study, others=others.name if study.others else None))


def runs_page(page: Path) -> Path:
    """Where the comparison of the ordinary runs is that a study with this page has beside its loops."""
    return page.with_name(f"{page.stem}-runs.html")


def write_figures(study: LoopStudy, folder: Path) -> None:
    """Write the raw figures: `rounds.csv`, `answers.csv.gz`, `regret.csv`, and `summary.csv` of ordinary runs.

    Raises:
        OSError: A file cannot be written.
    """
    write_text(folder / "rounds.csv", rounds_csv(study))
    write_text(folder / "regret.csv", regret_csv(study))
    (folder / "answers.csv.gz").write_bytes(gzip.compress(answers_csv(study).encode(), mtime=0))
    if study.others:
        write_text(folder / "summary.csv", comparison_csv(_ordinary(study)))


def study_text(study: LoopStudy) -> str:
    """Standard models of every case and round as a text table, the regret of the rules, and ordinary runs."""
    rows = []
    for cell in study.cells:
        for case in study.cases:
            for number in study.rounds(case):
                results = study.solved(case, cell, number)
                if (accuracy := mean_accuracy(results)) is None:
                    continue
                mean, low, high = accuracy
                figures = [
                    _mean(values(results, lambda one: one.steps_correct)),
                    _mean(values(results, lambda one: one.full_steps_correct)),
                ]
                seeds = str(len(results))
                rows.append(
                    [cell, round_name(case, number), seeds, f"{mean:.3f}", f"{low:.3f}-{high:.3f}", *figures]
                )
    head = ["cell", "case and round", "seeds", "accuracy", "95 % interval", "steps/correct", "full"]
    tables = [text_table(head, rows, num_left=2)]
    found = [one for _, part in study.parts() for one in part.regrets]
    if found:
        head = ["cell", "case", "rule", "regret", "95 % interval", "accuracy"]
        regrets = [
            [
                one.cell,
                one.case,
                one.rule.value,
                f"{one.mean:.3f}",
                _ends(one.low, one.high),
                f"{one.accuracy:.3f}",
            ]
            for one in found
        ]
        tables.append(text_table(head, regrets, num_left=3))
    if study.others:
        tables.append(comparison_text(_ordinary(study)))
    if missing := study.unfinished():
        tables.append(f"unfinished: {'; '.join(missing)}")
    return "\n\n".join(tables)


def _ordinary(study: LoopStudy) -> Study:
    """The comparison of the ordinary runs of a study."""
    cases: list[CaseRecord] = list(study.others)
    return make_study(_of(study.comparison, [case.name for case in cases]), cases)


def _of(compared: Comparison, cases: Sequence[str]) -> Comparison:
    return replace(
        compared,
        folders={name: compared.folders[name] for name in cases},
        configs={name: compared.configs[name] for name in cases},
    )


def _mean(found: list[float]) -> str:
    return table_number(sum(found) / len(found) if found else None)


def _ends(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:.3f}-{high:.3f}"
