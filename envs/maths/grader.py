r"""Grading of free-form mathematical answers, such as those of GSM8K and MATH.

In: the right answer, and the text of one stated answer (the content of ``\boxed{}``, or the text after "the
answer is"). Out: a `Grade`. An answer passes, in this order: everyday spellings (`envs.maths.spelling`), the
character and length gate (`why_refused`), and the native reader (`envs.maths.reader`). Most answers are decided
there, exactly and in microseconds. Formulas go as trees to a process that can be killed (`envs.sandbox`), which
says which of them are equal (`envs.maths.worker`); it never gets text.

An answer must state one value, and leave nothing to compute: if the right answer is a number, ``8*3`` and
``\sqrt{576}`` are not 24, since otherwise a model could save steps by not doing them. Several candidates ("1 or
2", "1 ± 100"), equations that always hold (``x = x``), unequal sides (``2 = 24``), words around a number, nan
and infinities are not right. `envs.maths.values` defines equality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from envs.grading import Grade
from envs.maths.conditions import conditions
from envs.maths.equality import Comparison
from envs.maths.numerals import Tree
from envs.maths.reader import RefusedError, read, read_answer
from envs.maths.values import Kind, Known, MathAnswer, formulas
from envs.sandbox import Reply, Sandbox
from envs.statements import collapse, find_answer

__all__ = ["Gold", "MathAnswer", "MathGrader", "find_answer", "read_answer"]

OPERATIONS = Path(__file__).with_name("worker")
MAX_FORMULAS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Gold:
    """A right answer, read once for all answers to its problem by `MathGrader.read_gold`.

    Attributes:
        text: The text as given.
        answer: What it says.
    """

    text: str
    answer: MathAnswer


class MathGrader:
    r"""Grades answers; holds the settings and the process that compares formulas.

    Example: `grader.grade(grader.read_gold(r"\frac{1}{2}"), "50%")` is `Grade.CORRECT`.

    Args:
        tolerance: Largest relative difference of two numbers, between 0 and 1; None requires equality.
        sandbox: The sandbox that compares formulas; None for the shared one of this process, started when first
            needed.
        timeout_s: Time limit of one comparison in the shared sandbox, in seconds of processor time.
    """

    def __init__(
        self, *, tolerance: float | None = None, sandbox: Sandbox | None = None, timeout_s: float = 2.0
    ) -> None:
        if tolerance is not None and not 0 < tolerance < 1:
            raise ValueError(f"tolerance is {tolerance}; give a number between 0 and 1, or None for exact")
        self._tolerance = None if tolerance is None else Fraction(tolerance)
        self._native = Comparison(self._tolerance)
        self._sandbox = sandbox
        self._timeout_s = timeout_s

    def read_gold(self, text: str) -> Gold:
        """Read a right answer.

        Raises:
            ValueError: It states no value that the reader knows, or it exceeds a limit.
            GraderError: The sandbox failed.
        """
        reason = answer = None
        try:
            answer = read(collapse(text))
        except RefusedError as error:
            reason = str(error)
        if answer is None:
            reason = reason or "it has words, commands or signs that the grader does not read as one value"
        elif answer.kind is Kind.CHAIN:
            reason = "its sides are not one value"
        elif trees := _needed(answer):
            reply = self._call("compare", trees=trees)
            if reply.fault is not None:
                reason = "it takes too long to compute"
            elif any(number < 0 for number, _, _ in reply.value[0]):
                reason = "it has no value, or one too large to compute"
        if (
            answer is not None
            and reason is None
            and self.grade(Gold(text=text, answer=answer), collapse(text)) is not Grade.CORRECT
        ):
            reason = "it does not equal itself"
        if reason is not None or answer is None:
            raise ValueError(f"the right answer {text[:80]!r} cannot be graded against: {reason}")
        return Gold(text=text, answer=answer)

    def grade(self, gold: Gold, text: str) -> Grade:
        """Grade one stated answer.

        Args:
            gold: The right answer, from `read_gold`.
            text: The stated answer; untrusted.

        Raises:
            GraderError: The sandbox failed. No text raises anything else.
        """
        try:
            answer = read(text)
        except RefusedError:
            return Grade.REFUSED
        if answer is None:
            return Grade.MALFORMED
        same = self._native.same(gold.answer, answer)
        grade = self._compute(gold.answer, answer) if same is None else Grade.CORRECT if same else Grade.WRONG
        if grade is Grade.WRONG and (both := conditions(gold.answer, answer)) is not None:
            reply = self._call("same_solutions", gold=both[0], answer=both[1])
            return reply.fault or (Grade.CORRECT if reply.value else Grade.WRONG)
        return grade

    def compare(self, trees: Sequence[Tree]) -> list[list[Known]] | None:
        """What the worker knows of some formulas: twice if a logarithm has no base; None if it did not finish.

        Raises:
            GraderError: The sandbox failed.
        """
        reply = self._call("compare", trees=list(trees))
        return None if reply.fault else [[_known(*found) for found in run] for run in reply.value]

    def shared_roots(self, one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> list[int] | None:
        """The numbers of real roots of two polynomials and of both; None if the worker did not finish.

        Args:
            one: Its coefficients from the constant up, as numerator and denominator.
            other: The same.

        Raises:
            GraderError: The sandbox failed.
        """
        reply = self._call("shared_roots", one=one, other=other)
        return None if reply.fault else reply.value

    def _compute(self, gold: MathAnswer, answer: MathAnswer) -> Grade:
        """Grade an answer with the help of the worker."""
        trees = list(dict.fromkeys([*formulas(gold), *formulas(answer)]))
        if len(trees) > MAX_FORMULAS:
            return Grade.REFUSED
        reply = self._call("compare", trees=trees)
        if reply.fault is not None:
            return reply.fault
        for run in reply.value:
            known = {tree: _known(*found) for tree, found in zip(trees, run, strict=True)}
            if Comparison(self._tolerance, known).same(gold, answer):
                return Grade.CORRECT
        return Grade.WRONG

    def _call(self, operation: str, **values: Any) -> Reply:
        sandbox = self._sandbox or _shared_sandbox(self._timeout_s)
        return sandbox.call(operation, **values)


def _known(number: int, mantissa: int | None, exponent: int) -> Known:
    return Known(number, None if mantissa is None else mantissa * Fraction(2) ** exponent)


def _needed(answer: MathAnswer) -> list[Tree]:
    """The formulas of a right answer that must have a value."""
    if answer.kind in (Kind.NUMBER, Kind.WORD) and not answer.items:
        return []
    return list(formulas(answer))


@lru_cache(maxsize=8)
def _shared_sandbox(timeout_s: float) -> Sandbox:
    """The sandbox of this process; a process forked from it starts its own (`Sandbox`)."""
    return Sandbox(OPERATIONS, timeout_s=timeout_s)
