"""Multi-step arithmetic: evaluate an expression, one operation a line.

A problem and its full trace::

    Calculate: 10 * (45 - 39) + 2
    Answer:
    45 - 39 = 6
    10 * 6 = 60
    60 + 2 = 62
    Thus, the answer is 62.

Steps: each line does one operation of the expression on two numbers, and its result takes the place of the two.
Parentheses come first, then * and /, then + and -; of equal ones the left comes first. Any operation whose turn
has come may be next, and the operands of a sum or product may be in either order. The full trace does the
innermost first, from the left. Results are positive whole numbers of at most 16 digits: no zero, no negative
number, and only exact divisions.

A line may do up to `max_merge` operations: ``10 * (45 - 39) = 60`` does two. A line ``left: 10 * 6 + 2`` states
the expression that is left. It is valid and changes nothing; padded traces use it.

`remaining`: the operations that are left. There are no dead ends.

No operation occurs twice in an expression that is drawn, so a line says which one it does. Of equal ones in a
typed question it does the leftmost.

Buckets: how many numbers an expression has, from "2" to "12".

Hand-skip rules (`skip_kinds`):
    any_pair: An operation, drawn at random, and the one that uses its result, in one line.

Wrong turns (`error_kinds`); a backtrack takes each back:
    computation: An operation with a wrong result.
    order: An operation on two neighbouring numbers whose turn has not come, as 20 - 4 in 20 - 4 * 3.
Mistakes (`mistake_kinds`) are the same. Nothing takes them back: the line's result is calculated with.
Of train problems with default settings, 43 % have a place for an `order` detour and 22 % one for an `order`
mistake; a fifth of the operations out of order leave the value as it is, as 5 + 2 in 9 + 5 + 2.

The lines are those of `countdown`, so a model can learn from this task to calculate before it learns to search.

Source: the task is multistep_arithmetic of BIG-bench (arXiv 2206.04615), two levels of which BIG-Bench Hard
(arXiv 2210.09261) kept. There numbers are from -9 to 9 and results may be negative; here division occurs,
numbers may be larger, and results are those of Countdown. Lines, drawing, skips and wrong turns are ours.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from envs.base import Demonstration, spread
from envs.generated import Draw, EnvSettings, GeneratedEnv
from envs.grading import Grade, grade_whole_number
from envs.path import StepError
from envs.problem import Problem
from envs.requests import ask_for_answer
from envs.tasks.multistep_arithmetic.draw import Drawing
from envs.tasks.multistep_arithmetic.expressions import (
    MAX_NUMBERS,
    ExpressionError,
    Part,
    Tree,
    innermost,
    num_operations,
    read,
    replaced,
    steps_of,
    value_of,
    write,
)
from envs.tasks.multistep_arithmetic.wrong_turns import ERROR_KINDS, write_detours, write_mistake

_CALCULATE, _LEFT = "Calculate: ", "left: "
_BUCKET = re.compile(r"[2-9]|1[0-2]")
_LINE = re.compile(r"(.*) = (0|[1-9][0-9]{0,40})")
_MAX_TRIES = 1000


class ArithmeticSettings(EnvSettings):
    """Settings of `multistep_arithmetic`; buckets say how many numbers an expression has.

    Attributes:
        max_number: Largest number of an expression; the smallest is 1.
        max_result: Largest result of an operation.
        operators: The operators and how often each is drawn, relative to the others; a plain list is uniform. A
            value that an operator cannot make, such as a prime number by *, is made by another one.
    """

    train: dict[str, float] = {"3": 1.0, "4": 1.0, "5": 1.0}
    ood_easy: dict[str, float] = {"6": 1.0}
    ood_hard: dict[str, float] = {"8": 1.0}
    max_number: int = Field(default=99, ge=2, le=9999)
    max_result: int = Field(default=300, le=9999)
    operators: dict[Literal["+", "-", "*", "/"], float] = {"+": 1.0, "-": 1.0, "*": 1.0, "/": 1.0}

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        for bucket in value:
            if not _BUCKET.fullmatch(bucket):
                raise ValueError(
                    f"got the bucket {bucket!r}; a bucket is how many numbers an expression has, from '2' to "
                    f"'{MAX_NUMBERS}'"
                )
        return value

    @field_validator("operators", mode="before")
    @classmethod
    def _list_of_operators(cls, value: Any) -> Any:
        return dict.fromkeys(value, 1.0) if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _operators_and_bounds(self) -> ArithmeticSettings:
        weights = self.operators.values()
        if not weights or not all(weight > 0 for weight in weights) or sum(weights) == math.inf:
            raise ValueError(
                f"operators is {self.operators}; name one or more of + - * /, each with a finite weight above 0"
            )
        if self.max_result < self.max_number:
            raise ValueError(
                f"max_result ({self.max_result}) is below max_number ({self.max_number}); raise it to that"
            )
        return self


class MultistepArithmetic(GeneratedEnv[Tree]):
    """Evaluate an expression. A state is the expression that is left."""

    name = "multistep_arithmetic"
    Settings = ArithmeticSettings
    settings: ArithmeticSettings
    skip_kinds = ("any_pair",)
    error_kinds = ERROR_KINDS
    mistake_kinds = ERROR_KINDS
    format_request = (
        'Do one operation per line, such as "45 - 39 = 6"; its result takes the place of the two numbers. '
        f"{ask_for_answer('the value of the expression')}"
    )

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Build from settings; see `Env`."""
        super().__init__(settings)
        operators = {str(symbol): weight for symbol, weight in self.settings.operators.items()}
        self._drawing = Drawing(self.settings.max_number, self.settings.max_result, operators)

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw an expression; see `Drawing`."""
        count = int(bucket)
        for _ in range(_MAX_TRIES):
            found = self._drawing.draw(count, rng)
            if found is not None:
                break
        else:
            raise ValueError(
                f"found no expression of {count} numbers up to {self.settings.max_number} with results up to "
                f"{self.settings.max_result} in {_MAX_TRIES} tries; raise these, or allow more operators than "
                f"{' '.join(self.settings.operators)}"
            )
        tree, value = found
        return Draw(
            question=f"{_CALCULATE}{write(tree)}",
            answer=str(value),
            num_full_steps=count - 1,
            difficulty=count,
        )

    def bucket(self, problem: Problem) -> str:
        """How many numbers the question has."""
        return str(num_operations(self.start(problem)) + 1)

    def start(self, problem: Problem) -> Tree:
        """The expression of the question.

        Raises:
            ExpressionError: A typed question is no such expression, or a result is not a positive whole number
                of at most 16 digits.
        """
        if not problem.question.startswith(_CALCULATE):
            raise ExpressionError(f"a question begins with {_CALCULATE!r}")
        tree = read(problem.question.removeprefix(_CALCULATE))
        if isinstance(tree, int):
            raise ExpressionError("no operation to do")
        value_of(tree)
        return tree

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """Every operation, innermost first, from the left."""
        return tuple([step.line for _, step in steps_of(self.start(problem))])

    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """The full trace with an operation and the one that uses its result in one line, if it has two."""
        steps = steps_of(self.start(problem))
        merged: dict[int, str] = {}
        for at, (tree, _) in enumerate(steps):
            assert not isinstance(tree, int)
            _, parent = innermost(tree)
            if parent is not None and num_operations(parent) == 2:
                merged[at] = f"{write(parent)} = {value_of(parent)}"
        if not merged:
            return None
        at = rng.choice(list(merged))
        lines = [step.line for _, step in steps]
        return (*lines[:at], merged[at], *lines[at + 2 :])

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The full trace with one detour for each error, written by `write_detours`."""
        return write_detours(self.start(problem), errors, rng)

    def mistaken_trace(self, problem: Problem, kind: str, rng: random.Random) -> Demonstration | None:
        """The full trace with one mistake, by `write_mistake`."""
        return write_mistake(self.start(problem), kind, rng)

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        """The full trace with `left:` lines spread evenly before, between and after its lines."""
        steps = steps_of(self.start(problem))
        num_notes = num_lines - len(steps)
        if num_notes < 0:
            return None
        notes = spread(num_notes, len(steps) + 1, rng)
        lines: list[str] = []
        for num, (tree, step) in zip(notes, steps, strict=False):
            lines += [*[_note(tree)] * num, step.line]
        return Demonstration(lines=(*lines, *[_note(steps[-1][1].result)] * notes[-1]))

    def solution_from(self, problem: Problem, lines: Sequence[str]) -> Demonstration:
        """The operations that are left."""
        tree = self.start(problem)
        for line in lines:
            tree = self.advance(tree, line)
        return Demonstration(lines=tuple([step.line for _, step in steps_of(tree)]))

    def advance(self, state: Tree, line: str) -> Tree:
        """Do 1 to `max_merge` operations that make up a part of the expression, or state what is left."""
        if line.startswith(_LEFT):
            if line != _note(state):
                raise StepError(f"should be '{_note(state)}'")
            return state
        stated = _LINE.fullmatch(line)
        try:
            part = 0 if stated is None else read(stated[1])
        except ExpressionError:
            part = 0
        if stated is None or isinstance(part, int):
            raise StepError("not an operation")
        if isinstance(state, int):
            raise StepError("only the answer is left to be stated")
        if (count := num_operations(part)) > self.settings.max_merge:
            raise StepError(f"{count} operations in one line, at most {self.settings.max_merge}")
        found = replaced(state, part, int(stated[2]))
        if found is None:
            exchanged = Part(part.right, part.symbol, part.left)
            if replaced(state, exchanged, 1) is not None:
                raise StepError(f"operands of {part.symbol} may not be exchanged; should be {write(exchanged)}")
            raise StepError(f"{write(part)} is no operation that is next in {write(state)}")
        if (value := value_of(part)) != int(stated[2]):
            raise StepError(f"result should be {value}")
        return found

    def finished(self, state: Tree) -> bool:
        """Whether one number is left."""
        return isinstance(state, int)

    def remaining(self, state: Tree) -> int:
        """The operations that are left."""
        return num_operations(state)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """See `grade_whole_number`."""
        return grade_whole_number(answer, problem.answer)


def _note(tree: Tree) -> str:
    return _LEFT + write(tree)
