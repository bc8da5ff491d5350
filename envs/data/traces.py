"""Traces written by hand, judged as a model's are.

In: a task, and a row with its problem. Out: the row without the traces that do not hold, and a fault for each
of them. A trace must lead to the row's answer: where it states an answer itself, the task grades it; where it
states none and the answer is a number, its last step must mention that number. Then the demonstration of it has
to be right in the task's own grammar, with every step valid where the task checks steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from envs.base import Env, checked_step
from envs.data.rows import FaultKind, Row, RowFault
from envs.data.values import NUMBER, to_number
from envs.grading import Grade
from envs.problem import Problem
from envs.trace import StepKind, Trace, Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A row after its traces were judged.

    Attributes:
        row: The row with the traces that hold.
        faults: Those of the others.
        num_steps: Number of steps of each trace that holds.
        num_unchecked: How many of them claim nothing that can be checked, if any.
        refused: The judgement of those that do not, as far as the task was asked for it.
    """

    row: Row
    faults: list[RowFault]
    num_steps: dict[tuple[str, ...], int]
    num_unchecked: dict[tuple[str, ...], int]
    refused: dict[tuple[str, ...], Trace]


def check_traces(env: Env[Any], problem: Problem, row: Row) -> Judged:
    """Judge all traces of a row.

    Args:
        env: The task, which can grade answers to the problem.
        problem: The row's problem.
        row: The row.
    """
    found = _Judge(env, problem, row)
    solution = found.judged("solution", row.solution)
    longest = found.num_steps[solution] if solution else None
    skipped = []
    for place, lines in enumerate(row.skipped, 1):
        name = f"skipped solution {place}"
        if found.judged(name, lines) and not found.is_as_long(name, lines, longest):
            skipped.append(lines)
    detours = []
    for place, detour in enumerate(row.detours, 1):
        right = tuple(line for at, line in enumerate(detour.lines) if at not in detour.wrong)
        if found.judged(f"detour {place}", right):
            detours.append(detour)
    if found.faults:
        row = replace(row, solution=solution, skipped=tuple(skipped), detours=tuple(detours))
    return Judged(
        row=row,
        faults=found.faults,
        num_steps=found.num_steps,
        num_unchecked=found.num_unchecked,
        refused=found.refused,
    )


def num_unchecked(trace: Trace) -> int:
    """Number of steps of a judged trace that claim nothing that can be checked."""
    return sum(step.kind is StepKind.FORWARD and step.verdict is Verdict.UNCHECKED for step in trace.steps)


class _Judge:
    """Judges the traces of one row and collects their faults."""

    def __init__(self, env: Env[Any], problem: Problem, row: Row) -> None:
        self._env = env
        self._problem = problem
        self._row = row
        self._stated = dict(row.stated)
        self.faults: list[RowFault] = []
        self.num_steps: dict[tuple[str, ...], int] = {}
        self.num_unchecked: dict[tuple[str, ...], int] = {}
        self.refused: dict[tuple[str, ...], Trace] = {}

    def judged(self, name: str, lines: tuple[str, ...]) -> tuple[str, ...]:
        """The lines if they are a sound trace, else none."""
        if not lines:
            return ()
        if reason := self._why_not_led(name, lines):
            return self._refuse(FaultKind.TRACE_ANSWER, f"the {name} {reason}")
        answer = self._problem.answer
        trace = self._env.check_demonstration(self._problem, lines)
        if not trace.passed:
            self.refused[lines] = trace
        if not trace.correct:
            reason = f"is not read back with the answer {answer!r} ({trace.grade}): {lines[-1][:80]!r}"
            return self._refuse(FaultKind.TRACE_ANSWER, f"the {name} {reason}")
        if not trace.passed:
            wrong = next((step for step in trace.steps if step.verdict is Verdict.INVALID), None)
            reason = "its steps do not reach the answer" if wrong is None else checked_step(wrong)
            return self._refuse(FaultKind.TRACE_STEP, f"the {name} is not verified: {_one_line(reason)}")
        self.num_steps[lines] = trace.num_steps
        if trace.steps_checked and (unchecked := num_unchecked(trace)):
            self.num_unchecked[lines] = unchecked
        return lines

    def is_as_long(self, name: str, lines: tuple[str, ...], longest: int | None) -> bool:
        """Whether a skipped trace has as many steps as the full one, which is a fault."""
        if longest is None or (count := self.num_steps[lines]) < longest:
            return False
        self._refuse(FaultKind.TRACE_LENGTH, f"the {name} has {count} steps, the full one {longest}")
        return True

    def _refuse(self, kind: FaultKind, reason: str) -> tuple[str, ...]:
        self.faults.append(self._row.fault(kind, reason))
        return ()

    def _why_not_led(self, name: str, lines: Sequence[str]) -> str | None:
        answer = self._problem.answer
        stated = self._stated.get(name)
        if stated is not None and stated != answer:
            right = self._env.grade_answer(self._problem, stated) is Grade.CORRECT
            return None if right else f"states the answer {stated[:80]!r}, the row {answer!r}"
        number = None if stated is not None else to_number(answer)
        if number is None or any(to_number(found) == number for found in NUMBER.findall(lines[-1])):
            return None
        return f"ends without the answer {answer!r}: {_one_line(lines[-1])!r}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:120]
