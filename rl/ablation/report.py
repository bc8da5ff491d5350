"""The results of an ablation as a page, as CSV and as text.

In: a `Plan`, its runs finished or not. Out: `report.html` and `summary.csv` in its folder, and a table for the
terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.schema.ablation import Plan
from rl.compare.export import comparison_csv
from rl.compare.results import read_cases
from rl.compare.runs import FailedRun, plan_comparison
from rl.compare.stored import store
from rl.compare.study import make_study
from rl.pages.comparison.page import render_comparison
from rl.pages.comparison.text import comparison_text
from rl.runs.errors import RunFolderError
from rl.runs.files import write_text


def write_comparison(plan: Plan, failures: Sequence[FailedRun] = (), *, store_in: Path | None = None) -> Path:
    """Write `report.html` and `summary.csv`, and the stored results if `store_in` names a folder.

    Returns:
        Path of the page.

    Raises:
        RunFolderError: The folder cannot be written, or a file of a run is damaged.
    """
    compared = plan_comparison(plan, failures)
    cases = read_cases(compared)
    if store_in is not None:
        store(compared, cases, store_in)
    study = make_study(compared, cases)
    path = plan.folder / "report.html"
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_text(plan.folder / "summary.csv", comparison_csv(study))
        write_text(path, render_comparison(study))
    except OSError as error:
        raise RunFolderError(
            f"--output {plan.folder} cannot be written: {error.strerror or error}; give another"
        ) from None
    return path


def comparison(plan: Plan) -> str:
    """The results as a text table, with failures by name below."""
    return comparison_text(make_study(plan_comparison(plan)))
