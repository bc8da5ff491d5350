"""Countdown: reach a target with given numbers, each used exactly once.

A problem and its full trace::

    Numbers: 2, 39, 45, 10. Target: 62
    Answer:
    45 - 39 = 6
    10 * 6 = 60
    60 + 2 = 62
    Thus, the answer is 10 * (45 - 39) + 2.

Steps: each line does one operation on two of the available numbers and replaces them with the result. Results
are positive whole numbers: no zero, no negative number, and only exact divisions. This holds for steps; an
answer is judged by its value alone. A line ``left: 2, 6, 10`` states the available numbers in ascending order.
It is valid and changes nothing; padded traces use it.

`remaining`: each operation leaves one number less, so it is one less than there are numbers, or infinite where
the target is out of reach. With five numbers, the most there are, the search takes milliseconds.

The gold answer is the expression from which the problem was drawn, and the full trace does its operations from
the inside out. Most targets can be reached in other ways too. `search_trace` may find another one; its
demonstration then states the answer that belongs to its lines.

Buckets: a bucket is "N" or "N_new", where N is how many numbers a problem has ("4", "4_new"). One target in
five, chosen by a hash, is *new* and occurs in "_new" buckets only; `new_targets` names others. By default train
and id share their targets but not their problems, ood_easy has targets never trained on, and ood_hard has more
numbers. The numbers of a question are ordered by a hash of the numbers and the target, so each problem has one
text and the order reveals nothing.

The split of Stream of Search, which Self-Backtracking uses, is `{max_number: 99, min_target: 10, max_target:
100, draw: numbers, new_targets: [14, 39, 41, 57, 62, 81, 87, 89, 96]}`: what the released generator holds out
with the seed of its script (4). It parts train from its validation problems with seen targets by their
solutions; here no two splits share a problem. Its results may be 0, ours are positive.

Wrong turns (`error_kinds`):
    exploration: A valid operation after which the target is out of reach, followed by random operations until
        one number is left.
    computation: An operation with a wrong result.
    rule: An operation on a number that is not available: one already used, if there is one.
Mistakes (`mistake_kinds`) are the same, and nothing takes them back.

Source: the task comes from Stream of Search and is used by Self-Backtracking (arXiv 2502.04404) and by "How
Much Backtracking is Enough?" (arXiv 2505.24273). The three wrong turns are those of Self-Backtracking. The
lines and the way problems are drawn are ours.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from envs.arithmetic import ExpressionError, Rules, evaluate
from envs.base import Demonstration, spread
from envs.generated import Draw, EnvSettings, GeneratedEnv
from envs.grading import Grade
from envs.operations import Operation, outcome
from envs.path import StepError
from envs.problem import Problem, Split
from envs.requests import ask_for_answer
from envs.tasks.countdown.detours import ERROR_KINDS, write_detours
from envs.tasks.countdown.expressions import draw_expression, draw_numbers, expression_of, numbers_of, steps_of
from envs.tasks.countdown.mistakes import write_mistake
from envs.tasks.countdown.search import Numbers, after, can_be_reached, search, solution
from envs.trace import StepKind, Verdict, render_trace

_NUMBERS, _TARGET, _LEFT = "Numbers: ", ". Target: ", "left: "
_NEW = "_new"
_BUCKET = re.compile(rf"[345](?:{_NEW})?")
_LINE = re.compile(r"([1-9][0-9]{0,15}) ([-+*/]) ([1-9][0-9]{0,15}) = (0|[1-9][0-9]{0,15})")
_RULES = Rules(negatives=False)
_MISTAKES_TRIED = 8
_MAX_TRIES = 20_000
_NUMBERS_TRIED = {3: 20_000, 4: 5_000, 5: 1_000}  # a try searches all that the numbers reach: 20 ms with five
_TRIES_PER_TARGET = 200  # with the default settings 6 are needed on average


class CountdownSettings(EnvSettings):
    """Settings of `countdown`; buckets say how many numbers a problem has, "_new" ones use held-out targets.

    Attributes:
        max_merge: Fixed at 1, since each line does one operation.
        max_number: Largest number of a problem; the smallest is 1.
        min_target: Smallest target.
        max_target: Largest target.
        new_targets: Targets held out for "_new" buckets. None: one in five, by a hash.
        draw: How problems are drawn. `expressions`: an expression that equals the target, from the top down.
            `numbers`: uniform numbers until the target can be reached from them, as Stream of Search does; the
            full trace is then the first solution in a fixed order.
        max_search_lines: Largest number of lines in a search trace, including backtracks. Problems whose search
            takes more have no search trace.
        target_slips: Share of the computation errors in the last line of a detour whose wrong result is the
            target, as small models make them, of those whose operation does not make it; the others are off by
            1, 2 or 10.
    """

    max_merge: int = Field(default=1, ge=1, le=1)
    train: dict[str, float] = {"4": 1.0}
    ood_easy: dict[str, float] = {"4_new": 1.0}
    ood_hard: dict[str, float] = {"5": 1.0}
    max_number: int = Field(default=100, ge=10, le=1000)
    min_target: int = Field(default=10, ge=1)
    max_target: int = Field(default=100, le=9999)
    new_targets: list[int] | None = None
    draw: Literal["expressions", "numbers"] = "expressions"
    max_search_lines: int = Field(default=60, ge=2, le=10_000)
    target_slips: float = Field(default=0.0, ge=0, le=1)

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        for bucket in value:
            if not _BUCKET.fullmatch(bucket):
                raise ValueError(
                    f"got the bucket {bucket!r}; a bucket is 3, 4 or 5, alone or with {_NEW}, such as '4{_NEW}'"
                )
        return value

    @model_validator(mode="after")
    def _has_targets(self) -> CountdownSettings:
        for bucket in (*self.train, *self.ood_easy, *self.ood_hard):
            if not self.targets(bucket):
                raise ValueError(
                    f"bucket '{bucket}' has no target from min_target {self.min_target} to max_target "
                    f"{self.max_target}; widen this range"
                )
        return self

    def targets(self, bucket: str) -> list[int]:
        """The targets of a bucket."""
        new = bucket.endswith(_NEW)
        return [t for t in range(self.min_target, self.max_target + 1) if self.is_new(t) is new]

    def is_new(self, target: int) -> bool:
        """Whether a target is held out for "_new" buckets."""
        return is_new(target) if self.new_targets is None else target in self.new_targets


@dataclass(frozen=True, slots=True)
class CountdownState:
    """The available numbers, in ascending order, and the target."""

    numbers: Numbers
    target: int


class Countdown(GeneratedEnv[CountdownState]):
    """Reach the target with every number used once."""

    name = "countdown"
    Settings = CountdownSettings
    settings: CountdownSettings
    error_kinds = ERROR_KINDS
    mistake_kinds = ERROR_KINDS
    instruction = (
        "Reach the target by adding, subtracting, multiplying and dividing the numbers. Use each number "
        "exactly once; all results are positive whole numbers."
    )
    format_request = (
        'Write one operation on two of the available numbers per line, such as "45 - 39 = 6"; its result takes '
        "the place of the two. "
        f"{ask_for_answer('one expression of all numbers that equals the target')}"
    )

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Build from settings; see `Env`."""
        super().__init__(settings)
        self._targets = {
            bucket: self.settings.targets(bucket) for split in Split for bucket in self.settings.buckets(split)
        }

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        """Draw one of the bucket's targets uniformly, and an expression that equals it."""
        count, targets = int(bucket[0]), self._targets[bucket]
        draw, tries = draw_expression, _MAX_TRIES
        if self.settings.draw == "numbers":
            draw, tries = draw_numbers, _NUMBERS_TRIED[count]
        for attempt in range(tries):
            if attempt % _TRIES_PER_TARGET == 0:
                target = targets[int(rng.random() * len(targets))]
            answer = draw(target, count, self.settings.max_number, rng)
            if answer is not None:
                break
        else:
            raise ValueError(
                f"found no {count} numbers up to {self.settings.max_number} for targets from "
                f"{self.settings.min_target} to {self.settings.max_target} in {tries} tries; "
                "raise max_number or lower the targets"
            )
        numbers = ", ".join(map(str, _shown(numbers_of(answer), target)))
        return Draw(
            question=f"{_NUMBERS}{numbers}{_TARGET}{target}",
            answer=answer,
            num_full_steps=count - 1,
            difficulty=count,
        )

    def bucket(self, problem: Problem) -> str:
        """How many numbers the question has, and whether its target is new."""
        state = self.start(problem)
        return f"{len(state.numbers)}{_NEW if self.settings.is_new(state.target) else ''}"

    def start(self, problem: Problem) -> CountdownState:
        """All numbers of the question, and its target."""
        numbers, _, target = problem.question.removeprefix(_NUMBERS).partition(_TARGET)
        return CountdownState(tuple(sorted(map(int, numbers.split(", ")))), int(target))

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The operations of the gold answer, one line each."""
        return tuple(step.line for step in steps_of(problem.answer))

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The full trace with one detour for each error, written by `write_detours`.

        `<backtrack> j` takes back an exploration, a bare `<backtrack>` the other errors. The number of
        computation and rule errors together is limited by the number of lines in the full trace, the number of
        explorations by the dead ends next to it.
        """
        state = self.start(problem)
        steps = steps_of(problem.answer)
        return write_detours(
            state.target,
            state.numbers,
            steps,
            errors,
            self.settings.max_number,
            rng,
            target_slips=self.settings.target_slips,
        )

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        """The full trace with `left:` lines spread evenly before, between and after its lines."""
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
        """The depth-first search of `search`, which is not random; None if it takes too many lines."""
        state = self.start(problem)
        lines = search(state.target, state.numbers, self.settings.max_search_lines)
        return None if lines is None else Demonstration(lines=lines, answer=self.answer_from(problem, lines))

    def mistaken_trace(self, problem: Problem, kind: str, rng: random.Random) -> Demonstration | None:
        """The full trace with one mistake, by `write_mistake`.

        A wrong result in the last line leaves the answer right: a few are drawn; None if none makes it wrong.
        """
        state, steps = self.start(problem), steps_of(problem.answer)
        for _ in range(_MISTAKES_TRIED):
            found = write_mistake(state.target, state.numbers, steps, kind, self.settings.max_number, rng)
            if found is None:
                return None
            if found.answer is not None and self.grade_answer(problem, found.answer) is Grade.WRONG:
                return found
        return None

    def solution_from(self, problem: Problem, lines: Sequence[str]) -> Demonstration | None:
        """The first operations found that lead from the numbers left to the target."""
        state = self.start(problem)
        for line in lines:
            state = self.advance(state, line)
        steps = solution(state.target, state.numbers)
        if steps is None:
            return None
        rest = tuple([step.line for step in steps])
        return Demonstration(lines=rest, answer=self.answer_from(problem, [*lines, *rest]))

    def answer_from(self, problem: Problem, lines: Sequence[str]) -> str | None:
        """The answer that the steps lead to: the expression made of the valid ones that were not taken back.

        Example: `["45 - 39 = 6", "10 * 6 = 60", "60 + 2 = 62"]` give `"10 * (45 - 39) + 2"`.

        Returns:
            The expression, whatever its value, or None if more than one number is left.
        """
        trace = self.check(problem, self.parse(render_trace(lines, problem.answer)))
        steps = [
            _read_step(step.text)
            for step in trace.steps
            if step.kind is StepKind.FORWARD and step.verdict is Verdict.VALID and not step.undone
        ]
        return expression_of(self.start(problem).numbers, [step for step in steps if step is not None])

    def advance(self, state: CountdownState, line: str) -> CountdownState:
        """Do one operation on two of the numbers, or state the numbers that are left."""
        if line.startswith(_LEFT):
            if line != _note(state.numbers):
                raise StepError(f"should be '{_note(state.numbers)}'")
            return state
        step = _read_step(line)
        if step is None:
            raise StepError("not an operation")
        for operand in (step.left, step.right):
            if operand not in state.numbers:
                raise StepError(f"{operand} is not among the numbers")
        if step.left == step.right and state.numbers.count(step.left) < 2:
            raise StepError(f"{step.left} occurs only once")
        result = outcome(step.left, step.symbol, step.right)
        if result is None:
            why = "is not a positive number" if step.symbol == "-" else "is not exact"
            raise StepError(f"{step.left} {step.symbol} {step.right} {why}")
        if step.result != result:
            raise StepError(f"result should be {result}")
        return CountdownState(after(state.numbers, step), state.target)

    def finished(self, state: CountdownState) -> bool:
        """Whether the target is the only number left."""
        return state.numbers == (state.target,)

    def remaining(self, state: CountdownState) -> float:
        """One operation less than there are numbers, if any lead to the target: a cached search."""
        return len(state.numbers) - 1 if can_be_reached(state.target, state.numbers) else math.inf

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Right if it is an expression that uses each number exactly once and equals the target.

        Operators are + - * / and parentheses. The value is exact; intermediate results may be fractions and
        negative. Other numbers, missing ones and repeated ones make the answer wrong. A text that is not such
        an expression, or that divides by zero, is malformed. Signs before numbers, decimals, powers and spaces
        around the expression are not allowed.
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
    """Whether a target is held out for "_new" buckets; one in five is, for every seed."""
    return blake2b(b"countdown target %d" % target, digest_size=1).digest()[0] < 51


def _shown(numbers: Sequence[int], target: int) -> list[int]:
    """The numbers in an order that depends only on the numbers and the target."""
    ascending = sorted(numbers)
    places = blake2b(f"{ascending} {target}".encode(), digest_size=len(ascending)).digest()
    return [number for _, number in sorted(zip(places, ascending, strict=True))]


def _read_step(line: str) -> Operation | None:
    """The operation a line states, correct or not; None for any other line."""
    match = _LINE.fullmatch(line)
    return None if match is None else Operation(int(match[1]), match[2], int(match[3]), int(match[4]))


def _note(numbers: Numbers) -> str:
    return _LEFT + ", ".join(map(str, numbers))
