"""Countdown: reach a target with given numbers, each used exactly once.

The task of Stream of Search as Self-Backtracking trains on it (arXiv 2502.04404), and the first of "How Much
Backtracking is Enough?" (arXiv 2505.24273). Each line does one operation on two numbers that are there and puts
the result in their place::

    Numbers: 2, 39, 45, 10. Target: 62
    Answer:
    45 - 39 = 6
    10 * 6 = 60
    60 + 2 = 62
    Thus, the answer is 10 * (45 - 39) + 2.

Results are whole and positive: no zero, no negative number, and division only where it is exact. Steps keep to
that; an answer is judged by its value alone. A line ``left: 2, 6, 10``, the numbers there in ascending order,
is valid and changes nothing: padded traces are made longer with it.

A bucket is "N" or "N_new", N being how many numbers there are. One target in five, by a hash of it, is *new*:
only "_new" buckets have it. So by default train and id have the same targets and other numbers, ood_easy has
targets never trained on, and ood_hard more numbers. The order in which numbers are shown is a hash of them and
the target, so a problem has one text and the order gives nothing away.

The gold answer is the expression the problem was drawn as; the full trace does its operations from the inside.
A target mostly has other ways to it: `search_trace` may find one, and its demonstration states the answer that
goes with its lines.

Wrong turns (`error_kinds`), the three of Self-Backtracking:
    exploration: a valid operation after which the target is out of reach, walked on until one number is left.
    computation: an operation with a wrong result.
    rule: an operation on a number that is not there; one already used, where there is one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator

from envs.arithmetic import ExpressionError, Rules, evaluate
from envs.base import Demonstration, spread
from envs.generated import Draw, EnvSettings, GeneratedEnv
from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem, Split
from envs.tasks.countdown.detours import ERROR_KINDS, write_detours
from envs.tasks.countdown.expressions import draw_expression, expression_of, numbers_of, steps_of
from envs.tasks.countdown.search import Numbers, Operation, after, can_be_reached, outcome, search
from envs.trace import StepKind, Verdict, render_trace

_NUMBERS, _TARGET, _LEFT = "Numbers: ", ". Target: ", "left: "
_NEW = "_new"
_BUCKET = re.compile(rf"[345](?:{_NEW})?")
_LINE = re.compile(r"([1-9][0-9]{0,15}) ([-+*/]) ([1-9][0-9]{0,15}) = (0|[1-9][0-9]{0,15})")
_RULES = Rules(negatives=False)
_MAX_TRIES = 20_000
_TRIES_A_TARGET = 200  # with the defaults the mean is 6


class CountdownSettings(EnvSettings):
    """Buckets are numbers of numbers, with "_new" for the targets that are kept out of the others.

    Attributes:
        max_number: The numbers are 1 to this.
        min_target: The smallest target.
        max_target: The largest.
        max_search_lines: Longest search trace, backtracks counted; a search that takes more gives none.
    """

    max_merge: int = Field(default=1, ge=1, le=1)
    train: dict[str, float] = {"4": 1.0}
    ood_easy: dict[str, float] = {"4_new": 1.0}
    ood_hard: dict[str, float] = {"5": 1.0}
    max_number: int = Field(default=100, ge=10, le=1000)
    min_target: int = Field(default=10, ge=1)
    max_target: int = Field(default=100, le=9999)
    max_search_lines: int = Field(default=60, ge=2, le=10_000)

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        for bucket in value:
            if not _BUCKET.fullmatch(bucket):
                raise ValueError(f"a bucket is 3, 4 or 5, or one of these with {_NEW}, got {bucket!r}")
        return value

    @model_validator(mode="after")
    def _has_targets(self) -> CountdownSettings:
        for bucket in (*self.train, *self.ood_easy, *self.ood_hard):
            if not self.targets(bucket):
                raise ValueError(
                    f"no target from min_target {self.min_target} to max_target {self.max_target} is one of "
                    f"bucket '{bucket}'; widen the range"
                )
        return self

    def targets(self, bucket: str) -> list[int]:
        """The targets of a bucket."""
        new = bucket.endswith(_NEW)
        return [t for t in range(self.min_target, self.max_target + 1) if is_new(t) is new]


@dataclass(frozen=True, slots=True)
class CountdownState:
    """The numbers that are there, in ascending order, and the target."""

    numbers: Numbers
    target: int


class Countdown(GeneratedEnv[CountdownState]):
    """Reach the target with every number once."""

    name = "countdown"
    Settings = CountdownSettings
    settings: CountdownSettings
    error_kinds = ERROR_KINDS

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Build from settings; see `Env`."""
        super().__init__(settings)
        self._targets = {
            bucket: self.settings.targets(bucket) for split in Split for bucket in self.settings.buckets(split)
        }

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw one of the bucket's targets, each alike, and an expression that makes it."""
        count, targets = int(bucket[0]), self._targets[bucket]
        for attempt in range(_MAX_TRIES):
            if attempt % _TRIES_A_TARGET == 0:
                target = targets[int(rng.random() * len(targets))]
            answer = draw_expression(target, count, self.settings.max_number, rng)
            if answer is not None:
                break
        else:
            raise ValueError(
                f"no {count} numbers up to {self.settings.max_number} found in {_MAX_TRIES} tries for targets "
                f"from {self.settings.min_target} to {self.settings.max_target}; raise max_number or lower them"
            )
        numbers = ", ".join(map(str, _shown(numbers_of(answer), target)))
        return Draw(
            question=f"{_NUMBERS}{numbers}{_TARGET}{target}",
            answer=answer,
            num_full_steps=count - 1,
            difficulty=count,
        )

    def bucket(self, problem: Problem) -> str:
        """How many numbers the question gives, and whether its target is a new one."""
        state = self.start(problem)
        return f"{len(state.numbers)}{_NEW if is_new(state.target) else ''}"

    def start(self, problem: Problem) -> CountdownState:
        """All the numbers."""
        numbers, _, target = problem.question.removeprefix(_NUMBERS).partition(_TARGET)
        return CountdownState(tuple(sorted(map(int, numbers.split(", ")))), int(target))

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The operations of the gold answer, one line each."""
        return tuple(step.line for step in steps_of(problem.answer))

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The full trace with one detour for each error, as `write_detours` does.

        An exploration is taken back by `<backtrack> j`, the others by a bare one. There may be as many
        computation and rule errors together as the full trace has lines, and as many explorations as it passes
        dead ends.
        """
        state = self.start(problem)
        steps = steps_of(problem.answer)
        return write_detours(state.target, state.numbers, steps, errors, self.settings.max_number, rng)

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        """The full trace with `left:` lines in between, before and after, spread evenly."""
        steps = steps_of(problem.answer)
        num_notes = num_lines - len(steps)
        if num_notes < 0:
            return None
        numbers = self.start(problem).numbers
        lines: list[str] = []
        for place, count in enumerate(spread(num_notes, len(steps) + 1, rng)):
            lines += [_note(numbers)] * count
            if place < len(steps):
                lines.append(steps[place].line)
                numbers = after(numbers, steps[place])
        return Demonstration(lines=tuple(lines))

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        """The depth-first search of `search`, which draws nothing; None where it takes too many lines."""
        state = self.start(problem)
        lines = search(state.target, state.numbers, self.settings.max_search_lines)
        return None if lines is None else Demonstration(lines=lines, answer=self.answer_from(problem, lines))

    def answer_from(self, problem: Problem, lines: Sequence[str]) -> str | None:
        """The answer that steps lead to: the expression of the valid ones that were not taken back.

        Example: `["45 - 39 = 6", "10 * 6 = 60", "60 + 2 = 62"]` give `"10 * (45 - 39) + 2"`.

        Returns:
            The expression, whatever its value, or None where more than one number is left.
        """
        trace = self.check(problem, self.parse(render_trace(lines, problem.answer)))
        steps = [
            _read_step(step.text)
            for step in trace.steps
            if step.kind is StepKind.FORWARD and step.verdict is Verdict.VALID and not step.undone
        ]
        return expression_of(self.start(problem).numbers, [step for step in steps if step is not None])

    def advance(self, state: CountdownState, line: str) -> CountdownState:
        """Do one operation on two of the numbers, or note which are left."""
        if line.startswith(_LEFT):
            if line != _note(state.numbers):
                raise StepError(f"should be '{_note(state.numbers)}'")
            return state
        step = _read_step(line)
        if step is None:
            raise StepError("not an operation")
        for operand in (step.left, step.right):
            if operand not in state.numbers:
                raise StepError(f"{operand} is not there")
        if step.left == step.right and state.numbers.count(step.left) < 2:
            raise StepError(f"{step.left} is there only once")
        result = outcome(step.left, step.symbol, step.right)
        if result is None:
            why = "is not a positive number" if step.symbol == "-" else "is not exact"
            raise StepError(f"{step.left} {step.symbol} {step.right} {why}")
        if step.result != result:
            raise StepError(f"result should be {result}")
        return CountdownState(after(state.numbers, step), state.target)

    def finished(self, state: CountdownState) -> bool:
        """One number is left, and it is the target."""
        return state.numbers == (state.target,)

    def solvable(self, state: CountdownState) -> bool:
        """Whether the target can still be reached; every way is tried, and results are kept."""
        return can_be_reached(state.target, state.numbers)

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """An expression in + - * / and parentheses with each number exactly once, equal to the target.

        Its value is exact, and may pass through fractions and negative numbers. Other numbers, or numbers left
        out or used twice, are wrong; what is not such an expression, or divides by zero, is malformed. There is
        no sign before a number, no decimal, no power, and no space around the whole.
        """
        if answer.strip(" ") != answer:
            return Grade.MALFORMED
        try:
            expression = evaluate(answer, _RULES)
        except ExpressionError:
            return Grade.MALFORMED
        state = self.start(problem)
        right = tuple(sorted(expression.integers)) == state.numbers and expression.value == state.target
        return Grade.CORRECT if right else Grade.WRONG


def is_new(target: int) -> bool:
    """Whether a target is held out for "_new" buckets: one in five is, whatever the seed."""
    return blake2b(b"countdown target %d" % target, digest_size=1).digest()[0] < 51


def _shown(numbers: Sequence[int], target: int) -> list[int]:
    """The numbers in an order that depends on them and the target alone."""
    ascending = sorted(numbers)
    places = blake2b(f"{ascending} {target}".encode(), digest_size=len(ascending)).digest()
    return [number for _, number in sorted(zip(places, ascending, strict=True))]


def _read_step(line: str) -> Operation | None:
    """An operation as a line states it, right or wrong; None for any other line."""
    match = _LINE.fullmatch(line)
    return None if match is None else Operation(int(match[1]), match[2], int(match[3]), int(match[4]))


def _note(numbers: Numbers) -> str:
    return _LEFT + ", ".join(map(str, numbers))
