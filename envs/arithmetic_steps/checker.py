"""Checked steps in word problems: every equation of a text is a step, and is judged.

In: a problem and the text of a completion. Out: one `Step` per equation, and a verdict on each:

- *wrong arithmetic*: a side does not equal the one before it (`claims.py`);
- *unknown operand*: a side uses a number that neither the question, nor an earlier equation, nor the declared
  list of `operands.py` accounts for;
- *too much merged*: more operations than `max_merge`;
- otherwise the step is valid.

Linear equations in one letter (`unknowns.py`) are steps as well: the first one sets the letter up and is
unchecked, one with the same solution is valid, and the letter with another value is wrong.

The result of an invalid step stands as claimed, so that one mistake is reported once; the trace cannot be
verified any more. A text is finished if the last equation states the right answer and uses a number of the
question or an earlier result. This proves arithmetic, not the idea: a wrong operation that is computed right
is a valid step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from envs.arithmetic_steps.claims import holds
from envs.arithmetic_steps.equations import find_equations
from envs.arithmetic_steps.operands import CONSTANTS, numbers
from envs.arithmetic_steps.sides import Equation, Side
from envs.arithmetic_steps.unknowns import LinearEquation, find_linear
from envs.maths.grader import read_answer
from envs.maths.values import Kind
from envs.path import StepError, UncheckedStep
from envs.problem import Problem
from envs.trace import Step, StepKind

WRONG = "wrong arithmetic"
UNKNOWN = "unknown operand"
MERGED = "too much merged"
MAX_RESULTS = 256
MAX_UNKNOWNS = 16


class Unknown(NamedTuple):
    """A letter, its last equation, and whether the numbers of its first one were all known."""

    equation: LinearEquation
    is_grounded: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The state between two steps.

    Attributes:
        given: The numbers of the question.
        results: The results of the equations so far, at most `MAX_RESULTS` of them.
        last: What the last equation states, in every way it may be read; empty if it rests on constants alone.
        answer: The right answer, in every way it may be read; empty if it is not a number.
        unknowns: The letters that linear equations have set up.
    """

    given: frozenset[Fraction]
    results: frozenset[Fraction]
    last: frozenset[Fraction]
    answer: frozenset[Fraction]
    unknowns: tuple[Unknown, ...] = ()


def _apart(spans: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans that overlap none of the others, which are in order."""
    found = []
    for start, end in spans:
        at = bisect_left(others, (start, end))
        before, after = others[at - 1 : at] if at else [], others[at : at + 1]
        if all(last <= start for _, last in before) and all(end <= first for first, _ in after):
            found.append((start, end))
    return found


class ArithmeticSteps:
    """Finds and judges the equations of completions.

    Args:
        max_merge: Most operations that one equation may do.
    """

    def __init__(self, max_merge: int = 2) -> None:
        self.max_merge = max_merge

    def read_steps(self, text: str, others: Sequence[Step] = ()) -> tuple[Step, ...]:
        """One step per equation, in order, among steps of other kinds, such as backtracks.

        An equation in another step begins where that one is cut off, so that no two overlap.
        """
        spans = [equation.span for equation in find_equations(text)]
        spans += _apart([equation.span for equation in find_linear(text)], spans)
        found = [Step(text[start:end], StepKind.FORWARD, (start, end)) for start, end in sorted(spans)]
        return place_steps(text, found, others)

    def start(self, problem: Problem) -> Known:
        """What is known before the first equation."""
        return Known(
            given=numbers(problem.question),
            results=frozenset(),
            last=frozenset(),
            answer=_values(problem.answer),
        )

    def can_state(self, answer: str) -> bool:
        """Whether an equation can state a right answer: whether it is a number."""
        return bool(_values(answer))

    def advance(self, known: Known, text: str) -> Known:
        """Judge the equations of a text, usually one.

        Raises:
            StepError: One of them is not valid; `after` has the state with what they claim.
        """
        fault = ""
        equations = find_equations(text)
        if not equations and (linear := find_linear(text)):
            return _solved(known, linear[0], self.max_merge)
        for equation in equations:
            fault = fault or self.fault(known, equation)
            known = _after(known, equation)
        if fault:
            raise StepError(fault, after=known)
        return known

    def fault(self, known: Known, equation: Equation) -> str:
        """Why an equation is not valid; empty if it is."""
        if not holds(equation):
            return WRONG
        if not any(side.num_operations and _accounted(known, side) for side in equation.sides):
            return UNKNOWN
        return MERGED if equation.num_operations > self.max_merge else ""

    def finished(self, known: Known) -> bool:
        """Whether the last equation states the right answer."""
        return not known.last.isdisjoint(known.answer)


def _solved(known: Known, equation: LinearEquation, max_merge: int) -> Known:
    """Judge a linear equation in one letter by the last one in it.

    Raises:
        UncheckedStep: It is the first one, or one about something else.
        StepError: It gives the letter another value than the equation that is being solved, or leaves out too
            much.
    """
    before = next((entry for entry in known.unknowns if entry.equation.name == equation.name), None)
    others = [entry for entry in known.unknowns if entry is not before][-MAX_UNKNOWNS:]
    follows = before is not None and before.equation.solution == equation.solution
    if before is None or not follows:
        numbers = equation.numbers
        is_grounded = all(_is_known(known, number) for number in numbers) and not numbers.isdisjoint(
            known.given | known.results
        )
        after = replace(known, unknowns=(*others, Unknown(equation, is_grounded)), last=frozenset())
        if before is not None and equation.is_solved and not before.equation.is_solved:
            raise StepError(WRONG, after=after)
        raise UncheckedStep("it sets up a letter", after=after)
    after = replace(known, unknowns=(*others, before._replace(equation=equation)), last=frozenset())
    if equation.is_solved and before.is_grounded:
        stated = frozenset((equation.solution,))
        results = known.results | stated if len(known.results) < MAX_RESULTS else known.results
        after = replace(after, results=results, last=stated)
    if before.equation.num_operations - equation.num_operations > max_merge:
        raise StepError(MERGED, after=after)
    return after


def place_steps(text: str, found: Sequence[Step], others: Sequence[Step]) -> tuple[Step, ...]:
    """Steps among others, such as backtracks, which end where one of the steps begins."""
    if not others:
        return tuple(found)
    starts = [step.span[0] for step in found]
    placed = list(found)
    for other in others:
        start, end = other.span
        at = bisect_left(starts, start)
        end = min([end, *starts[at : at + 1]])
        if shown := text[start:end].rstrip():
            placed.append(other._replace(text=shown, span=(start, end)))
    return tuple(sorted(placed, key=lambda step: step.span))


def _values(answer: str) -> frozenset[Fraction]:
    """The number of a right answer, in every way it may be read; empty if it is none."""
    found = read_answer(answer)
    if found is None or found.kind is not Kind.NUMBER or found.infinity:
        return frozenset()
    return frozenset((found.value, found.value / 100) if found.is_percent else (found.value,))


def _accounted(known: Known, side: Side) -> bool:
    """Whether all numbers of a side are known; a percentage also counts as hundredths."""
    return all(
        _is_known(known, operand) or (side.has_percent and _is_known(known, operand / 100))
        for operand in side.operands
    )


def _is_known(known: Known, operand: Fraction) -> bool:
    return operand in known.given or operand in known.results or operand in CONSTANTS


def _after(known: Known, equation: Equation) -> Known:
    stated = frozenset(
        value for side in equation.sides if not side.num_operations for value in (side.value, side.plain)
    )
    final = equation.sides[-1]
    last = frozenset((final.value, final.plain)) if final.num_operations == 0 else frozenset()
    grounded = any(
        operand in known.given or operand in known.results
        for side in equation.sides
        for operand in side.operands
        if side.num_operations
    )
    results = known.results
    if len(results) < MAX_RESULTS and not stated <= results:
        results |= stated
    return replace(known, results=results, last=last if grounded else frozenset())
