"""The figures that `stride data check` shows: `inspection.py` makes them, `table.py` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envs.data.rows import RowFault


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The rows of one file, folder or data set.

    Attributes:
        name: As the settings name it.
        num_rows: Rows in it.
        num_refused: Rows that cannot be used, or of which a trace cannot.
    """

    name: str
    num_rows: int
    num_refused: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Length:
    """Step counts of one kind of trace.

    Attributes:
        kind: `full`, or the skip rule.
        counts: Number of traces by number of steps.
        saved_frac: Share of the steps that skipped traces save of their full ones; None for full traces.
    """

    kind: str
    counts: Mapping[int, int]
    saved_frac: float | None = None

    @property
    def num_traces(self) -> int:
        """Number of traces."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """Mean number of steps."""
        return sum(steps * count for steps, count in self.counts.items()) / max(1, self.num_traces)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checks:
    """The verdicts on full traces as they are written, those that are left out included.

    Attributes:
        num_steps: Number of steps.
        reasons: Number of invalid steps by reason.
        num_unchecked: Number of steps that claim nothing that can be checked.
        num_traces: Number of traces.
        num_verified: Traces that are verified.
        num_unfinished: Traces whose steps are valid but do not reach the answer.
        num_without: Traces in which no step was found.
    """

    num_steps: int
    reasons: Mapping[str, int]
    num_traces: int
    num_verified: int
    num_unfinished: int
    num_without: int
    num_unchecked: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Worst:
    """A problem whose full trace has invalid steps or, where steps are not checked, is long.

    Attributes:
        where: Source and row, or split and index.
        num_steps: Number of steps.
        num_invalid: Number of invalid ones; None where steps are not checked.
        shown: The first invalid step with the reason, or the question.
    """

    where: str
    num_steps: int
    num_invalid: int | None
    shown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """What one answer earns on all problems.

    Attributes:
        answer: The answer.
        right_frac: Share of problems for which it is right.
    """

    answer: str
    right_frac: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """All that `stride data check` shows.

    Attributes:
        task: Name of the task.
        settings: Its settings that are not the default ones.
        sources: The data, empty for a task that draws its problems.
        faults: What is wrong with rows, in their order.
        notes: How the data was understood.
        num_problems: Problems by split.
        num_repeated: Rows, or problems of an endless task, that repeat a question.
        lengths: Step counts of full and skipped traces.
        checks: Verdicts on full traces; None where steps are not checked.
        worst: The problems with most invalid steps or, unchecked, with most steps.
        constants: What the most frequent answers earn.
        num_graded: Number of problems that these were graded on.
    """

    task: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    faults: tuple[RowFault, ...] = ()
    notes: tuple[str, ...] = ()
    num_problems: Mapping[str, int] = field(default_factory=dict)
    num_repeated: int = 0
    lengths: tuple[Length, ...] = ()
    checks: Checks | None = None
    worst: tuple[Worst, ...] = ()
    constants: tuple[Constant, ...] = ()
    num_graded: int = 0
