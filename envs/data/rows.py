"""The records of a user's data: a row, and a fault of a row.

`read.py` makes them from one source; `problems.py` joins the rows of all splits and adds the faults that only
graders and grammars find. A fault is a value: all of them are found before a policy decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from envs.problem import Split

_MAX_LISTED = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Detour:
    """A trace with a wrong turn that it takes back, written by hand.

    Example: `Detour(lines=("3 * 4 = 7", "Wait, that is a sum.", "3 * 4 = 12"), wrong=frozenset({0}))`.

    Attributes:
        lines: All lines, without the closing one.
        wrong: Positions of the lines that must not be imitated, at least one.
    """

    lines: tuple[str, ...]
    wrong: frozenset[int]

    @property
    def num_turns(self) -> int:
        """Number of wrong turns; wrong lines in a row are one."""
        return sum(place - 1 not in self.wrong for place in self.wrong)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One problem of the data, with the traces written for it.

    Attributes:
        source: File, folder or data set, as the settings name it.
        number: Position of the row there, from 1.
        question: The task text, with lettered choices where the data has them.
        answer: The right answer, as the data states it.
        solution: The lines of the full trace; empty if there is none.
        skipped: Shorter versions of it, each with its lines.
        detours: Versions with a wrong turn.
        level: Difficulty, 0 if it is not given.
        split: The split that the row names; None if it names none.
        stated: The answers that traces state: pairs of the trace's name, as faults have it, and the answer.
    """

    source: str
    number: int
    question: str
    answer: str
    solution: tuple[str, ...] = ()
    skipped: tuple[tuple[str, ...], ...] = ()
    detours: tuple[Detour, ...] = ()
    level: int = 0
    split: Split | None = None
    stated: tuple[tuple[str, str], ...] = ()

    @property
    def where(self) -> str:
        """Source and row, for messages."""
        return f"{self.source} row {self.number}"

    @property
    def question_key(self) -> str:
        """What tells questions apart: all but the spaces."""
        return question_key(self.question)

    def fault(self, kind: FaultKind, reason: str) -> RowFault:
        """Something that is wrong with the row."""
        return RowFault(source=self.source, number=self.number, kind=kind, reason=reason)


def question_key(question: str) -> str:
    """A question without what does not tell it from others: its spaces."""
    return " ".join(question.split())


class FaultKind(StrEnum):
    """What is wrong with a row, as counts of faults name it."""

    RECORD = "not a row"
    COLUMN = "a column is missing"
    VALUE = "a value cannot be read"
    GOLD = "the right answer cannot be graded against"
    WRONG = "the right answer is another"
    NUM_STEPS = "another number of steps than stated"
    SPELLING = "the right answer refuses its own plain spelling"
    CONTRADICTION = "two answers to one question"
    SPLITS = "a question in two splits"
    TRACE_ANSWER = "a trace does not lead to the answer"
    TRACE_STEP = "a trace is not verified"
    TRACE_LENGTH = "a skipped trace is no shorter"
    NO_FULL = "a skipped trace has no full one"


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFault:
    """One thing that is wrong with a row.

    Attributes:
        source: File, folder or data set, as the settings name it.
        number: Position of the row there, from 1.
        kind: What it is.
        reason: The same with the row's own values, in one line.
    """

    source: str
    number: int
    kind: FaultKind
    reason: str

    def __str__(self) -> str:
        """Source, row and reason in one line."""
        return f"{self.source} row {self.number}: {self.reason}"


def describe_faults(faults: Sequence[RowFault], *, max_listed: int = _MAX_LISTED) -> str:
    """One line with the number of faults of each kind and the first of them."""
    counts = Counter(fault.kind for fault in faults)
    kinds = ", ".join(f"{kind} ({counts[kind]:,})" for kind in FaultKind if counts[kind])
    listed = "; ".join(str(fault) for fault in faults[:max_listed])
    more = f"; and {len(faults) - max_listed:,} more" if len(faults) > max_listed else ""
    return f"{kinds}: {listed}{more}"
