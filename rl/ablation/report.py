"""The results of an ablation as a page, as CSV and as text.

In: a `Plan`, its runs finished or not. Out: `report.html` and `summary.csv` in its folder, and a table for the
terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.schema.ablation import Plan
from rl.compare.runs import FailedRun, plan_comparison
from rl.compare.study import make_study
from rl.pages.comparison.page import render_comparison
from rl.pages.comparison.text import comparison_csv, comparison_text
from rl.runs.errors import RunFolderError
from rl.runs.folder import write_text


def write_comparison(plan: Plan, failures: Sequence[FailedRun] = ()) -> Path:
    """Write `report.html` and `summary.csv`.

    Returns:
        Path of the page.

    Raises:
        RunFolderError: The folder cannot be written, or a file of a run is damaged.
    """
    study = make_study(plan_comparison(plan, failures))
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
