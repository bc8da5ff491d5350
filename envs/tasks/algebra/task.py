"""Analog of algebra: solve an equation in unfamiliar symbols for its unknown.

A problem and its full trace::

    Isolate the ♥ symbol on the left side of the → symbol.

    Question: ♦ ⊖ ♥ ⊗ ♣ → ♠
    Answer:
    ⊖ ♥ ⊗ ♣ → ♠ ⊖ ♦
    ♥ ⊗ ♣ → ⊖ ♠ ⊕ ♦
    ♥ → ( ⊖ ♠ ⊕ ♦ ) ⊘ ♣
    Thus, the answer is ♥ → ( ⊖ ♠ ⊕ ♦ ) ⊘ ♣.

♥ is the unknown, → is equals, ○ is zero, ⊕ ⊖ ⊗ ⊘ are plus, minus, times and over; the other symbols are
constants.

Steps: each line is one equation. The full trace is the fixed procedure of `solve` in `equation.py`: swap the
sides, move terms, flip signs, then take the unknown's factors away one at a time; if it is in a denominator,
the last step divides::

    ⊖ ♣ ⊗ ♦ ⊘ ♥ → ♠
    ♣ ⊗ ♦ ⊘ ♥ → ⊖ ♠
    ♦ ⊘ ♥ → ⊖ ♠ ⊘ ♣
    ♥ → ♦ ⊘ ( ⊖ ♠ ⊘ ♣ )

A line is a valid step if its equation has the problem's solution and is 1 to `max_merge` steps of that
procedure closer to the end. So moves may come in another order, and one line may do several moves; a line
that restates or undoes something is invalid.

`remaining`: the steps of that procedure that are left. Every equation with the right solution can be solved by
it, so there are no dead ends.

Solutions are compared by their values modulo 2**61 - 1 at a point hashed from the question (Schwartz-Zippel:
J. T. Schwartz, JACM 27(4), 1980). A line has at most 400 symbols, so a line whose solution differs modulo that
prime passes with probability below 2**-51. A line that divides by zero at both of two points is refused.

Buckets: a bucket is "symbols_steps", the number of distinct symbols with the unknown and the number of lines in
the full trace ("5_3"). Every step except a swap and a minus uses up a constant, so `steps` is at most
`symbols` + 1.

Hand-skip rules (`skip_kinds`):
    any_pair: One line before the last, drawn at random, is left out.

Mistakes (`mistake_kinds`), in the last sign or operation on the right side, mostly that of what was moved:
    sign: ⊕ for ⊖, or the reverse.
    inverse: ⊗ for ⊘, or the reverse.

Source: the algebra data of "Can Language Models Learn to Skip Steps?" (arXiv 2411.01855). Task, order of the
moves, and the default counts of symbols and steps follow its released files. Differences: the symbols are
ours; a sum that is multiplied gets parentheses, where the released lines multiply it out; and `any_pair` is
ours, since the paper has no hand-skip rule for this task, whose cold start was enough.
"""

from __future__ import annotations

import random
import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, product

from pydantic import field_validator

from envs.base import Demonstration
from envs.generated import Draw
from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem
from envs.released.algebra import AlgebraWording
from envs.released.env import ReleasedEnv, ReleasedSettings
from envs.requests import ask_for_answer, ask_for_steps
from envs.seeding import derive_random
from envs.tasks.algebra.equation import (
    ARROW,
    MINUS,
    NOTHING,
    OVER,
    PLUS,
    PRIME,
    TIMES,
    Equation,
    EquationError,
    Side,
    Term,
    X,
    num_steps_left,
    parse_equation,
    render_equation,
    solution_value,
    solve,
)
from envs.tasks.algebra.mistakes import MISTAKE_KINDS, write_mistake

COMMON = tuple("♦♣♠★▲■●")  # as many as in the released train and id files
CONSTANTS = (*COMMON, *"◆▼▶◀☆□△♪☀")  # drawn from if the common ones are too few
_KNOWN = frozenset(CONSTANTS)
_BUCKET = re.compile(r"([1-9][0-9]?)_([1-9][0-9]?)")
_ASK = f"Isolate the {X} symbol on the left side of the {ARROW} symbol."
_NUM_POINTS, _MAX_POINTS = 2, 8

# Frequencies with which a drawn problem has the unknown on the right, zero on the other side, a minus before
# the unknown, and the unknown as a divisor. Not every combination fits a bucket. These values reproduce the
# shares of the released data over the train buckets: 34% with zero on the right side, 17% with the unknown as a
# divisor.
_ON_RIGHT, _ZERO, _MINUS, _DIVISOR = 0.25, 0.43, 0.25, 0.19


def _uniform_symbols(symbols: range, steps: Mapping[int, float]) -> dict[str, float]:
    """Buckets with equal weights for each number of symbols; impossible combinations are left out."""
    return {f"{n}_{k}": weight for n in symbols for k, weight in steps.items() if k <= n + 1}


class AlgebraSettings(ReleasedSettings):
    """Settings of `algebra`; buckets are "symbols_steps", the defaults the counts of the released data."""

    train: dict[str, float] = _uniform_symbols(range(4, 8), {1: 98.0, 2: 183.0, 3: 300.0, 4: 272.0, 5: 147.0})
    ood_easy: dict[str, float] = _uniform_symbols(range(6, 8), {6: 423.0, 7: 87.0})
    ood_hard: dict[str, float] = _uniform_symbols(range(10, 15), dict.fromkeys(range(10, 15), 1.0))

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _possible(cls, value: dict[str, float]) -> dict[str, float]:
        most = len(CONSTANTS) + 1
        for bucket in value:
            match = _BUCKET.fullmatch(bucket)
            if match is None or not 3 <= int(match[1]) <= most or int(match[2]) > int(match[1]) + 1:
                raise ValueError(
                    f"got the bucket {bucket!r}; a bucket is 'symbols_steps' with 3 to {most} symbols and 1 to "
                    "symbols + 1 steps, such as '5_3'"
                )
        return value


@dataclass(frozen=True, slots=True)
class AlgebraState:
    """The question, which determines the solution, and the number of full steps that remain."""

    question: str
    num_left: int


class Algebra(ReleasedEnv[AlgebraState]):
    """Isolate the unknown of an equation."""

    name = "algebra"
    Settings = AlgebraSettings
    wording = AlgebraWording()
    skip_kinds = ("any_pair",)
    mistake_kinds = MISTAKE_KINDS
    instruction = (
        f"{_ASK} The symbol {ARROW} is equals, {NOTHING} is zero, and {PLUS} {MINUS} {TIMES} {OVER} are plus, "
        "minus, times and divided by; all other symbols are constants."
    )
    step_request = "Solve it in {steps}."
    format_request = (
        "Write one equation per line, each one step closer to the solution, with the spacing of the question. "
        f"{ask_for_answer('the solved equation')}"
    )

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw an equation without parentheses in which the unknown and every constant occur once."""
        symbols, _, steps = bucket.partition("_")
        num_symbols, num_steps = int(symbols), int(steps)
        return _draw(_draw_equation(num_symbols - 1, num_steps, rng), num_symbols, num_steps)

    def pose(self, question: str) -> Draw:
        """See `ReleasedEnv`."""
        try:
            equation = parse_equation(question, _KNOWN)
            num_steps = num_steps_left(equation)
        except EquationError as error:
            raise ValueError(f"{question[:80]!r} is no equation of the task: {error}") from None
        if not num_steps:
            raise ValueError(f"{question[:80]!r} is solved already")
        if not _points(question):
            raise ValueError(f"{question[:80]!r} has no solution: it divides by zero")
        return _draw(equation, len(_constants(question)) + 1, num_steps)

    def render_prompt(self, question: str, budget: int | None = None) -> str:
        """Join the instruction, the step request (if a budget is given), the question and the answer cue."""
        request = "" if budget is None else f"{ask_for_steps(self.step_request, budget)}\n"
        return f"{_ASK}\n\n{request}Question: {question}\nAnswer:\n"

    def bucket(self, problem: Problem) -> str:
        """The number of symbols in the question and the number of steps of its full trace."""
        return f"{len(_constants(problem.question)) + 1}_{self.start(problem).num_left}"

    def start(self, problem: Problem) -> AlgebraState:
        """The question, with all its steps remaining."""
        return AlgebraState(problem.question, num_steps_left(parse_equation(problem.question, _KNOWN)))

    def write_full(self, problem: Problem) -> tuple[str, ...]:
        """The fixed procedure, one equation per line."""
        return tuple([render_equation(line) for line in solve(parse_equation(problem.question, _KNOWN))])

    def write_skipped(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """The full trace without one line before the last; None if there is only one line."""
        lines = self.write_full(problem)
        if len(lines) < 2:
            return None
        skip = rng.randrange(len(lines) - 1)
        return lines[:skip] + lines[skip + 1 :]

    def mistaken_trace(self, problem: Problem, kind: str, rng: random.Random) -> Demonstration | None:
        """The fixed procedure with one wrong line, and on from there; see `write_mistake`."""
        question = problem.question
        lines, constants = self.full_trace(problem), _constants(question)
        return write_mistake(lines, constants, lambda equation: _solves(question, equation), kind, rng)

    def solution_from(self, problem: Problem, lines: Sequence[str]) -> Demonstration:
        """The fixed procedure from the last of the lines."""
        start = parse_equation(lines[-1] if lines else problem.question, _constants(problem.question))
        return Demonstration(lines=tuple([render_equation(line) for line in solve(start)]))

    def advance(self, state: AlgebraState, line: str) -> AlgebraState:
        """Accept an equation with the same solution that is 1 to `max_merge` full steps closer to the end."""
        try:
            equation = parse_equation(line, _constants(state.question))
            num_left = num_steps_left(equation)
        except EquationError as error:
            raise StepError(str(error)) from None
        done = state.num_left - num_left
        if done < 1:
            raise StepError(f"no progress: {num_left} steps left, {state.num_left} before")
        if done > self.settings.max_merge:
            raise StepError(f"{done} steps in one line, at most {self.settings.max_merge}")
        if not _solves(state.question, equation):
            raise StepError("the solution is not the same")
        return AlgebraState(state.question, num_left)

    def finished(self, state: AlgebraState) -> bool:
        """Whether the unknown stands alone on the left."""
        return state.num_left == 0

    def remaining(self, state: AlgebraState) -> int:
        """The steps of the fixed procedure that are left."""
        return state.num_left

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if the unknown is alone on the left and the right side equals the solution."""
        try:
            equation = parse_equation(answer, _constants(problem.question))
            if num_steps_left(equation):
                return Grade.WRONG
        except EquationError:
            return Grade.MALFORMED
        return Grade.CORRECT if _solves(problem.question, equation) else Grade.WRONG


# ---- comparing solutions ----


@lru_cache(maxsize=4096)
def _constants(question: str) -> frozenset[str]:
    return _KNOWN.intersection(question.split(" "))


@lru_cache(maxsize=1024)
def _points(question: str) -> tuple[tuple[dict[str, int], int], ...]:
    """Points at which the question has a solution, with its value there; none if it divides by zero at all."""
    equation, constants = parse_equation(question, _KNOWN), sorted(_constants(question))
    points: list[tuple[dict[str, int], int]] = []
    for attempt in range(_MAX_POINTS):
        rng = derive_random("algebra point", question, attempt)
        values = {constant: rng.randrange(1, PRIME) for constant in constants}
        try:
            points.append((values, solution_value(equation, values)))
        except ZeroDivisionError:  # about once in 2**57 draws, or always
            continue
        if len(points) == _NUM_POINTS:
            break
    return tuple(points)


def _solves(question: str, equation: Equation) -> bool:
    """Whether an equation has the question's solution; if it divides by zero, the next point is tried."""
    for values, solution in _points(question):
        try:
            return solution_value(equation, values) == solution
        except ZeroDivisionError:
            continue
    return False


# ---- drawing an equation ----


def _draw(equation: Equation, num_symbols: int, num_steps: int) -> Draw:
    last = equation
    for last in solve(equation):  # noqa: B007 - only the last equation is used
        pass
    return Draw(
        question=render_equation(equation),
        answer=render_equation(last),
        num_full_steps=num_steps,
        difficulty=num_symbols + num_steps,
    )


@lru_cache(maxsize=1024)
def _shapes(num_constants: int, num_steps: int) -> tuple[list[tuple[bool, bool, bool, bool]], list[float]]:
    """The shapes (on right, zero, minus, divisor) that fit a bucket, and their cumulative weights.

    The k steps other than a swap and a minus move one term or factor each. Each of them needs a constant, and
    so does the other side unless it is zero. If it is zero, one of the k steps must move a term; otherwise
    the solution would be zero or would not exist. If the unknown is a divisor, one must move what stands
    above it.
    """
    shapes: list[tuple[bool, bool, bool, bool]] = []
    weights: list[float] = []
    either = (False, True)
    for shape in product(either, either, either, either):
        on_right, zero, minus, divisor = shape
        k = num_steps - on_right - minus
        if k < zero + divisor or k + (not zero) > num_constants:
            continue
        weight = 1.0
        for has, share in zip(shape, (_ON_RIGHT, _ZERO, _MINUS, _DIVISOR), strict=True):
            weight *= share if has else 1 - share
        shapes.append(shape)
        weights.append(weight)
    return shapes, list(accumulate(weights))


def _draw_equation(num_constants: int, num_steps: int, rng: random.Random) -> Equation:
    random = rng.random
    shapes, cumulative = _shapes(num_constants, num_steps)
    on_right, zero, minus, divisor = shapes[bisect(cumulative, random() * cumulative[-1], 0, len(shapes) - 1)]
    pool = list(COMMON if num_constants <= len(COMMON) else CONSTANTS)
    constants = [pool.pop(int(random() * len(pool))) for _ in range(num_constants)]

    k = num_steps - on_right - minus
    num_terms = zero + int(random() * (k - zero - divisor + 1))
    num_factors = k - num_terms

    # Each term that may have several constants gets one list; the remaining constants go to random lists.
    slots = [[constants.pop()] for _ in range(num_terms + (not zero))]
    factors = [constants.pop() for _ in range(num_factors)]
    other: list[list[str]] = [] if zero else [slots[-1]]
    for constant in constants:
        slot = slots[int(random() * len(slots))]
        if other and slot is other[0] and random() < 0.5:
            other.append([constant])
        else:
            slot.append(constant)

    at = divisor + int(random() * (num_factors - divisor + 1))
    x_term = (*_term(factors[:at], rng), (OVER if divisor else TIMES, X), *_factors(factors[at:], rng))
    x_side: list[tuple[str, Term]] = [(_sign(rng), _term(slot, rng)) for slot in slots[:num_terms]]
    x_side.insert(int(random() * (num_terms + 1)), (MINUS if minus else PLUS, x_term))
    other_side: Side = tuple([(_sign(rng), _term(slot, rng)) for slot in other]) or NOTHING
    return Equation(other_side, tuple(x_side)) if on_right else Equation(tuple(x_side), other_side)


def _sign(rng: random.Random) -> str:
    return PLUS if rng.random() < 0.5 else MINUS


def _factors(constants: list[str], rng: random.Random) -> Term:
    return tuple([(TIMES if rng.random() < 0.5 else OVER, constant) for constant in constants])


def _term(constants: list[str], rng: random.Random) -> Term:
    """A term of the constants, the first one multiplied and the others multiplied or divided at random."""
    return ((TIMES, constants[0]), *_factors(constants[1:], rng)) if constants else ()
