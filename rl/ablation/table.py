"""The runs of an ablation as a table: a row for each run, or for each case if the terminal has too few lines.

In: the state of each run. Out: a rich table for the terminal, a line of text for a log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.table import Table

from configs.schema.ablation import Trial
from rl.ablation.progress import Progress
from rl.ablation.schedule import TrialStatus
from rl.ablation.time_left import Estimate
from rl.pages.text import make_table
from rl.stats.format import duration

# "steps" are those of correct answers.
_HEAD = ("run", "state", "stage", "accuracy", "steps", "backtracks", "elapsed", "left")
_STYLES = {TrialStatus.RUNNING: "bold", TrialStatus.FAILED: "red", TrialStatus.WAITING: "dim"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRow:
    """A run at this moment.

    Attributes:
        trial: The run.
        state: Whether it waits, runs or has ended.
        progress: How far it is.
        elapsed_s: Seconds since it was last started; None if it was not.
        left_s: Seconds it still takes; None if it does not run or there is no estimate.
    """

    trial: Trial
    state: TrialStatus
    progress: Progress
    elapsed_s: float | None = None
    left_s: float | None = None


def trial_table(rows: Sequence[TrialRow]) -> Table:
    """A row for each run."""
    table = make_table(_HEAD, [[row.trial.name, row.state.value, *_figures([row])] for row in rows], num_left=3)
    for drawn, row in zip(table.rows, rows, strict=True):
        drawn.style = _STYLES.get(row.state)
    return table


def case_table(rows: Sequence[TrialRow]) -> Table:
    """A row for each case and shared warm start: the number of seeds in each state, and means over seeds."""
    cases: dict[str, list[TrialRow]] = {}
    for row in rows:
        cases.setdefault(row.trial.group, []).append(row)
    cells = []
    for case, seeds in cases.items():
        states = [row.state for row in seeds]
        counts = ", ".join(f"{states.count(state)} {state}" for state in TrialStatus if state in states)
        cells.append([case, counts, *_figures(seeds)])
    return make_table(_HEAD, cells, num_left=3)


def trial_line(row: TrialRow) -> str:
    """A running run on one line."""
    progress = row.progress
    figures: Mapping[str, float | None] = {
        "accuracy {:.3f}": progress.accuracy,
        "{:.2f} steps/correct": progress.steps_per_correct,
        "{:.2f} backtracks": progress.backtracks,
    }
    parts = [form.format(value) for form, value in figures.items() if value is not None]
    left = [] if row.left_s is None else [f"{duration(row.left_s)} left"]
    return f"{row.trial.name}: {', '.join([str(progress), *parts, *left])}"


def describe_estimate(found: Estimate) -> str:
    """The time left, and the number of runs it does not cover."""
    if not found.seconds:
        return "time left not known yet"
    runs = "1 run" if found.unknown == 1 else f"{found.unknown} runs"
    return f"about {duration(found.seconds)} left" + (f", plus {runs} not measured yet" * bool(found.unknown))


def _figures(rows: Sequence[TrialRow]) -> list[str]:
    """The cells after name and state: of one run, or of a case's seeds together."""
    running = [row for row in rows if row.state is TrialStatus.RUNNING]
    begun = running or [row for row in rows if row.progress.stage or row.progress.update]
    stages = "; ".join(dict.fromkeys(str(row.progress) for row in begun))
    found = [row.progress for row in begun]
    return [
        stages or "-",
        _mean([progress.accuracy for progress in found], "{:.3f}"),
        _mean([progress.steps_per_correct for progress in found], "{:.2f}"),
        _mean([progress.backtracks for progress in found], "{:.2f}"),
        _longest([row.elapsed_s for row in rows]),
        _longest([row.left_s for row in rows]),
    ]


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(fmean(known)) if known else "-"


def _longest(seconds: Sequence[float | None]) -> str:
    known = [value for value in seconds if value is not None]
    return duration(max(known)) if known else "-"
