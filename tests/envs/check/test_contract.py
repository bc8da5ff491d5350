"""The contract over every registered environment, and the checker itself on broken ones."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from envs.base import Demonstration, Env
from envs.check.contract import check_env
from envs.check.judge import EnvContractError
from envs.check.near_misses import wrong_answers, wrong_traces
from envs.check.table import check_all
from envs.generated import Draw, GeneratedEnv
from envs.grading import Grade
from envs.path import StepError
from envs.problem import Problem, Split
from envs.registry import ENVS, make_env, make_example
from envs.tasks.addition import Addition
from envs.tasks.directional import Directional, DirectionalState
from envs.tasks.math.task import MathProblems
from envs.trace import Trace, parse_trace, render_trace

SMALL = {"train": [3], "ood_easy": [4], "ood_hard": [5]}


AT_FULL_SIZE = ("arc_1d", "countdown", "geometry", "sudoku")
"""Tasks whose own tests hold them to the contract, on more problems and with a throughput."""

SLOW = {"math": pytest.mark.slow, "reasoning_gym": pytest.mark.slow}


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in sorted(ENVS)])
def test_every_environment_keeps_the_contract(name: str) -> None:
    env = make_example(name)
    num_problems = 5 if name in AT_FULL_SIZE else 30
    report = check_env(env, num_problems=num_problems)
    assert report.name == name
    assert report.num_problems == num_problems * len(env.splits)
    assert report.num_problems <= report.num_traces <= report.num_problems * (1 + len(env.skip_kinds))
    assert (report.num_traces > report.num_problems) is bool(env.skip_kinds)
    assert report.num_near_misses > (30 if env.checks_steps else 10) * report.num_problems
    assert report.mean_full_steps > 1
    assert name in AT_FULL_SIZE or report.problems_per_s > 100


@pytest.mark.parametrize("name", sorted(name for name in ENVS if name != "math" and ENVS[name].skip_kinds))
@pytest.mark.parametrize("max_merge", [1, 3])
def test_the_contract_holds_at_other_widths(name: str, max_merge: int) -> None:
    """If a line may do only one step, the hand-skipped traces are refused, and nothing else is."""
    env = make_env(name, {"max_merge": max_merge})
    if max_merge == 1:
        with pytest.raises(EnvContractError, match=r"trace is refused: .* in one line, at most 1\]$"):
            check_env(env, num_problems=5)
    else:
        check_env(env, num_problems=5)


@pytest.mark.parametrize(
    "settings",
    [{"check_steps": "arithmetic"}, {"steps": "content"}, {"steps": "paragraphs", "answer_forms": ["box"]}],
)
def test_word_problems_keep_the_contract_however_steps_are_found(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """Lines with two equations or none, a detour that nothing takes back, answers that an edit leaves equal."""
    rows = [
        {
            "question": f"Ann has {n} boxes of 4 pens and loses half a box. How many boxes are left?",
            "answer": f"{n - 1}.5",
            "solution": [
                "Let's see.",
                f"{n} * 2 = {2 * n} halves.",
                f"{2 * n} - 1 = {2 * n - 1} and {2 * n - 1} / 2 = {n - 1}.5",
                f"So {2 * n - 1} / 2 = {n - 1}.5",
            ],
            "skipped": [[f"{n} * 2 - 1 = {2 * n - 1}", f"{2 * n - 1} / 2 = {n - 1}.5"]],
            "detours": {
                "lines": [
                    f"{n} + 2 = {n + 3}",
                    "Wait, no.",
                    f"{n} * 2 = {2 * n} halves.",
                    f"{2 * n} - 1 = {2 * n - 1}",
                    f"{2 * n - 1} / 2 = {n - 1}.5",
                ],
                "wrong": [0],
            },
        }
        for n in range(20, 32)
    ]
    rows += [{"question": f"How much is {n} + {n}?", "answer": 2 * n} for n in range(40, 44)]  # no solution
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    env = make_env("math", {"train": str(data), "max_merge": 3, **settings})
    report = check_env(env, num_problems=16)
    assert report.num_problems == 16 and report.num_traces >= 24 and report.num_near_misses > 100


class CountsOneStepMore(MathProblems):
    def count_steps(self, lines: Sequence[str]) -> int:
        return super().count_steps(lines) + 1


class TakesAnySteps(MathProblems):
    def finished(self, state: Any) -> bool:
        return True


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (CountsOneStepMore, "math train 0: the full trace has 2 steps, but count_steps says 3"),
        (TakesAnySteps, "math train 0: the first 0 of 2 steps pass as a full solution"),
    ],
)
def test_tasks_that_find_steps_in_text_can_break_it_too(
    broken: type[MathProblems], message: str, tmp_path: Path
) -> None:
    rows = [
        {
            "question": f"{n} and {n} and 9?",
            "answer": 2 * n + 9,
            "solution": [f"{n} + {n} = {2 * n}", f"{2 * n} + 9 = {2 * n + 9}"],
        }
        for n in range(20, 32)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(EnvContractError, match=f"^{re.escape(message)}$"):
        check_env(broken({"train": str(data), "check_steps": "arithmetic"}), num_problems=4)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_all({"directional": SmallDirectional()}, num_problems=200) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["environment", "problems", "steps", "traces", "near", "misses", "problems/s"]
    assert row.split()[:3] == ["directional", "800", "3.75"]  # four splits; 3, 3, 4 and 5 steps


def test_the_table_says_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_all({"a": RefusesGold(), "b": SmallDirectional()}, num_problems=2) == 1
    _, failed, row = capsys.readouterr().out.splitlines()
    assert failed.startswith("a             FAILED: directional train 0: the gold answer")
    assert row.startswith("b ")


def test_a_wrong_setting_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        make_env("addition", {"digits": 3})


# ---- the smallest environment ----


class NoSettings(BaseModel):
    max_merge: int = 1


class Odd(Env[int]):
    """Count up to an odd number: the five abstract methods and the full trace, nothing else."""

    name = "odd"
    Settings = NoSettings

    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        number = 3 + 8 * (index % 200) + 2 * list(Split).index(split)  # no number is in two splits
        question = f"Count to {number}"
        return Problem(
            env=self.name,
            split=split,
            index=index,
            question=question,
            prompt=self.render_prompt(question, budget),
            answer=str(number),
            num_full_steps=number,
            difficulty=number,
            budget=budget,
        )

    def start(self, problem: Problem) -> int:
        return -int(problem.answer)

    def advance(self, state: int, line: str) -> int:
        if state == 0 or line != str(-state):
            raise StepError("not the next number")
        return state + 1

    def finished(self, state: int) -> bool:
        return state == 0

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        return graded(answer == problem.answer)

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        return tuple(str(number) for number in range(int(problem.answer), 0, -1))


def test_five_methods_and_a_full_trace_make_an_environment() -> None:
    """A task without hand-skip rules, detours or a search defines no methods for them."""
    assert Env.__abstractmethods__ == {"problem", "start", "advance", "finished", "grade_answer"}
    env = Odd()
    report = check_env(env, num_problems=3)
    assert report.num_traces == report.num_problems == 12
    problem, rng = env.problem(Split.TRAIN, 0), random.Random(0)
    assert env.skipped_trace(problem, "any", rng) is None
    assert env.detour_trace(problem, ["any"], rng) is None
    assert env.padded_trace(problem, 9, rng) is None
    assert env.search_trace(problem, rng) is None
    assert env.bucket(problem) is None


def test_without_worked_solutions_there_is_no_full_trace() -> None:
    with pytest.raises(
        ValueError, match=r"^odd has no worked solutions to learn from; set warm_start to null$"
    ):
        WithoutSolutions().full_trace(Odd().problem(Split.TRAIN, 0))


class WithoutSolutions(Odd):
    full_trace = Env.full_trace


class CountsMergedSteps(Odd):
    def num_merged(self, before: int, after: int) -> int:
        return after - before


class WithoutSettings(Odd):
    Settings = Env.Settings


def test_what_an_environment_leaves_out_is_not_checked_and_said() -> None:
    assert not WithoutSolutions().has_solutions
    bare = check_env(WithoutSolutions(), num_problems=3)
    assert (bare.num_traces, bare.num_near_misses > 100) == (0, True)
    others = ("skipped_trace", "detour_trace", "padded_trace", "search_trace")
    others += ("remaining (how far each line leads)",)
    assert bare.not_checked == ("full_trace (no warm start)", *others)
    assert check_env(Odd(), num_problems=3).not_checked == others
    lines = "the setting max_merge (lines that do too much)"
    assert check_env(WithoutSettings(), num_problems=3).not_checked == (*others, lines)
    old = check_env(CountsMergedSteps(), num_problems=3).not_checked
    assert old == (*others, "num_merged (Stride asks remaining instead)")
    assert "skipped_trace" not in check_env(SmallDirectional(), num_problems=3).not_checked


class TakesAnyAnswer(WithoutSolutions):
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        return Grade.CORRECT


class NoBudget(Odd):
    def problem(self, split: Split, index: int) -> Problem:  # type: ignore[override]
        return super().problem(split, index)


def test_near_misses_of_answers_need_no_solution() -> None:
    with pytest.raises(EnvContractError, match="an edited answer is accepted"):
        check_env(TakesAnyAnswer(), num_problems=3)


def test_a_problem_need_not_take_a_budget() -> None:
    assert check_env(NoBudget(), num_problems=3).num_problems == 12


def test_the_name_is_that_of_the_class_unless_one_is_given() -> None:
    class Unnamed(GeneratedEnv[int]): ...

    class Child(Unnamed): ...

    assert (Unnamed.name, Child.name, NoBudget.name) == ("Unnamed", "Child", "odd")


# ---- broken environments, each in one way ----


def graded(right: bool) -> Grade:
    return Grade.CORRECT if right else Grade.WRONG


class SmallDirectional(Directional):
    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings or SMALL)


class CountsItsCalls(SmallDirectional):
    calls = 0

    def draw(self, bucket: str, rng: random.Random) -> Draw:
        self.calls += 1
        return super().draw(bucket, random.Random(self.calls))


class ForgetsTheSplit(SmallDirectional):
    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        return super().problem(Split.TRAIN, index, budget=budget)


class LeaksTrainIntoId(SmallDirectional):
    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        home = Split.TRAIN if split is Split.ID else split
        return replace(super().problem(home, index, budget=budget), split=split)


class DrawsAnotherBucket(SmallDirectional):
    def draw(self, bucket: str, rng: random.Random) -> Draw:
        return super().draw("2", rng)


class ShowsAlwaysABudget(SmallDirectional):
    def problem(self, split: Split, index: int, *, budget: int | None = None) -> Problem:
        return super().problem(split, index, budget=budget or 1)


class HidesTheBudget(SmallDirectional):
    def render_prompt(self, question: str, budget: int | None = None) -> str:
        return f"{question}\n{'' if budget is None else 'Be brief.' + chr(10)}Answer:\n"


class AsksInOtherWords(SmallDirectional):
    def render_prompt(self, question: str, budget: int | None = None) -> str:
        return super().render_prompt(question if budget is None else question.upper(), budget)


class HasNoCue(SmallDirectional):
    def render_prompt(self, question: str, budget: int | None = None) -> str:
        return f"{question}\n"


class ForgetsTheBudget(SmallDirectional):
    def with_budget(self, problem: Problem, budget: int | None) -> Problem:
        return problem


class RefusesGold(SmallDirectional):
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        return Grade.WRONG


class AlwaysFinished(SmallDirectional):
    def finished(self, state: DirectionalState) -> bool:
        return True


class NeverFinished(SmallDirectional):
    def finished(self, state: DirectionalState) -> bool:
        return False


class WritesAnEmptyLine(SmallDirectional):
    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        return ("", *super().full_trace(problem))


class PromisesMoreSteps(SmallDirectional):
    def draw(self, bucket: str, rng: random.Random) -> Draw:
        return replace(super().draw(bucket, rng), num_full_steps=9)


class WritesAWrongStep(SmallDirectional):
    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        lines = super().full_trace(problem)
        return (*lines[:-1], "up")


class SkipsNothing(SmallDirectional):
    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        return self.full_trace(problem)


class SkipsWithItsOwnGenerator(SmallDirectional):
    generator = random.Random(0)

    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        return super().skipped_trace(problem, "any_pair", self.generator)


class NeverSkips(SmallDirectional):
    skip_kinds = ("every_other",)

    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        return None


class ChangesItsState(SmallDirectional):
    def advance(self, state: DirectionalState, line: str) -> DirectionalState:
        after = super().advance(state, line)
        object.__setattr__(state, "heading", after.heading)
        return after


class TakesAnswersByTheirStart(SmallDirectional):
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        return graded(answer.startswith(problem.answer))


class TakesAnyNumberText(Addition):
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        try:
            return graded(int(answer) == int(problem.answer))
        except ValueError:
            return Grade.MALFORMED


class TakesNumbersUnguarded(Addition):
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        return graded(answer == problem.answer or int(answer) == -1)


class TakesDoubledCommas(SmallDirectional):
    def advance(self, state: DirectionalState, line: str) -> DirectionalState:
        return super().advance(state, line.replace(",,", ","))


class TakesRepeats(SmallDirectional):
    def advance(self, state: DirectionalState, line: str) -> DirectionalState:
        heading = ("north", "east", "south", "west")[state.heading]
        current = f"{heading}. {', '.join(state.actions)}" if state.actions else heading
        return state if line == current else super().advance(state, line)


class TakesAnyWidth(SmallDirectional):
    def advance(self, state: DirectionalState, line: str) -> DirectionalState:
        return Directional({**SMALL, "max_merge": 99}).advance(state, line)


class IgnoresTheHeading(Directional):
    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings or {"train": [1], "ood_easy": [2], "ood_hard": [3]})

    def advance(self, state: DirectionalState, line: str) -> DirectionalState:
        if 1 <= len(state.actions) <= 2 and line in ("north", "east", "south", "west"):
            return DirectionalState(state.heading, ())
        return super().advance(state, line)


class NamesRulesWithoutWritingThem(Odd):
    skip_kinds = ("one_less",)


class WritesSkippedTracesWithoutARule(Odd):
    def skipped_trace(self, problem: Problem, kind: str, rng: random.Random) -> tuple[str, ...] | None:
        return None


class NamesErrorsWithoutWritingThem(Odd):
    error_kinds = ("even",)


class HasDetoursWithoutAnErrorKind(Odd):
    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        return None


class HasDetours(Odd):
    """A wrong number, taken back: the smallest detour."""

    error_kinds = ("zero",)
    lines: tuple[str, ...] = ("0", "<backtrack>")
    wrong = frozenset({0})

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        return Demonstration(lines=(*self.lines, *self.full_trace(problem)), wrong=self.wrong)

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        return self.detour_trace(problem, (), rng)


class DetoursWithoutWay(HasDetours):
    lines = ("0",)


class DetoursTwice(HasDetours):
    lines = ("0", "<backtrack>", "0", "<backtrack>")


class NamesMistakesWithoutWritingThem(Odd):
    mistake_kinds = ("zero",)


class HasMistakes(Odd):
    """A wrong first number, a wrong answer, and nothing else."""

    mistake_kinds = ("zero",)
    lines: tuple[str, ...] = ("0",)
    wrong = frozenset({0})
    answer = "0"

    def mistaken_trace(self, problem: Problem, kind: str, rng: random.Random) -> Demonstration | None:
        return Demonstration(lines=self.lines, wrong=self.wrong, answer=self.answer)


class MistakesAreRight(HasMistakes):
    answer = "3"


class MistakesMarkNothing(HasMistakes):
    wrong = frozenset()


class MistakesMarkALaterLine(HasMistakes):
    lines = ("0", "2")
    wrong = frozenset({1})


class MistakesMarkARightLine(HasMistakes):
    lines = ("3", "0")


class GoesOnWrongly(Odd):
    def solution_from(self, problem: Problem, lines: Sequence[str]) -> Demonstration | None:
        return Demonstration(lines=("7",))


class DetoursMarkNothing(HasDetours):
    wrong = frozenset({99})


class PadsTooFew(HasDetours):
    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        return Demonstration(lines=self.full_trace(problem)[1:])


class PadsWithBacktracks(HasDetours):
    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        return self.detour_trace(problem, (), rng)


class BacktracksWithoutEnd(Odd):
    def advance(self, state: int, line: str) -> int:
        if re.fullmatch(r"([0-9]+,?)+x", line):
            raise StepError("a list")
        return super().advance(state, line)


def test_a_check_that_does_not_end_is_stopped_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.check.judge._MAX_CPU_S", 0.2)
    with pytest.raises(
        EnvContractError, match=r"check raised TimeoutError: it took more than 0.2 s; parse in "
    ):
        check_env(BacktracksWithoutEnd(), num_problems=1)


def test_demonstrations_of_every_kind_are_checked() -> None:
    left_out = ("skipped_trace", "padded_trace", "remaining (how far each line leads)")
    assert check_env(HasDetours(), num_problems=3).not_checked == left_out
    assert check_env(HasMistakes(), num_problems=3).num_problems == 12


class PromisesSolutions(Odd):
    has_solutions = True
    full_trace = Env.full_trace


class DeniesItsSolutions(Odd):
    has_solutions = False


class TakesHostileSteps(SmallDirectional):
    def advance(self, state: DirectionalState, line: str) -> DirectionalState:
        return state if line == "nan" else super().advance(state, line)


class TakesHostileAnswers(SmallDirectional):
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        return Grade.CORRECT if answer == "nan" else super().grade_answer(problem, answer)


class RaisesOnAStep(SmallDirectional):
    def advance(self, state: DirectionalState, line: str) -> DirectionalState:
        if line.startswith("-"):
            raise IndexError
        return super().advance(state, line)


class RaisesAStepErrorOnAnAnswer(SmallDirectional):
    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        if answer.startswith("-"):
            raise StepError("no")
        return super().grade_answer(problem, answer)


class CountsWrongly(SmallDirectional):
    def remaining(self, state: DirectionalState) -> int:
        return len(state.actions) + 1


class EndsTooSoon(SmallDirectional):
    def remaining(self, state: DirectionalState) -> int:
        return len(state.actions) // 2


class CountsInPairs(SmallDirectional):
    def remaining(self, state: DirectionalState) -> int:
        return len(state.actions) - (len(state.actions) == 2)


class SeesDeadEnds(SmallDirectional):
    def remaining(self, state: DirectionalState) -> float:
        return math.inf if len(state.actions) == 1 else len(state.actions)


class DisagreesOnDeadEnds(SmallDirectional):
    def solvable(self, state: DirectionalState) -> bool:
        return len(state.actions) != 1


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (CountsWrongly, "directional train 0: remaining is 4 at the start, from which 3 lines lead to the end"),
        (
            EndsTooSoon,
            "directional train 0: remaining is 0 after line 2 of the full trace, where the trace is not "
            "finished",
        ),
        (
            CountsInPairs,
            "directional train 0: remaining falls from 3 to 1 with line 1 of the full trace",
        ),
        (
            SeesDeadEnds,
            "directional train 0: remaining is inf after line 2 of the full trace, from which 1 lines lead "
            "to the end",
        ),
        (
            DisagreesOnDeadEnds,
            "directional train 0: remaining is 1 after line 2 of the full trace, but solvable is False",
        ),
        (
            CountsItsCalls,
            ("directional train 0: two copies of the environment disagree, or the order of access matters"),
        ),
        (ForgetsTheSplit, "directional id 0: the problem's address is directional train 0"),
        (
            LeaksTrainIntoId,
            (
                "directional id 0: the question is also in train: 'You face north. Actions: around, right, "
                "around'"
            ),
        ),
        (DrawsAnotherBucket, "directional train 0: bucket '2' is not in this split"),
        (ShowsAlwaysABudget, "directional train 0: budget is 1, but none was requested"),
        (
            HidesTheBudget,
            ("directional train 0: the prompts with and without a budget differ by more than the request"),
        ),
        (
            AsksInOtherWords,
            ("directional train 0: the prompts with and without a budget differ by more than the request"),
        ),
        (HasNoCue, "directional train 0: the prompt does not end with 'Answer:\\n'"),
        (ForgetsTheBudget, "directional train 0: the problem is not the same with and without a budget"),
        (RefusesGold, "directional train 0: the gold answer 'east' is refused"),
        (AlwaysFinished, "directional train 0: the first 0 of 3 steps pass as a full solution"),
        (NeverFinished, "directional train 0: the full trace is refused: it does not finish"),
        (
            WritesAnEmptyLine,
            "directional train 0: the full trace does not parse back into its lines and answer",
        ),
        (PromisesMoreSteps, "directional train 0: the full trace has 3 steps, should have 9"),
        (
            WritesAWrongStep,
            (
                "directional train 0: the full trace is refused: up  [invalid: not a heading and a list of "
                "actions]"
            ),
        ),
        (SkipsNothing, "directional train 0: the cancel_pair trace has 3 steps, should have fewer than 3"),
        (
            SkipsWithItsOwnGenerator,
            "directional train 0: the any_pair trace differs between two copies of the environment",
        ),
        (NeverSkips, "directional: skip kind 'every_other' applies to none of 40 problems"),
        (
            ChangesItsState,
            "directional train 0: the step 'south. right, around' changed the state it starts from",
        ),
        (TakesAnswersByTheirStart, "directional train 0: an edited answer is accepted: 'eastt'"),
        (TakesAnyNumberText, "addition train 0: a number in another spelling is accepted: '+50'"),
        (
            TakesNumbersUnguarded,
            (
                "addition train 0: check raised ValueError on a text that ends ' 1\\n2. 4 + 0 + 1 = 5, "
                "write 5, carry 0\\nThus, the answer is -.'"
            ),
        ),
        (
            TakesDoubledCommas,
            (
                "directional ood_easy 3: a trace with one character of a step changed is accepted: 'north. r"
                "ight,, left, left\\neast. left, left\\nnorth. left\\nwest'"
            ),
        ),
        (
            TakesRepeats,
            (
                "directional train 0: a trace with a step written twice is accepted: 'south. right, ar"
                "ound\\nsouth. right, around\\nwest. around\\neast'"
            ),
        ),
        (
            TakesAnyWidth,
            ("directional train 0: a trace with 3 steps in one line (at most 2 may be) is accepted: 'east'"),
        ),
        (
            IgnoresTheHeading,
            "directional train 0: a trace with the steps of another problem is accepted: 'east'",
        ),
        (
            NamesRulesWithoutWritingThem,
            "odd: skip_kinds is ('one_less',), but skipped_trace is not defined",
        ),
        (WritesSkippedTracesWithoutARule, "odd: skipped_trace is defined, but skip_kinds is ()"),
        (NamesErrorsWithoutWritingThem, "odd: error_kinds is ('even',), but detour_trace is not defined"),
        (NamesMistakesWithoutWritingThem, "odd: mistake_kinds is ('zero',), but mistaken_trace is not defined"),
        (
            MistakesAreRight,
            "odd train 0: the trace with the mistake 'zero' has the answer '3', which is not wrong: correct",
        ),
        (
            MistakesMarkNothing,
            (
                "odd train 0: the trace with the mistake 'zero' must have an answer of its own and mark one "
                "line as wrong"
            ),
        ),
        (
            MistakesMarkALaterLine,
            (
                "odd train 0: the trace with the mistake 'zero' differs from the full trace before line 1, "
                "which it marks"
            ),
        ),
        (
            MistakesMarkARightLine,
            (
                "odd train 0: the trace with the mistake 'zero' marks line 0 as wrong, but the first fault is "
                "line 1"
            ),
        ),
        (
            GoesOnWrongly,
            (
                "odd train 0: the solution from line 0 of the full trace is refused: 7  [invalid: not the next "
                "number]"
            ),
        ),
        (HasDetoursWithoutAnErrorKind, "odd: detour_trace is defined, but error_kinds is ()"),
        (DetoursWithoutWay, "odd train 0: the zero detour is refused: 0  [invalid: not the next number]"),
        (DetoursTwice, "odd train 0: the zero detour has 2 backtracks, should have 1"),
        (DetoursMarkNothing, "odd train 0: the zero detour marks lines [99] of 5 as wrong"),
        (PadsTooFew, "odd train 0: the padded trace is refused: 2  [invalid: not the next number]"),
        (PadsWithBacktracks, "odd train 0: the padded trace has 1 backtracks, should have 0"),
        (PromisesSolutions, "odd: has_solutions is True, but full_trace is not defined"),
        (DeniesItsSolutions, "odd: full_trace is defined, but has_solutions is False"),
        (TakesHostileSteps, "directional train 0: the step 'nan' is accepted"),
        (TakesHostileAnswers, "directional train 0: the answer 'nan' is accepted"),
        (
            RaisesOnAStep,
            (
                "directional train 0: check raised IndexError on a text that ends '-\\nThus, the answer"
                " is east.'"
            ),
        ),
        (
            RaisesAStepErrorOnAnAnswer,
            (
                "directional train 0: check raised StepError on a text that ends 'outh. right, around\\"
                "nwest. around\\neast\\nThus, the answer is -.'"
            ),
        ),
    ],
)
def test_broken_environments_are_caught(broken: type[Env[Any]], message: str) -> None:
    with pytest.raises(EnvContractError) as caught:
        check_env(broken(), num_problems=10)
    where = rf"(?<=Error)(: [^\n]*?)? \({re.escape(__file__)}, line [0-9]+\)"  # what was raised here, and where
    assert re.sub(where, "", str(caught.value)) == message
    assert ("check raised" in message) is bool(re.search(where, str(caught.value)))


def test_too_slow_is_an_error_only_where_a_limit_is_given() -> None:
    assert check_env(SmallDirectional(), num_problems=3).problems_per_s < 1e12
    with pytest.raises(
        EnvContractError, match=r"^directional: \d+ problems/s, should be at least 1000000000000$"
    ):
        check_env(SmallDirectional(), num_problems=3, min_problems_per_s=1e12)


class TakesAlmostRightAnswers(SmallDirectional):
    """A task with two right answers a character apart, as two shortest paths may be."""

    def grade_answer(self, problem: Problem, answer: str) -> Grade:
        return graded(answer in (problem.answer, problem.answer + problem.answer[-1]))


def test_an_oracle_can_excuse_an_edited_answer() -> None:
    def two_spellings(problem: Problem, trace: Trace) -> bool:
        return trace.answer == problem.answer + problem.answer[-1]

    with pytest.raises(EnvContractError, match="an edited answer is accepted"):
        check_env(TakesAlmostRightAnswers(), num_problems=5)
    report = check_env(TakesAlmostRightAnswers(), num_problems=5, oracle=two_spellings)
    strict = check_env(SmallDirectional(), num_problems=5)
    assert 0 < report.num_near_misses < strict.num_near_misses  # those that are right are not counted


def test_near_misses_are_of_every_kind_and_the_same_each_time() -> None:
    env = make_env("addition")
    problem, other = env.problem(Split.OOD_EASY, 0), env.problem(Split.OOD_EASY, 1)
    lines = list(env.full_trace(problem))
    answers = list(wrong_answers(env, problem, other))
    traces = list(wrong_traces(env, problem, other, lines))
    assert answers == list(wrong_answers(env, problem, other))
    assert traces == list(wrong_traces(env, problem, other, lines))
    assert {what for what, _ in answers} == {"an edited answer", "a number in another spelling"}
    assert {what for what, _ in traces} == {
        "a trace with one character of a step changed",
        "a trace with a step written twice",
        "a trace with 3 steps in one line (at most 2 may be)",
        "a trace with the steps of another problem",
    }
    texts = [render_trace(lines, stated) for _, stated in answers]
    texts += [render_trace(missed, problem.answer) for _, missed in traces]
    assert not any(env.check(problem, parse_trace(text)).verified for text in texts)
    assert render_trace(lines, problem.answer) not in texts
