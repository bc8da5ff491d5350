"""What an environment is: problems by index, reference traces, and a check of every step.

An environment is a pure function of its settings: it holds no generator and no state that changes, so
two copies in two processes agree. A subclass names its difficulty cells per split and says how to draw a
problem, write its full trace, take one step and judge an answer; rendering, checking and the split of the
data are done here, once.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate, combinations
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from envs.grading import Grade, why_refused
from envs.problem import Problem, Split
from envs.seeding import derive_random
from envs.trace import Status, Step, StepKind, Trace, Verdict, parse_trace

State = TypeVar("State")
_MAX_DRAWS = 1000  # one question in four is an id one, so 100 would do wherever there are any


class StepError(Exception):
    """A step that cannot be taken; the message is the reason shown beside it."""


class EnvSettings(BaseModel):
    """Settings every environment has; subclasses give the cells their defaults and meaning.

    A *cell* is one difficulty of the task (a number of actions, a pair of digit counts). Each split maps
    its cells to how often they are drawn; a plain list draws its cells alike.

    Attributes:
        seed: Data seed. Two runs with the same one see the same problems, whatever their run seed.
        max_merge: How many elementary steps one line may do. A line that does more is invalid, so a
            step cannot be saved by packing the whole solution into one line. The published hand-skip
            rules merge two.
        train: Cells of the train and id splits.
        ood_easy: Cells of the ood_easy split; none of them may be in `train`.
        ood_hard: Cells of the ood_hard split; none of them may be in the other two.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    max_merge: int = Field(default=2, ge=1)
    train: dict[str, float]
    ood_easy: dict[str, float]
    ood_hard: dict[str, float]

    @field_validator("train", "ood_easy", "ood_hard", mode="before")
    @classmethod
    def _list_is_uniform(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return {str(cell): 1.0 for cell in value}
        if isinstance(value, dict):
            return {str(cell): weight for cell, weight in value.items()}
        return value

    @field_validator("train", "ood_easy", "ood_hard")
    @classmethod
    def _drawable(cls, value: dict[str, float]) -> dict[str, float]:
        if not value or min(value.values()) < 0 or not 0 < sum(value.values()) < math.inf:
            raise ValueError("a split needs cells with weights of at least 0 that do not sum to 0")
        return {cell: weight for cell, weight in value.items() if weight > 0}

    @model_validator(mode="after")
    def _disjoint(self) -> EnvSettings:
        splits = {"train": self.train, "ood_easy": self.ood_easy, "ood_hard": self.ood_hard}
        for (one, a), (two, b) in combinations(splits.items(), 2):
            if shared := sorted(set(a) & set(b)):
                raise ValueError(f"{one} and {two} share the cells {shared}; splits must be disjoint")
        return self

    def cells(self, split: Split) -> dict[str, float]:
        """The cells of a split and their weights."""
        return {Split.OOD_EASY: self.ood_easy, Split.OOD_HARD: self.ood_hard}.get(split, self.train)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """A problem as its environment draws it, before it is given an address.

    Attributes:
        question: The task text; equal questions are the same problem.
        answer: The gold answer.
        num_full_steps: Lines in the full trace.
        difficulty: Grows with hardness.
    """

    question: str
    answer: str
    num_full_steps: int
    difficulty: int


class Env(ABC, Generic[State]):
    """A verifiable reasoning task.

    Subclasses set `name`, `Settings` and `skip_kinds`, and implement the abstract methods.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[EnvSettings]]
    skip_kinds: ClassVar[Sequence[str]]

    def __init__(self, settings: Mapping[str, Any] | EnvSettings | None = None) -> None:
        """Build from settings.

        Raises:
            pydantic.ValidationError: A setting is unknown or out of range.
        """
        if not isinstance(settings, EnvSettings):
            settings = self.Settings(**(settings or {}))
        self.settings = settings
        self._cells = {split: _Cells(settings.cells(split)) for split in Split}

    # ---- what a subclass says ----

    @abstractmethod
    def draw(self, cell: str, rng: random.Random) -> Draw:
        """Draw one problem of a difficulty cell."""

    @abstractmethod
    def cell(self, problem: Problem) -> str:
        """The difficulty cell a problem belongs to, read from its question."""

    @abstractmethod
    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The reference solution with every elementary step, one line each, no closing line."""

    @abstractmethod
    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """The reference solution with one step skipped by hand, or None where the rule does not apply."""

    @abstractmethod
    def start(self, problem: Problem) -> State:
        """The state before the first step: an immutable value."""

    @abstractmethod
    def advance(self, state: State, line: str) -> State:
        """Take one step.

        Raises:
            StepError: The line is not a valid step from this state.
        """

    @abstractmethod
    def finished(self, state: State) -> bool:
        """Whether the steps have led to the end: nothing is left to do but state the answer."""

    @abstractmethod
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Judge a stated answer that has passed the text gate.

        Whatever the text, it raises nothing but `GraderError`, for a fault of the machinery.
        """

    # ---- problems ----

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """The problem at an address; the same on every call, machine and process.

        Train and id share a distribution; which of the two a question belongs to is decided by a hash of
        the question, so they never meet. The out-of-distribution splits differ in difficulty.

        Args:
            split: Which split.
            index: Any integer from 0 up; splits have no end.
            budget: Ask for this many steps in the prompt.

        Raises:
            ValueError: The cells hold so few problems that none fell to this split.
        """
        split = Split(split)
        rng = derive_random(self.settings.seed, self.name, split.value, index)
        cells = self._cells[split]
        for _ in range(_MAX_DRAWS):
            draw = self.draw(cells.pick(rng), rng)
            if split not in _SHARED or _home(draw.question) is split:
                break
        else:
            raise ValueError(
                f"no {split} problem in {_MAX_DRAWS} draws from the train cells {list(self.settings.train)} of "
                f"'{self.name}': they hold too few distinct problems to share; add cells"
            )
        return Problem(
            env=self.name,
            split=split,
            index=index,
            question=draw.question,
            prompt=self.render_prompt(draw.question, budget),
            answer=draw.answer,
            num_full_steps=draw.num_full_steps,
            difficulty=draw.difficulty,
            budget=budget,
        )

    def render_prompt(self, question: str, budget: int | None = None) -> str:
        """Put the question, the step request if there is one and the answer cue together."""
        request = "" if budget is None else f"Let's solve it in {budget} step{'' if budget == 1 else 's'}.\n"
        return f"{question}\n{request}Answer:\n"

    def with_budget(self, problem: Problem, budget: int | None) -> Problem:
        """The same problem, its prompt asking for `budget` steps (None: no request)."""
        return replace(problem, budget=budget, prompt=self.render_prompt(problem.question, budget))

    # ---- checking ----

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        """Read a completion; see `parse_trace`, which this is unless the task writes its answers otherwise."""
        return parse_trace(text, truncated=truncated)

    def check(self, problem: Problem, trace: Trace) -> Trace:
        """Judge every step and the answer.

        A step is judged from the state the last valid step left; an invalid step leaves the state as it
        was. A backtrack is valid where it names an earlier point of the path; it is real where the next
        step then differs from the one it took back.

        Returns:
            The trace with verdicts, `undone` marks, `finished`, `grade` and `real_backtracks` filled in.

        Raises:
            GraderError: Our machinery failed; nothing is known of the trace.
        """
        path = [self.start(problem)]  # path[j] is the state after j valid steps
        taken: list[int] = []  # taken[j] is the position in `steps` of the step that led to path[j + 1]
        steps = list(trace.steps)
        abandoned: str | None = None  # first step of the branch the last backtrack left
        real = 0
        for i, step in enumerate(steps):
            if step.kind is StepKind.BACKTRACK:
                keep = len(taken) - 1 if step.target is None else step.target
                if not 0 <= keep < len(taken):
                    steps[i] = replace(step, verdict=Verdict.INVALID, reason="no such earlier step")
                    continue
                for j in taken[keep:]:
                    steps[j] = replace(steps[j], undone=True)
                abandoned = steps[taken[keep]].text
                del taken[keep:], path[keep + 1 :]
                steps[i] = replace(step, verdict=Verdict.VALID)
                continue
            try:
                path.append(self.advance(path[-1], step.text))
            except StepError as error:
                steps[i] = replace(step, verdict=Verdict.INVALID, reason=str(error))
                continue
            taken.append(i)
            steps[i] = replace(step, verdict=Verdict.VALID)
            if abandoned is not None:
                real += step.text != abandoned
                abandoned = None
        return replace(
            trace,
            steps=tuple(steps),
            finished=self.finished(path[-1]),
            grade=self._grade(problem, trace),
            real_backtracks=real,
        )

    def _grade(self, problem: Problem, trace: Trace) -> Grade:
        if trace.status is not Status.COMPLETE or trace.answer is None:
            return Grade.MALFORMED
        if why_refused(trace.answer) is not None:
            return Grade.REFUSED
        return self.grade_answer(problem, trace.answer)


class _Cells:
    """Weighted choice among a split's cells, with the cumulative weights made once."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._names = list(weights)
        self._cumulative = list(accumulate(weights.values()))

    def pick(self, rng: random.Random) -> str:
        at = bisect(self._cumulative, rng.random() * self._cumulative[-1])
        return self._names[min(at, len(self._names) - 1)]


_SHARED = (Split.TRAIN, Split.ID)


def _home(question: str) -> Split:
    """Train or id, one question in four to id, by a hash of the question alone."""
    return Split.ID if blake2b(question.encode(), digest_size=1).digest()[0] < 64 else Split.TRAIN


def checked_step(step: Step) -> str:
    """A step and its verdict in one line, for logs and error messages."""
    return f"{step.text}  [{step.verdict}{': ' + step.reason if step.reason else ''}]"
