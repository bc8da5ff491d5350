"""The interface of an environment: problems by index, reference traces, and a check of every step.

An environment is a pure function of its settings. It holds no random generator and no state that changes, so
two copies in two processes agree. A subclass returns the problem at an address, writes its reference trace,
takes one step and grades an answer; this module renders prompts and checks whole traces. `generated.py` draws
problems, `tasks/math/` reads them from data.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic

from pydantic import BaseModel, ConfigDict

from envs.grading import Grade, why_refused
from envs.path import State, follow
from envs.problem import Problem, Split, hash_rows
from envs.requests import ANSWER_CUE, ask_for_answer, ask_for_steps
from envs.trace import Status, Step, Trace, parse_steps, parse_trace, render_trace


@dataclass(frozen=True, kw_only=True, slots=True)
class Demonstration:
    """A trace to learn from.

    Example: `Demonstration(lines=("9 + 1 = 11", "<backtrack>", "9 + 1 = 10"), wrong=frozenset({0}))`.

    Attributes:
        lines: The lines, without the closing one.
        wrong: Positions of the lines that must not be imitated. They get no loss; the lines after them do.
        answer: The answer the lines lead to, if it is correct but differs from the problem's own.
    """

    lines: tuple[str, ...]
    wrong: frozenset[int] = frozenset()
    answer: str | None = None


class NoSolutionError(ValueError):
    """A problem has no worked solution to learn from."""


def check_error_kinds(errors: Sequence[str], known: Sequence[str]) -> None:
    """Refuse error kinds that a task does not know.

    Raises:
        ValueError: An error kind is unknown; the message lists the known ones.
    """
    if unknown := sorted(set(errors) - set(known)):
        raise ValueError(f"unknown error kinds {unknown}; known: {', '.join(known)}")


def spread(num: int, num_places: int, rng: random.Random) -> list[int]:
    """Split `num` lines as evenly as possible among the places; a random choice of places gets one more."""
    each, more = divmod(num, num_places)
    with_one_more = rng.sample(range(num_places), more)
    return [each + (place in with_one_more) for place in range(num_places)]


class NoSettings(BaseModel):
    """The settings of an environment that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Env(ABC, Generic[State]):
    """A verifiable reasoning task.

    A subclass implements the abstract methods: `problem`, `start`, `advance`, `finished` and `grade_answer`.
    Everything else has a default.

    Attributes:
        name: Name in the registry, in the config and in records; by default that of the class.
        Settings: Schema of `env.settings` in the config; by default there are no settings. A setting
            `max_merge` is the largest number of elementary steps that one line may do.
        skip_kinds: Names of the hand-skip rules, the default one first; empty where `skipped_trace` is not
            defined.
        error_kinds: Kinds of wrong turns that `detour_trace` can write; empty where it is not defined.
        mistake_kinds: Kinds of mistakes that `mistaken_trace` can write; empty where it is not defined.
        checks_steps: Whether steps are judged. If False, only the answer is: steps are counted, no trace is
            verified, and `start`, `advance` and `finished` are not asked.
        checks_backtracks: Whether a backtrack restores an earlier state, where steps are checked. If False,
            backtracks are only announced and counted: none is real, fake, needed or needless, and no step is
            wasted.
        has_solutions: Whether `full_trace` is defined. Without it there is no warm start.
        example: Settings for trying the environment out, if it cannot be built without any.
        instruction: What to do, for a model that has not been trained on the task; empty if the questions say
            it.
        step_request: The request for a number of steps, with `{steps}` for "3 steps".
        format_request: The form of steps and answer, as one asks a chat model for it.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[BaseModel]] = NoSettings
    skip_kinds: ClassVar[Sequence[str]] = ()
    error_kinds: ClassVar[Sequence[str]] = ()
    mistake_kinds: ClassVar[Sequence[str]] = ()
    checks_steps: bool = True
    checks_backtracks: bool = True
    has_solutions: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {}
    instruction: ClassVar[str] = ""
    step_request: ClassVar[str] = "Let's solve it in {steps}."
    format_request: ClassVar[str] = f"Write one step per line. {ask_for_answer('the answer')}"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Fill in what a class need not declare: its name, and whether it has worked solutions."""
        super().__init_subclass__(**kwargs)
        named = next((one for one in cls.__mro__ if "name" in vars(one)), None)
        if named is None or vars(named)["name"] == named.__name__:
            cls.name = cls.__name__
        if "has_solutions" not in vars(cls):
            cls.has_solutions = cls.full_trace is not Env.full_trace

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
        """The splits that have problems; train is always one of them."""
        return tuple(Split)

    @property
    def parts(self) -> Mapping[str, Env[Any]]:
        """What this environment is made of, by the `part` of a problem: itself, or the parts of a mixture."""
        return {"": self}

    def part_of(self, problem: Problem) -> Env[Any]:
        """The environment that reads and writes texts for a problem, with `parse` and `demonstrate`."""
        return self.parts[problem.part]

    def defines(self, method: str) -> bool:
        """Whether this environment defines an optional method, such as `search_trace`, itself."""
        return getattr(type(self), method) is not getattr(Env, method)

    def num_problems(self, split: Split) -> int | None:
        """Number of distinct problems in a split, or None if the split is endless."""
        return None

    def fingerprint(self, split: Split) -> str:
        """A hash of the problems of a split, in hexadecimal: equal as long as they are.

        The default hashes all problems of a split with an end, and the first 8 of an endless one, which
        settings and code determine. A task whose data holds more, such as worked solutions, hashes that too.
        """
        problems = [self.problem(split, index) for index in range(self.num_problems(split) or 8)]
        return hash_rows([(p.question, p.answer, p.num_full_steps, p.difficulty) for p in problems])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about the problems, such as rows of the data left out; a line each."""
        return ()

    # ---- what a subclass defines: problems and the rules of the task ----

    @abstractmethod
    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        """The problem at an address; the same on every call, machine and process.

        Args:
            split: One of `splits`.
            index: Any integer from 0 up; a finite split starts over after its last problem.
            budget: Number of steps the prompt asks for; None asks for none.

        Raises:
            ValueError: The split does not exist or is empty.
        """

    @abstractmethod
    def start(self, problem: Problem) -> State:
        """The state before the first step, as an immutable value."""

    @abstractmethod
    def advance(self, state: State, line: str) -> State:
        """Take one step and return the state after it.

        Raises:
            StepError: The line is not a valid step from this state.
        """

    @abstractmethod
    def finished(self, state: State) -> bool:
        """Whether the steps are complete, so that only the answer remains to be stated."""

    @abstractmethod
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        """Judge an answer that has passed the text gate.

        No text may make it raise. It raises `GraderError` only if the grader itself fails.
        """

    def remaining(self, state: State) -> float | None:
        """The fewest elementary lines that lead from a state to the end.

        An elementary line is one that is valid where `max_merge` is 1; if every line does one thing, all are.
        The number is 0 exactly where the state is finished, `math.inf` at a dead end, and None where it is
        unknown. It is asked after every line of a trace (`line_facts.py`), so it has to take a bounded time.
        The default is None for every state: the task knows none.
        """
        return None

    def solvable(self, state: State) -> bool | None:
        """Whether valid steps can still lead from a state to the end; None if that is unknown.

        The default asks `remaining`. Where that is not defined, it suits a task without dead ends: they always
        can, so no backtrack is ever needed.
        """
        if not self.defines("remaining"):
            return True
        left = self.remaining(state)
        return None if left is None else left < math.inf

    def bucket(self, problem: Problem) -> str | None:
        """The problem's difficulty bucket. The default is None: the task has no buckets."""
        return None

    def first_error(self, trace: Trace) -> str | None:
        """Category of the first error in a checked trace. The default is None: the task sorts no errors."""
        return None

    # ---- what a subclass may define: traces to learn from ----

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        """The reference solution with every elementary step, one line each, without the closing line.

        The default is for tasks without worked solutions.

        Raises:
            NoSolutionError: There is none.
        """
        raise NoSolutionError(f"{self.name} has no worked solutions to learn from; set warm_start to null")

    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        """The reference solution with steps skipped by hand: fewer than the full trace has.

        The default is None for every problem: the task has no hand-skip rules. A task that defines this method
        lists its rules in `skip_kinds`.

        Args:
            problem: The problem to solve.
            kind: The rule, one of `skip_kinds`.
            rng: Draws which steps are skipped, if the rule leaves a choice.

        Returns:
            The lines, or None where the rule does not apply to this problem.
        """
        return None

    def count_steps(self, lines: Sequence[str]) -> int:
        """Number of steps of a demonstration, for the budget in its prompt. The default is one for each line.

        A task whose steps are not lines counts what its grammar finds in them.
        """
        return len(lines)

    def demonstrate(self, lines: Sequence[str], answer: str) -> str:
        """The completion that teaches these lines and this answer, in the form that prompts ask for."""
        return render_trace(lines, answer)

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        """The reference solution with one detour for each of `errors`.

        A detour is a wrong turn, followed until it fails, and the backtrack that takes it back. No two detours
        of a trace are the same. The trace has exactly `len(errors)` backtracks. All are real and needed, unless
        the error kind says otherwise. The first line of each detour is marked `wrong`, unless that line is
        correct.

        The default is None for every problem: the task has no detours. A task that defines this method lists
        its kinds in `error_kinds`.

        Args:
            problem: The problem to solve.
            errors: One of `error_kinds` for each detour; a kind may occur more than once.
            rng: Draws the places and the wrong turns.

        Returns:
            The demonstration, or None where the problem has no room for that many detours.
        """
        return None

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        """The reference solution in `num_lines` lines without a backtrack: the length-matched control.

        It separates the effect of length from the effect of backtracks. Returns None where the solution is
        longer than that. The default is None for every problem: the task has no lines that change nothing.
        """
        return None

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        """The trace of a systematic search with the backtracks it needs.

        Returns None where the search gets too long. The default is None for every problem: the task has no
        search.
        """
        return None

    def mistaken_trace(self, problem: Problem, kind: str, rng: random.Random) -> Demonstration | None:
        """The reference solution with one mistake, which nothing takes back, and on to a wrong answer.

        The lines before the mistake are right. Those after it follow from the wrong line as the right ones
        would from a right line, so the trace differs from the reference where it must. Its `answer` is wrong,
        and `wrong` holds the position of the line with the mistake: after it no right trace is possible.

        The default is None for every problem: the task writes no mistakes. A task that defines this method
        lists its kinds in `mistake_kinds`.

        Args:
            problem: The problem to solve.
            kind: One of `mistake_kinds`.
            rng: Draws the place and the mistake.

        Returns:
            The trace, or None where the problem has no room for this kind.
        """
        return None

    def solution_from(self, problem: Problem, lines: Sequence[str]) -> Demonstration | None:
        """The rest of a solution that begins with these lines.

        The default knows the rest of the full trace. A task that can go on from any state overrides it.

        Args:
            problem: The problem to solve.
            lines: Valid lines, none of them a backtrack or taken back, after which the end can be reached.

        Returns:
            The lines that follow, or None where no such solution is known.
        """
        full = self.full_trace(problem)
        begun = tuple(lines) == full[: len(lines)]
        return Demonstration(lines=full[len(lines) :]) if begun else None

    # ---- problems ----

    def render_prompt(self, question: str, budget: int | None = None) -> str:
        """The prompt of a model without a chat template: question, step request (with a budget), answer cue."""
        request = "" if budget is None else f"{ask_for_steps(self.step_request, budget)}\n"
        return f"{question}\n{request}{ANSWER_CUE}"

    def with_budget(self, problem: Problem, budget: int | None) -> Problem:
        """The same problem with a prompt that asks for `budget` steps; None asks for none."""
        return replace(problem, budget=budget, prompt=self.render_prompt(problem.question, budget))

    @property
    def request(self) -> str:
        """What a chat model is asked for after the question: the form of steps and answer."""
        return self.format_request

    @property
    def plain_request(self) -> str:
        """What a model without a chat template is asked for; by default nothing."""
        return ""

    # ---- checking ----

    def parse(self, text: str, *, truncated: bool = False) -> Trace:
        """Read a completion with `parse_trace`; tasks that state answers in another form override this."""
        return parse_trace(text, truncated=truncated)

    def read_steps(self, text: str) -> tuple[Step, ...]:
        """The steps of reasoning that states no answer, such as a thought."""
        return parse_steps(text)

    def check(self, problem: Problem, trace: Trace) -> Trace:
        """Judge every step, every backtrack and the answer; `path.py` has the rules for steps and backtracks.

        Returns:
            The trace with verdicts, `undone` marks, `backtracks`, `finished` and `grade` filled in; where steps
            are not checked, only with `grade`.

        Raises:
            GraderError: The grader itself failed, so the trace could not be judged.
        """
        if not self.checks_steps:
            return replace(trace, grade=self._grade(problem, trace))
        found = follow(trace.steps, self.start(problem), self.advance, self.solvable)
        return replace(
            trace,
            steps=found.steps,
            backtracks=found.backtracks,
            finished=self.finished(found.state),
            grade=self._grade(problem, trace),
        )

    def check_demonstration(self, problem: Problem, lines: Sequence[str]) -> Trace:
        """The judgement of a demonstration of these lines and the problem's answer, as that of a completion."""
        return self.check(problem, self.parse(self.demonstrate(lines, problem.answer)))

    def _grade(self, problem: Problem, trace: Trace) -> Grade:
        if trace.status is not Status.COMPLETE or trace.answer is None:
            return Grade.MALFORMED
        if why_refused(trace.answer) is not None:
            return Grade.REFUSED
        grade = self.grade_answer(problem, trace.answer)
        if not isinstance(grade, Grade):  # a bool would be taken for wrong
            raise TypeError(f"grade_answer returned {grade!r}, which is no Grade")
        return grade


def checked_step(step: Step) -> str:
    """A step with its verdict and reason in one line, for logs and error messages."""
    return f"{step.text}  [{step.verdict}{': ' + step.reason if step.reason else ''}]"
