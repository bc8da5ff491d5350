"""What loading a user's data left out, for those who ask: `stride data check` and `stride data skip`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from envs.data.rows import Row, RowFault
from envs.problem import Problem
from envs.trace import Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A full trace that does not hold.

    Attributes:
        lines: Its lines.
        trace: How the task judged it; None if it was refused before, since it does not lead to the answer.
    """

    lines: tuple[str, ...]
    trace: Trace | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataReport:
    """The rows as they were read, and what became of them.

    Attributes:
        rows: The rows that could be read, in order, sources one after another.
        num_rows: Rows of each source, those included that could not be read.
        faults: What is wrong with rows, in their order.
        notes: How the data was understood, a line each.
        num_steps: Number of steps of each trace that holds.
        num_unchecked: How many of them claim nothing that can be checked, if any.
        left_out: Full traces that do not hold, by question.
    """

    rows: tuple[Row, ...]
    num_rows: Mapping[str, int]
    faults: tuple[RowFault, ...] = ()
    notes: tuple[str, ...] = ()
    num_steps: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    num_unchecked: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)


class BadRowsError(ValueError):
    """Rows are refused, or none is left.

    Attributes:
        report: What is known of the data.
    """

    def __init__(self, message: str, report: DataReport) -> None:
        super().__init__(message)
        self.report = report


@runtime_checkable
class HasReport(Protocol):
    """A task whose problems come from data."""

    @property
    def data_report(self) -> DataReport:
        """What loading left out."""

    def where(self, problem: Problem) -> str:
        """Source and row of a problem."""
