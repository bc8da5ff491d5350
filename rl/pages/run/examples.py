"""Problems side by side, with the answer of every stage.

In: a `RunRecord`. Out: the problems of a split that are shown, and how many there are of each kind, as data for
the template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envs import StepKind, Verdict
from rl.pages.run.verdict import take_turns
from rl.runs.changes import changes
from rl.runs.read import RunRecord
from rl.runs.record import SampleRow, Stage, StepRow

MAX_LINES = 14
"""Lines of a completion that are shown; the page folds the others."""
_MARKS = {Verdict.VALID: ("ok", "✓"), Verdict.INVALID: ("no", "✗"), Verdict.UNCHECKED: ("na", "·")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A step with the mark of its verdict; `css` is the mark's class."""

    step: StepRow
    css: str
    mark: str
    is_backtrack: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A problem as one stage answered it.

    Attributes:
        stage: The stage.
        row: Its completion; None where it was not evaluated on the problem.
        lines: The first steps.
        more: The remaining steps, which the page folds.
    """

    stage: Stage
    row: SampleRow | None
    lines: tuple[Line, ...] = ()
    more: tuple[Line, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A problem with what every stage wrote; `kind` names the change between the last two stages."""

    index: int
    kind: str
    problem: SampleRow
    columns: tuple[Column, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """The problems of a split.

    Attributes:
        split: The split.
        stages: Names of the stages compared: two, or one where only one was evaluated.
        counts: How many problems of each kind there are.
        shown: Some of them, every kind in turn.
    """

    split: str
    stages: tuple[str, ...]
    counts: tuple[tuple[str, int], ...]
    shown: tuple[Example, ...]

    @property
    def num(self) -> int:
        """Problems of all kinds."""
        return sum(num for _, num in self.counts)


def examples(run: RunRecord, split: str, num: int) -> Examples | None:
    """Some problems of a split; None where the run folder has no completions of it.

    The change between the last two stages is counted for all problems; of every kind, problems are shown in
    turn (`take_turns`).
    """
    stages = [stage for stage in run.stages if run.completions[stage].get(split)]
    if not stages:
        return None
    after = run.completions[stages[-1]][split]
    kinds: dict[str, list[int]]
    if len(stages) > 1:
        before = run.completions[stages[-2]][split]
        kinds = {kind.value: indices for kind, indices in changes(before, after).items()}
    else:
        kinds = {
            "not solved": [index for index in sorted(after) if not after[index].correct],
            "solved": [index for index in sorted(after) if after[index].correct],
        }
    named = {index: kind for kind, indices in kinds.items() for index in indices}
    return Examples(
        split=split,
        stages=tuple(stage.label for stage in stages[-2:]),
        counts=tuple((kind, len(indices)) for kind, indices in kinds.items()),
        shown=tuple(
            _example({stage: run.completions[stage][split].get(index) for stage in stages}, index, named[index])
            for index in take_turns(list(kinds.values()), num)
        ),
    )


def _example(rows: Mapping[Stage, SampleRow | None], index: int, kind: str) -> Example:
    problem = next(row for row in reversed(list(rows.values())) if row is not None)
    columns = tuple(_column(stage, row) for stage, row in rows.items())
    return Example(index=index, kind=kind, problem=problem, columns=columns)


def _column(stage: Stage, row: SampleRow | None) -> Column:
    if row is None:
        return Column(stage=stage, row=None)
    lines = [step_line(step) for step in row.steps]
    return Column(stage=stage, row=row, lines=tuple(lines[:MAX_LINES]), more=tuple(lines[MAX_LINES:]))


def step_line(step: StepRow) -> Line:
    """A step with the mark of its verdict."""
    css, mark = _MARKS[step.verdict]
    return Line(step=step, css=css, mark=mark, is_backtrack=step.kind is StepKind.BACKTRACK)
