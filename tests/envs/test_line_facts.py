"""What is known of each line of a trace, worked by hand on small traces."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction

import pytest

from envs import ENVS, Problem, Split, make_env, make_example, parse_trace
from envs import line_facts as module
from envs.base import Env
from envs.line_facts import LineFacts, LineUse, line_facts, state_number
from envs.tasks.geometry.steps import Figure, GeometryState, Kind
from envs.tasks.math.task import EXAMPLE
from tests.kit.directional import TURNS
from tests.kit.problems import judge, make_problem

NEEDED, SKIPPABLE, WASTED, WRONG, UNKNOWN = LineUse
SUM = make_problem("addition", "Add 95 and 8", "103", num_full_steps=3)


def facts_of(problem: Problem, *lines: str, env: Env | None = None) -> tuple[LineFacts, ...]:
    env = env or make_env(problem.env)
    return line_facts(env, problem, judge(problem, lines, env=env))


def short(facts: Sequence[LineFacts]) -> list[tuple[float | None, float | None, LineUse]]:
    return [(one.before, one.after, one.use) for one in facts]


def test_a_trace_with_a_mistake_taken_back() -> None:
    facts = facts_of(TURNS, "west. right, around", "west. around", "<backtrack>", "north. around", "south")
    assert short(facts) == [
        (3, 2, SKIPPABLE),  # from north, "north. around" does left and right at once
        (2, 2, WRONG),
        (2, 2, NEEDED),
        (2, 1, SKIPPABLE),  # from west, "south" does right and around
        (1, 0, NEEDED),
    ]
    assert [one.progress for one in facts] == [1, 0, 0, 1, 1]
    # Before and after the wrong line and its backtrack the state is the same.
    assert facts[0].state == facts[1].state == facts[2].state
    assert len({one.state for one in facts}) == 3


def test_lines_that_are_taken_back_without_need_are_wasted() -> None:
    facts = facts_of(TURNS, "west. right, around", "<backtrack> 0", "north. around", "south")
    assert short(facts) == [(3, 2, WASTED), (2, 3, WASTED), (3, 1, NEEDED), (1, 0, NEEDED)]
    assert [one.progress for one in facts] == [1, -1, 2, 1]  # the third line is a merged one


def test_numbered_lines_cannot_be_left_out() -> None:
    lines = [
        "1. 5 + 8 + 0 = 13, write 3, carry 1",
        "2. 9 + 0 + 1 = 10, write 0, carry 1",
        "3. carry 1, write 1",
    ]
    assert short(facts_of(SUM, *lines)) == [(3, 2, NEEDED), (2, 1, NEEDED), (1, 0, NEEDED)]
    merged = facts_of(SUM, "1. 95 + 8 + 0 = 103, write 03, carry 1", "2. carry 1, write 1")
    assert short(merged) == [(3, 1, NEEDED), (1, 0, NEEDED)]
    assert merged[0].progress == 2


def test_a_wrong_line_and_a_backtrack_to_nowhere_are_wrong_whether_they_stand_or_not() -> None:
    facts = facts_of(TURNS, "<backtrack> 7", "east. right, around", "west. right, around", "north. around")
    assert [one.use for one in facts] == [WRONG, WRONG, SKIPPABLE, NEEDED]
    assert short(facts)[:2] == [(3, 3, WRONG), (3, 3, WRONG)]


def test_an_unfinished_trace_needs_the_line_that_it_ends_with() -> None:
    assert short(facts_of(TURNS, "west. right, around")) == [(3, 2, NEEDED)]


def test_dead_ends_are_infinitely_far() -> None:
    # 2 and 3, after 4 - 2, give 5, 1, 6 and nothing else; so does nothing from there.
    problem = make_problem("countdown", "Numbers: 2, 3, 4. Target: 10", "2 * 3 + 4", num_full_steps=2)
    facts = facts_of(
        problem, "4 - 2 = 2", "left: 2, 3", "3 - 2 = 1", "<backtrack> 0", "2 * 3 = 6", "6 + 4 = 10"
    )
    assert [one.use for one in facts] == [WASTED, WASTED, WASTED, NEEDED, NEEDED, NEEDED]
    assert [one.progress for one in facts] == [-math.inf, 0, 0, math.inf, 1, 1]


def test_of_a_task_that_checks_no_steps_nothing_is_known_but_equal_beginnings() -> None:
    env = make_example("math", steps="lines")
    problem = env.problem(Split.TRAIN, 0)
    texts = ["So 3.\nSo 4.\nSo 5.", "So 3.\nSo 4.\nSo 6.", "So 4.\nSo 4.\nSo 5."]
    end = f"\nThus, the answer is {problem.answer}."
    one, two, other = [line_facts(env, problem, env.check(problem, env.parse(text + end))) for text in texts]
    assert {fact[:3] for fact in one} == {(None, None, UNKNOWN)} and one[0].progress is None
    assert [a.state == b.state for a, b in zip(one, two, strict=True)] == [True, True, False]
    assert not {fact.state for fact in one} & {fact.state for fact in other}


def test_a_mixture_follows_a_part_that_checks_equations_past_a_wrong_one() -> None:
    gsm8k = {"preset": "gsm8k", "train": str(EXAMPLE), "check_steps": "arithmetic"}
    env = make_env("mixture", {"parts": [{"name": "addition"}, {"name": "math", "settings": gsm8k}]})
    problem = env.problem(Split.TRAIN, 1)
    text = "2 + 3 = 6\n6 + x is the rest\n6 + 1 = 7\n#### 6"
    trace = env.check(problem, env.part_of(problem).parse(text))
    facts = line_facts(env, problem, trace)
    assert problem.part == "math" and [one.use for one in facts] == [WRONG, UNKNOWN]
    assert len({state_number(env.start(problem)), *[one.state for one in facts]}) == 3


def test_past_the_bound_it_is_unknown_what_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_REPLAYED", 1)
    facts = facts_of(TURNS, "west. right, around", "north. around", "south")
    assert [one.use for one in facts] == [SKIPPABLE, UNKNOWN, NEEDED]


@pytest.mark.parametrize("name", sorted(ENVS))
def test_no_trace_makes_it_raise(name: str) -> None:
    env = make_example(name)
    for index in range(3):
        problem = env.problem(Split.TRAIN, index)
        part = env.part_of(problem)
        full = part.full_trace(problem) if part.has_solutions else ("2 + 2 = 4", "So 4.")
        back = ("<backtrack> 0", "<backtrack>", "<backtrack> 99", "", "\ud800", "0 = 0")
        for lines in (full, full[:1] + back + full, (*full, *full, *back), back):
            trace = env.check(problem, part.parse("\n".join(lines), truncated=True))
            facts = line_facts(env, problem, trace)
            assert len(facts) == len(trace.steps)
            assert all(0 <= one.state < 2**64 for one in facts)


def test_equal_states_have_equal_numbers_in_every_process() -> None:
    code = (
        "from tests.envs.test_line_facts import STATES; from envs.line_facts import state_number; "
        "print([state_number(one) for one in STATES])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{[state_number(one) for one in STATES]}\n"}


def test_different_states_have_different_numbers() -> None:
    assert len({state_number(one) for one in STATES}) == len(STATES)


FIGURE = Figure(Kind.ANGLE, ((3, -1), (4, 4), (0, 2)), "B")
STATES: list[object] = [
    GeometryState(FIGURE, frozenset({"BA", "BC", "dot", "cross"})),
    GeometryState(FIGURE, frozenset({"BA", "BC", "dot"})),
    ("part", (1, 2)),
    ("part", ((1, 2),)),
    ("part", "(1, 2)"),
    {"a": {1, 2}, "b": {3}},
    {"a": {1, 2}, "b": {4}},
    Fraction(1, 3),
    None,
    parse_trace("west"),
]
