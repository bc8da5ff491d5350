r"""Grading of free-form mathematical answers, such as those of GSM8K and MATH.

In: the right answer, and the text of one stated answer (the content of ``\boxed{}``, or the text after "the
answer is"). Out: a `Grade`. An answer passes, in this order: the character and length gate (`why_refused`), the
native reader (`envs.maths.reader`, exact, microseconds), the grammar gate (`envs.maths.gate`), and only then
math-verify in a process that can be killed (`envs.sandbox`). That process gets LaTeX rebuilt from tokens, never
the text.

An answer must state one value, and leave nothing to compute: if the right answer is a number, ``8*3`` and
``\sqrt{576}`` are not 24, since otherwise a model could save steps by not doing them. Several candidates ("1 or
2", "1 ± 100"), equations that always hold (``x = x``), unequal sides (``2 = 24``), words around a number, nan
and infinities are not right. `envs.maths.values` defines equality; where algebra is needed, math-verify decides
on exact numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from envs.grading import Grade, why_refused
from envs.maths.gate import is_mathematics, is_numeric, why_too_much
from envs.maths.grammar import CLOSE, MAX_CHARS, OPEN, TooDeep, split_top, to_latex, tokenize
from envs.maths.reader import before_approximation, name_of, read_answer, read_tokens, stated
from envs.maths.values import Kind, MathAnswer, named, same_answer
from envs.maths.vocabulary import FUNCTIONS
from envs.sandbox import Reply, Sandbox

__all__ = ["Gold", "MathAnswer", "MathGrader", "find_answer", "read_answer"]

OPERATIONS = Path(__file__).with_name("operations.py")
MAX_BOX_CHARS = 2000
_MAX_BOXES = 8
_MAX_SIDES = 4
_RELATIONS = frozenset(("=", "<", ">", "<=", ">=", "!=", "\\in"))
_OPERATORS = FUNCTIONS | frozenset("+-*/^")
_SPACES = str.maketrans("\t\r\n", "   ")


def find_answer(text: str) -> str | None:
    r"""The final answer of a completion: the content of its last balanced ``\boxed{}``, with spaces collapsed.

    None if there is no such box. A box over `MAX_BOX_CHARS` characters counts as unbalanced, and only the last
    `_MAX_BOXES` boxes are tried. Takes time linear in the text.

    Example: `find_answer("so \\boxed{1} or \\boxed{\\frac{1}{2}}")` is "\\frac{1}{2}".
    """
    end = len(text)
    for _ in range(_MAX_BOXES):
        end = text.rfind("\\boxed", 0, end)
        if end < 0:
            return None
        start = end + len("\\boxed")
        window = text[start : start + MAX_BOX_CHARS + 2]
        opened = len(window) - len(window.lstrip(" "))
        depth = 0
        for at in range(opened, len(window) if window[opened : opened + 1] == "{" else 0):
            depth += (window[at] == "{") - (window[at] == "}")
            if depth == 0:
                return _collapse(window[opened + 1 : at])
    return None


def _collapse(text: str) -> str:
    return " ".join(part for part in text.translate(_SPACES).split(" ") if part)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gold:
    """A right answer, read once for all answers to its problem by `MathGrader.read_gold`.

    Attributes:
        text: The text as given.
        tokens: Its normalised tokens; an answer with the same tokens is right.
        answer: The result of the native reader, or None.
        name: The name it gives to the value (``x`` in ``x = 5``), or empty.
        latex: LaTeX of the value, for math-verify.
        is_relation: Whether it is an equation or inequality that does not just give a name to a value.
        is_many: Whether it states several values.
    """

    text: str
    tokens: tuple[str, ...]
    answer: MathAnswer | None
    name: str
    latex: str
    is_relation: bool
    is_many: bool


class MathGrader:
    r"""Grades answers; holds the settings and the process that does the algebra.

    Example: `grader.grade(grader.read_gold(r"\frac{1}{2}"), "50%")` is `Grade.CORRECT`.

    Args:
        tolerance: Largest relative difference of two numbers, between 0 and 1; None requires equality.
        sandbox: The sandbox of math-verify; None for the shared one of this process, started when first needed.
        timeout_s: Time limit of one comparison in the shared sandbox.
    """

    def __init__(
        self, *, tolerance: float | None = None, sandbox: Sandbox | None = None, timeout_s: float = 2.0
    ) -> None:
        if tolerance is not None and not 0 < tolerance < 1:
            raise ValueError(f"tolerance is {tolerance}; give a number between 0 and 1, or None for exact")
        self._tolerance = tolerance
        self._exact_tolerance = None if tolerance is None else Fraction(tolerance)
        self._sandbox = sandbox
        self._timeout_s = timeout_s

    def read_gold(self, text: str) -> Gold:
        """Read a right answer.

        Raises:
            ValueError: Neither the native reader nor math-verify can read it, or it exceeds a limit of the
                gates.
            GraderError: The sandbox failed.
        """
        clean = _collapse(text)
        if reason := why_refused(clean, max_chars=MAX_CHARS):
            raise ValueError(f"the right answer {text[:80]!r} cannot be graded against: {reason}")
        try:
            tokens = stated(tokenize(clean))
        except TooDeep:
            raise ValueError(f"the right answer {text[:80]!r} has brackets nested too deep") from None
        answer = read_tokens(tokens)
        name, sides = _split(tokens)
        is_relation = answer is None and (len(sides) > 1 or not _RELATIONS.isdisjoint(sides[0]))
        body = sides[0] if name and len(sides) == 1 else tokens
        gold = Gold(
            text=text,
            tokens=tuple(token for token in tokens if token != " "),
            answer=answer,
            name=name if body is not tokens else "",
            latex=to_latex(body),
            is_relation=is_relation,
            is_many=_is_many(body),
        )
        if answer is None:
            reason = why_too_much(tokens)
            if name and name == _glued(sides[-1]):
                reason = "it states no value"
            if reason is None and not is_mathematics(tokens):
                reason = "it has words or commands that the grader does not know"
            if reason is None and self._call("read_gold", gold=gold.latex).value is not True:
                reason = "math-verify cannot read it"
            if reason:
                raise ValueError(f"the right answer {text[:80]!r} cannot be graded against: {reason}")
        return gold

    def grade(self, gold: Gold, text: str) -> Grade:
        """Grade one stated answer.

        Args:
            gold: The right answer, from `read_gold`.
            text: The stated answer; untrusted.

        Raises:
            GraderError: The sandbox failed. No text raises anything else.
        """
        if why_refused(text, max_chars=MAX_CHARS) is not None:
            return Grade.REFUSED
        try:
            tokens = stated(tokenize(text))
        except TooDeep:
            return Grade.REFUSED
        if not tokens:
            return Grade.MALFORMED
        answer = read_tokens(tokens)
        if answer is not None and gold.answer is not None:
            same = same_answer(gold.answer, answer, self._exact_tolerance)
            if same is not None:
                return Grade.CORRECT if same else Grade.WRONG
        elif answer is None and tuple(token for token in tokens if token != " ") == gold.tokens:
            return Grade.CORRECT
        elif answer is not None and answer.kind is Kind.WORD and not answer.is_bare:
            return Grade.WRONG
        if why_too_much(tokens) is not None:
            return Grade.REFUSED
        if (is_numeric(tokens) and answer is None) or not is_mathematics(tokens):
            return Grade.MALFORMED
        return self._compute(gold, tokens)

    def _compute(self, gold: Gold, tokens: list[str]) -> Grade:
        """Grade an answer that the native reader could not decide."""
        if "\\approx" in tokens:
            tokens = before_approximation(tokens)
        name, sides = _split(tokens)
        if len(sides) > _MAX_SIDES:
            return Grade.REFUSED
        if gold.is_relation or (gold.name and not name and len(sides) > 1):
            if "=" in gold.tokens and _RELATIONS.isdisjoint(tokens):
                return Grade.WRONG
            return self._verify(to_latex(list(gold.tokens)), tokens)
        if name and gold.name and name != gold.name:
            return Grade.WRONG
        if len(sides) > 1 and any(_glued(side) == _glued(other) for side, other in pairwise(sides)):
            return Grade.WRONG  # x = x
        if name and len(sides) == 1 and _glued(sides[0]) == name:
            return Grade.WRONG
        if not gold.is_many and any(_is_many(side) for side in sides):
            return Grade.WRONG
        for number, side in enumerate(sides, 1):
            grade = self._grade_side(gold, side, is_last=number == len(sides))
            if grade is not Grade.CORRECT:
                return grade
        return Grade.CORRECT

    def _grade_side(self, gold: Gold, tokens: list[str], *, is_last: bool) -> Grade:
        answer = read_tokens(tokens)
        if is_last and answer is None and _is_plain_number(gold) and not _OPERATORS.isdisjoint(tokens):
            return Grade.WRONG  # the number is left to compute
        if answer is not None and not is_last:
            answer = replace(answer, is_computed=False)
        if answer is not None and gold.answer is not None:
            expected = named(gold.answer, "") if not answer.name else gold.answer
            same = same_answer(expected, answer, self._exact_tolerance)
            if same is not None:
                return Grade.CORRECT if same else Grade.WRONG
        if not tokens:
            return Grade.MALFORMED
        return self._verify(gold.latex, tokens)

    def _verify(self, gold: str, tokens: list[str]) -> Grade:
        reply = self._call("verify", gold=gold, answer=to_latex(tokens), tolerance=self._tolerance)
        return reply.fault or (Grade.CORRECT if reply.value is True else Grade.WRONG)

    def _call(self, operation: str, **values: str | float | None) -> Reply:
        sandbox = self._sandbox or _shared_sandbox(self._timeout_s)
        return sandbox.call(operation, **values)


def _is_plain_number(gold: Gold) -> bool:
    answer = gold.answer
    return answer is not None and answer.kind is Kind.NUMBER and not answer.is_computed


@lru_cache(maxsize=8)
def _shared_sandbox(timeout_s: float) -> Sandbox:
    """The sandbox of this process; a process forked from it starts its own (`Sandbox`)."""
    return Sandbox(OPERATIONS, timeout_s=timeout_s)


def _split(tokens: list[str]) -> tuple[str, list[list[str]]]:
    """The name given to a value (empty if the first side is no name), and the sides that state the value."""
    if len(split_top(tokens, ",")) > 1 and "=" in tokens:
        return "", [tokens]
    sides = split_top(tokens, "=")
    name = name_of(sides[0]) if len(sides) > 1 else ""
    return (name, sides[1:]) if name else ("", sides)


def _glued(tokens: list[str]) -> str:
    return "".join(token for token in tokens if token != " ")


def _is_many(tokens: list[str]) -> bool:
    r"""Whether the tokens state several values: a comma outside brackets, ``\pm``, or a set."""
    depth = 0
    for token in tokens:
        depth += (token in OPEN) - (token in CLOSE)
        if token == "\\pm" or (token == "," and depth <= 0) or token == "\\{":
            return True
    return tokens[:1] == ["{"] and "," in tokens
