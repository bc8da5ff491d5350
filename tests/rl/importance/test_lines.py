"""What the environment knows of lines, on traces written by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from envs import Env, Problem, Split, Verdict, make_env, make_example
from envs.line_facts import line_facts
from envs.tasks.countdown.task import Countdown, CountdownState
from rl.importance.lines import LineKind, read_lines, step_key

ADDITION = make_env("addition", {"train": ["3_3"], "ood_easy": ["4_1"], "ood_hard": ["4_4"]})
COUNTDOWN = make_env("countdown", {"train": ["3"], "ood_easy": ["3_new"], "ood_hard": ["4"]})
Facts = list[tuple[LineKind, int | None, bool, bool | None]]


def problem_of(env: Env[Any], question: str, answer: str) -> Problem:
    return replace(env.problem(Split.TRAIN, 0), question=question, answer=answer)


def facts(env: Env[Any], problem: Problem, *lines: str) -> Facts:
    trace = env.check_demonstration(problem, lines)
    return [
        (line.kind, line.num_elementary, line.taken_back, line.decides)
        for line in read_lines(trace, line_facts(env, problem, trace))
    ]


def test_lines_of_an_addition() -> None:
    found = facts(
        ADDITION,
        problem_of(ADDITION, "Add 145 and 178", "323"),
        "1. 5 + 8 + 0 = 12, write 2, carry 1",
        "<backtrack>",
        "1. 5 + 8 + 0 = 13, write 3, carry 1",
        "<backtrack> 0",
        "1. 45 + 78 + 0 = 123, write 23, carry 1",
        "<backtrack> 7",
        "2. 1 + 1 + 1 = 3, write 3, carry 0",
    )
    assert found == [
        (LineKind.INVALID, None, True, True),
        (LineKind.NEEDED, None, False, True),
        (LineKind.VALID, 1, True, False),
        (LineKind.NEEDLESS, None, False, False),
        (LineKind.MERGED, 2, False, False),
        (LineKind.BACKTRACK, None, False, False),
        (LineKind.VALID, 1, False, False),
    ]


class OnlySolvable(Countdown):
    def remaining(self, state: CountdownState) -> None:  # type: ignore[override]
        return None

    def solvable(self, state: CountdownState) -> bool:
        return super().remaining(state) < math.inf


@pytest.mark.parametrize("env", [COUNTDOWN, OnlySolvable(COUNTDOWN.settings)])
def test_dead_ends_of_countdown(env: Env[Any]) -> None:
    """2, 3 and 5 make 16 as (3 + 5) * 2; from 5 and 5 there is no way."""
    problem = problem_of(env, "Numbers: 2, 3, 5. Target: 16", "(3 + 5) * 2")
    found = facts(env, problem, "2 + 3 = 5", "5 + 5 = 10", "<backtrack> 0", "3 + 5 = 8", "2 * 8 = 16")
    assert [(kind, decides) for kind, _, _, decides in found] == [
        (LineKind.DEAD_END, True),
        (LineKind.LOST, False),
        (LineKind.NEEDED, True),
        (LineKind.VALID, False),
        (LineKind.VALID, False),
    ]


def test_steps_that_no_environment_checks() -> None:
    env = make_example("math")
    problem = env.problem(Split.TRAIN, 0)
    text = "First we add.\n\nWait, that is wrong.\n\nSo it is 4.\n\nThe answer is \\boxed{4}."
    trace = env.check(problem, env.parse(text))
    assert not trace.steps_checked
    facts = line_facts(env, problem, trace)
    found = read_lines(trace, facts)
    assert {line.kind for line in found} <= {LineKind.UNCHECKED, LineKind.MARKER}
    assert LineKind.MARKER in {line.kind for line in found}
    assert {line.decides for line in found} == {None}
    assert step_key(trace, facts, 0) == (trace.steps[0].kind, Verdict.UNCHECKED, "First we add.")
    assert step_key(trace, facts, len(trace.steps)) is None


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2 + 3 = 5", "3 + 2 = 5", True),  # the same numbers are left
        ("2 + 3 = 5", "5 - 3 = 2", False),
        ("2 + 3 = 6", "2 + 3 = 6 ", True),  # wrong: by its text
        ("2 + 3 = 6", "3 + 2 = 6", False),
        ("<backtrack>", "2 + 3 = 6", False),
    ],
)
def test_the_same_step_in_other_words(first: str, second: str, same: bool) -> None:
    problem = problem_of(COUNTDOWN, "Numbers: 2, 3, 5. Target: 16", "(3 + 5) * 2")
    traces = [COUNTDOWN.check(problem, COUNTDOWN.parse(f"{line}\nmore")) for line in (first, second)]
    keys = [step_key(trace, line_facts(COUNTDOWN, problem, trace), 0) for trace in traces]
    assert (keys[0] == keys[1]) is same
