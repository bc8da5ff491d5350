"""The results of an ablation as a page, as CSV and as text.

In: a `Plan`, its runs finished or not. Out: `report.html` and `summary.csv` in its folder, with `eval.search`
also `searches.csv` (each seed) and `mean_searches.csv`, and a table for the terminal. Where cases are
step-skipping loops, the page is that of the study over their rounds, and the figures are those of its rounds;
ordinary cases have their comparison beside it. Expert iteration likewise: `rounds.csv` (each seed) and
`mean_rounds.csv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs import ConfigError
from configs.schema.ablation import Plan
from rl.compare.expert import has_experts, mean_rounds_csv, read_expert_study, rounds_csv
from rl.compare.export import comparison_csv
from rl.compare.results import read_cases
from rl.compare.runs import Comparison, FailedRun, plan_comparison
from rl.compare.searches import mean_searches_csv, searches_csv
from rl.compare.stored import store
from rl.compare.study import make_study
from rl.iterate.study import has_loops, read_loop_study
from rl.pages.comparison.page import render_comparison
from rl.pages.comparison.text import comparison_text
from rl.pages.iteration.write_study import study_text, write_figures, write_pages
from rl.pages.search.expert_study import expert_study_text, render_expert_study
from rl.runs.errors import RunFolderError
from rl.runs.files import write_text


def check_store(plan: Plan, store_in: Path | None) -> None:
    """Refuse to store what has no stored form.

    Raises:
        ConfigError: The ablation has rounds.
    """
    compared = plan_comparison(plan)
    if store_in is not None and (has_loops(compared) or has_experts(compared)):
        raise ConfigError(
            f"--store {store_in} is for comparisons of ordinary runs, but this ablation has rounds (iterate, "
            "expert_iteration); leave it out: the CSV files beside the report have every figure"
        )


def write_comparison(plan: Plan, failures: Sequence[FailedRun] = (), *, store_in: Path | None = None) -> Path:
    """Write `report.html` and the raw figures, and the stored results if `store_in` names a folder.

    Returns:
        Path of the page.

    Raises:
        ConfigError: `store_in` is given, and there are rounds.
        RunFolderError: The folder cannot be written, or a file of a run is damaged.
    """
    check_store(plan, store_in)
    compared = plan_comparison(plan, failures)
    path = plan.folder / "report.html"
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        if has_loops(compared):
            loops = read_loop_study(compared)
            write_figures(loops, plan.folder)
            write_pages(loops, path)
        elif has_experts(compared):
            experts = read_expert_study(compared)
            write_text(path.with_name("rounds.csv"), rounds_csv(experts))
            write_text(path.with_name("mean_rounds.csv"), mean_rounds_csv(experts))
            write_text(path, render_expert_study(experts))
        else:
            _write_ordinary(compared, path, store_in)
    except OSError as error:
        raise RunFolderError(
            f"--output {plan.folder} cannot be written: {error.strerror or error}; give another"
        ) from None
    return path


def comparison(plan: Plan) -> str:
    """The results as a text table, with failures by name below."""
    compared = plan_comparison(plan)
    if has_loops(compared):
        return study_text(read_loop_study(compared))
    if has_experts(compared):
        return expert_study_text(read_expert_study(compared))
    return comparison_text(make_study(compared))


def _write_ordinary(compared: Comparison, path: Path, store_in: Path | None) -> None:
    cases = read_cases(compared)
    if store_in is not None:
        store(compared, cases, store_in)
    study = make_study(compared, cases)
    write_text(path.with_name("summary.csv"), comparison_csv(study))
    if study.searches:
        write_text(path.with_name("searches.csv"), searches_csv(study.searches))
        write_text(path.with_name("mean_searches.csv"), mean_searches_csv(study.searches, study.splits))
    write_text(path, render_comparison(study))
