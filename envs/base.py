"""What an environment is: problems by index, reference traces, and a check of every step.

An environment is a pure function of its settings: it holds no generator and no state that changes, so
two copies in two processes agree. A subclass says which problem is at an address, writes its full trace, takes
one step and judges an answer; rendering and checking are done here, once. Where problems come from is the
matter of `generated.py` (drawn) and `math_problems.py` (read from data).
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic

from pydantic import BaseModel

from envs.grading import Grade, why_refused
from envs.path import State, follow
from envs.problem import Problem, Split
from envs.trace import Status, Step, Trace, Verdict, parse_trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    """A trace to learn from.

    Example: `Demonstration(lines=("9 + 1 = 11", "<backtrack>", "9 + 1 = 10"), wrong=frozenset({0}))`.

    Attributes:
        lines: The lines, without the closing one.
        wrong: Positions of the lines that must not be imitated: they get no loss, what comes after them does.
        answer: What the lines lead to, where that is another right answer than the problem's own.
    """

    lines: tuple[str, ...]
    wrong: frozenset[int] = frozenset()
    answer: str | None = None


def check_error_kinds(errors: Sequence[str], known: Sequence[str]) -> None:
    """Refuse what is no kind of error.

    Raises:
        ValueError: Names them, and those there are.
    """
    if unknown := sorted(set(errors) - set(known)):
        raise ValueError(f"unknown error kinds {unknown}; known: {', '.join(known)}")


def spread(num: int, num_places: int, rng: random.Random) -> list[int]:
    """How many of `num` lines go to each place, as evenly as can be; which get one more is drawn."""
    each, more = divmod(num, num_places)
    with_one_more = rng.sample(range(num_places), more)
    return [each + (place in with_one_more) for place in range(num_places)]


class Env(ABC, Generic[State]):
    """A verifiable reasoning task.

    Subclasses set the class variables and implement the abstract methods.

    Attributes:
        name: Name in the registry and in the config.
        Settings: What `env.settings` in the config may hold.
        skip_kinds: Hand-skip rules, the default one first.
        error_kinds: Kinds of wrong turns its detours can take; empty where it writes none.
        checks_steps: Whether steps are judged. Where they are not, `advance` takes any line, and the count
            of steps is the model's word.
        has_solutions: Whether there are worked solutions; where there are none, `full_trace` raises ValueError.
        example: Settings to try the environment with, where it needs some.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[BaseModel]]
    skip_kinds: ClassVar[Sequence[str]] = ()
    error_kinds: ClassVar[Sequence[str]] = ()
    checks_steps: ClassVar[bool] = True
    has_solutions: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, settings: Mapping[str, Any] | BaseModel | None = None) -> None:
        """Build from settings.

        Raises:
            pydantic.ValidationError: A setting is unknown or out of range.
        """
        if not isinstance(settings, self.Settings):
            settings = self.Settings.model_validate(settings or {})
        self.settings: Any = settings

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits there are problems for; train is always one."""
        return tuple(Split)

    def num_problems(self, split: Split) -> int | None:
        """How many different problems a split holds, or None where it has no end."""
        return None

    # ---- what a subclass says ----

    @abstractmethod
    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """The problem at an address; the same on every call, machine and process.

        Args:
            split: One of `splits`.
            index: Any integer from 0 up; where a split has an end, it starts again after it.
            budget: Ask for this many steps in the prompt.

        Raises:
            ValueError: There is no such split, or nothing in it.
        """

    @abstractmethod
    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The reference solution with every elementary step, one line each, no closing line."""

    @abstractmethod
    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """The reference solution with one step skipped by hand, or None where the rule does not apply."""

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The reference solution with one detour for each of `errors`, in different places or ways.

        A detour is a wrong turn, walked to where it fails, and the backtrack that takes it back: exactly
        `len(errors)` backtracks, all real and needed but for kinds that say otherwise. The first line of each
        is `wrong`, unless nothing is wrong with it.

        Args:
            problem: What is solved.
            errors: Of `error_kinds`, one a detour; repeats are allowed.
            rng: Draws places and turns.

        Returns:
            None where the problem has no room for that many.
        """
        return None

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        """The reference solution in `num_lines` lines without a backtrack: tells length from backtracks.

        None where it has more lines already, or the task has no lines that change nothing.
        """
        return None

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        """The trace of a systematic search with the backtracks it needs; None where the task has none."""
        return None

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

    def solvable(self, state: State) -> bool | None:
        """Whether valid steps can still lead from a state to the end; None where that is not known.

        By default they always can: in a task without dead ends no backtrack is needed.
        """
        return True if self.checks_steps else None

    @abstractmethod
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Judge a stated answer that has passed the text gate.

        Whatever the text, it raises nothing but `GraderError`, for a fault of the machinery.
        """

    def bucket(self, problem: Problem) -> str | None:
        """Name of the difficulty a problem has, in a task that tells several apart; else None."""
        return None

    def first_error(self, trace: Trace) -> str | None:
        """Category of what first went wrong in a checked trace, in a task that names its errors; else None."""
        return None

    # ---- problems ----

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
        """Judge every step, every backtrack and the answer.

        How steps and backtracks are judged is told in `path.py`.

        Returns:
            The trace with verdicts, `undone` marks, `backtracks`, `finished` and `grade` filled in.

        Raises:
            GraderError: Our machinery failed; nothing is known of the trace.
        """
        verdict = Verdict.VALID if self.checks_steps else Verdict.UNCHECKED
        found = follow(trace.steps, self.start(problem), self.advance, self.solvable, verdict)
        return replace(
            trace,
            steps=found.steps,
            backtracks=found.backtracks,
            finished=self.finished(found.state),
            grade=self._grade(problem, trace),
        )

    def _grade(self, problem: Problem, trace: Trace) -> Grade:
        if trace.status is not Status.COMPLETE or trace.answer is None:
            return Grade.MALFORMED
        if why_refused(trace.answer) is not None:
            return Grade.REFUSED
        return self.grade_answer(problem, trace.answer)


def checked_step(step: Step) -> str:
    """A step and its verdict in one line, for logs and error messages."""
    return f"{step.text}  [{step.verdict}{': ' + step.reason if step.reason else ''}]"
