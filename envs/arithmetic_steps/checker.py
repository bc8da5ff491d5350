"""Checked steps in word problems: every equation of a text is a step, and is judged.

In: a problem and the text of a completion. Out: one `Step` per equation, and a verdict on each:

- *wrong arithmetic*: a side does not equal the one before it (`claims.py`);
- *unknown operand*: a side uses a number that neither the question, nor an earlier equation, nor the declared
  list of `operands.py` accounts for;
- *too much merged*: more operations than `max_merge`;
- otherwise the step is valid.

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

from envs.arithmetic_steps.claims import holds
from envs.arithmetic_steps.equations import find_equations
from envs.arithmetic_steps.operands import CONSTANTS, numbers
from envs.arithmetic_steps.sides import Equation, Side
from envs.maths.grader import read_answer
from envs.maths.values import Kind
from envs.path import StepError
from envs.problem import Problem
from envs.trace import Step, StepKind

WRONG = "wrong arithmetic"
UNKNOWN = "unknown operand"
MERGED = "too much merged"
MAX_RESULTS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The state between two steps.

    Attributes:
        given: The numbers of the question.
        results: The results of the equations so far, at most `MAX_RESULTS` of them.
        last: What the last equation states, in every way it may be read; empty if it rests on constants alone.
        answer: The right answer, in every way it may be read; empty if it is not a number.
    """

    given: frozenset[Fraction]
    results: frozenset[Fraction]
    last: frozenset[Fraction]
    answer: frozenset[Fraction]


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
        found = [
            Step(text[equation.span[0] : equation.span[1]], StepKind.FORWARD, equation.span)
            for equation in find_equations(text)
        ]
        if not others:
            return tuple(found)
        starts = [step.span[0] for step in found]
        for other in others:
            start, end = other.span
            at = bisect_left(starts, start)
            end = min([end, *starts[at : at + 1]])
            if shown := text[start:end].rstrip():
                found.append(other._replace(text=shown, span=(start, end)))
        return tuple(sorted(found, key=lambda step: step.span))

    def start(self, problem: Problem) -> Known:
        """What is known before the first equation."""
        answer = read_answer(problem.answer)
        right: frozenset[Fraction] = frozenset()
        if answer is not None and answer.kind is Kind.NUMBER and not answer.infinity:
            right = frozenset((answer.value, answer.value / 100) if answer.is_percent else (answer.value,))
        return Known(given=numbers(problem.question), results=frozenset(), last=frozenset(), answer=right)

    def advance(self, known: Known, text: str) -> Known:
        """Judge the equations of a text, usually one.

        Raises:
            StepError: One of them is not valid; `after` has the state with what they claim.
        """
        fault = ""
        for equation in find_equations(text):
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
