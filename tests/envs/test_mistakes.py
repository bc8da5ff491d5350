"""Traces with one mistake that nothing takes back, where a trace goes wrong, and how it can be put right.

The contract (`tests/envs/check`) holds every task's mistakes to their marks and to a wrong answer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from envs import Demonstration, Env, Grade, Problem, Split, make_env
from envs.faults import counterpart, first_fault, straight_backs, wrong_lines_stand, wrong_turns
from envs.line_facts import line_facts
from envs.mixture import Mixture
from tests.kit.problems import judge, make_problem

SUM = make_problem("addition", "Add 345 and 78", "423", num_full_steps=3)
FULL = [
    "1. 5 + 8 + 0 = 13, write 3, carry 1",
    "2. 4 + 7 + 1 = 12, write 2, carry 1",
    "3. 3 + 0 + 1 = 4, write 4, carry 0",
]


def mistakes(env: Env[Any], problem: Problem, kind: str, num: int = 40) -> list[Demonstration]:
    found = [env.mistaken_trace(problem, kind, random.Random(seed)) for seed in range(num)]
    return [one for one in found if one is not None]


def test_a_wrong_carry_is_added_in_the_columns_after_it() -> None:
    carried = {(one.lines, one.answer) for one in mistakes(make_env("addition"), SUM, "carry")}
    assert carried == {
        # 10 too few, 100 too few, and 1,000 too many: the last line writes a carry that is none.
        (("1. 5 + 8 + 0 = 13, write 3, carry 0", "2. 4 + 7 + 0 = 11, write 1, carry 1", FULL[2]), "413"),
        ((FULL[0], "2. 4 + 7 + 1 = 12, write 2, carry 0", "3. 3 + 0 + 0 = 3, write 3, carry 0"), "323"),
        ((*FULL[:2], "3. 3 + 0 + 1 = 4, write 4, carry 1", "4. carry 1, write 1"), "1423"),
    }


def test_a_wrong_digit_changes_its_line_and_the_answer() -> None:
    found = mistakes(make_env("addition"), SUM, "digit", 200)
    assert len({one.lines for one in found}) == 27  # 9 wrong digits in each of 3 lines
    for one in found:
        (at,) = one.wrong
        changed = [place for place, line in enumerate(one.lines) if line != FULL[place]]
        assert changed == [at] and one.answer is not None and one.answer != "423"
        assert sum(a != b for a, b in zip(one.answer.zfill(3), "423", strict=True)) == 1


def test_turns_go_on_from_a_wrong_heading() -> None:
    turns = make_problem("directional", "You face north. Actions: left, right, around", "south")
    env = make_env("directional")
    lost = {(one.lines, one.answer) for one in mistakes(env, turns, "lost_action")}
    assert lost == {(("west. around", "east"), "east"), (("west. right, around", "north"), "north")}
    turned = {one.lines for one in mistakes(env, turns, "turn", 200)}
    assert len(turned) == 9 and ("east. right, around", "south. around", "north") in turned


def test_an_equation_with_a_slip_is_solved_on() -> None:
    problem = make_problem("algebra", "♦ ⊖ ♥ ⊗ ♣ → ♠", "♥ → ( ⊖ ♠ ⊕ ♦ ) ⊘ ♣", num_full_steps=3)
    env = make_env("algebra")
    signs = {one.lines for one in mistakes(env, problem, "sign")}
    # The first line keeps the sign of what moved; the second flips one sign too few; the third changes one.
    assert ("⊖ ♥ ⊗ ♣ → ♠ ⊕ ♦", "♥ ⊗ ♣ → ⊖ ♠ ⊖ ♦", "♥ → ( ⊖ ♠ ⊖ ♦ ) ⊘ ♣") in signs and len(signs) == 3
    inverses = {(one.lines[-1], *one.wrong) for one in mistakes(env, problem, "inverse")}
    assert inverses == {("♥ → ( ⊖ ♠ ⊕ ♦ ) ⊗ ♣", 2)}


def test_a_wrong_result_is_reckoned_with_up_to_the_target_where_it_can() -> None:
    env = make_env("countdown")
    problem = make_problem("countdown", "Numbers: 2, 39, 45, 10. Target: 62", "10 * (45 - 39) + 2")
    for one in mistakes(env, problem, "computation"):
        (at,) = one.wrong
        assert len(one.lines) == 3 and one.answer is not None
        # The line at fault is the solution's own with another result.
        assert one.lines[at].partition(" =")[0] == ["45 - 39", "10 * 6", "60 + 2"][at]
        assert env.grade_answer(problem, one.answer) is Grade.WRONG


def test_a_search_goes_on_with_a_wrong_list_of_neighbours() -> None:
    env = make_env("graph_search", {"grammar": "breadth_first"})
    problem = make_problem("graph_search", "1,3|2,4|1,2|0,1|0,2|3,4/0,4", "0,2,4", num_full_steps=4)
    found = {(one.lines, one.answer) for one in mistakes(env, problem, "neighbours", 60)}
    assert (("0,(1)", "1,(2, 3)", "2,(4)", "- 4,2,1,0"), "0,1,2,4") in found
    back = {(one.lines[-1], one.answer) for one in mistakes(env, problem, "trace_back")}
    assert back == {("- 4,0", "0,4"), ("- 4,1,0", "0,1,4")}
    assert env.mistaken_trace(problem, "branch", random.Random(0)) is None  # of the other grammar


def test_a_mixture_asks_its_part() -> None:
    env = Mixture({"parts": [{"name": "addition"}, {"name": "sudoku"}]})
    assert env.mistake_kinds == ("digit", "carry")
    problems = [env.problem(Split.TRAIN, index) for index in range(2)]
    found = [env.mistaken_trace(problem, "digit", random.Random(0)) for problem in problems]
    assert [one is not None for one in found] == [problem.part == "addition" for problem in problems]
    assert env.solution_from(problems[0], ()) is not None


# ---- where a trace goes wrong ----


@pytest.mark.parametrize(
    ("lines", "answer", "fault", "right"),
    [
        (FULL, "423", None, None),
        ([FULL[0], "2. 4 + 7 + 1 = 12, write 3, carry 1", FULL[2]], "433", 1, 1),
        (FULL, "424", 3, 3),  # every line is right: the closing line is wrong
        (FULL[:2], "423", 2, 2),  # it stops early
        ([FULL[0], "2. 4 + 7 + 1 = 12, write 9, carry 1", "<backtrack> 1", FULL[1], FULL[2]], "1", 5, 3),
        ([*FULL[:2], "3. 3 + 0 + 1 = 4, write 5, carry 0", "<backtrack> 2", "3. 3"], "1", 4, 2),
    ],
)
def test_the_first_fault_and_its_counterpart(
    lines: Sequence[str], answer: str, fault: int | None, right: int | None
) -> None:
    env = make_env("addition")
    wrong = judge(SUM, lines, answer)
    assert first_fault(env, SUM, wrong) == fault
    assert counterpart(env, SUM, judge(SUM, FULL), wrong) == right


def test_the_counterpart_leaves_the_last_state_that_both_had() -> None:
    """The right trace adds two columns at once, so it has no state after the first column."""
    env, merged = (
        make_env("addition"),
        ["1. 45 + 78 + 0 = 123, write 23, carry 1", "2. 3 + 0 + 1 = 4, write 4, carry 0"],
    )
    wrong = judge(
        SUM, [FULL[0], "2. 4 + 7 + 1 = 12, write 2, carry 0", "3. 3 + 0 + 0 = 3, write 3, carry 0"], "323"
    )
    assert first_fault(env, SUM, wrong) == 1
    assert counterpart(env, SUM, judge(SUM, merged), wrong) == 0


def test_a_valid_step_out_of_reach_of_the_target_is_a_fault() -> None:
    env = make_env("countdown")
    problem = make_problem("countdown", "Numbers: 2, 39, 45, 10. Target: 62", "10 * (45 - 39) + 2")
    wrong = judge(problem, ["45 - 39 = 6", "10 + 6 = 16", "16 + 2 = 18"], "10 + (45 - 39) + 2")
    assert wrong.num_invalid == 0 and first_fault(env, problem, wrong) == 1


# ---- the rest of a solution ----


@pytest.mark.parametrize(
    ("name", "settings", "question", "answer", "begun"),
    [
        ("addition", {}, "Add 345 and 78", "423", ["1. 45 + 78 + 0 = 123, write 23, carry 1"]),
        ("directional", {}, "You face north. Actions: left, right, around", "south", ["north. around"]),
        ("algebra", {}, "♦ ⊖ ♥ ⊗ ♣ → ♠", "♥ → ( ⊖ ♠ ⊕ ♦ ) ⊘ ♣", ["⊖ ♥ → ( ♠ ⊖ ♦ ) ⊘ ♣"]),
        (
            "countdown",
            {},
            "Numbers: 2, 39, 45, 10. Target: 62",
            "10 * (45 - 39) + 2",
            ["45 - 39 = 6", "left: 2, 6, 10"],
        ),
        ("graph_search", {"grammar": "breadth_first"}, "1,3|2,4|1,2|0,1|0,2|3,4/0,4", "0,2,4", ["0,(1, 2)"]),
    ],
)
def test_a_solution_goes_on_from_any_state(
    name: str, settings: dict[str, Any], question: str, answer: str, begun: list[str]
) -> None:
    env, problem = make_env(name, settings), make_problem(name, question, answer)
    rest = env.solution_from(problem, begun)
    assert rest is not None and rest.lines
    assert judge(problem, [*begun, *rest.lines], rest.answer or answer, env=env).verified


def test_no_rest_is_made_up() -> None:
    env = make_env("graph_search", {"grammar": "depth_first"})
    problem = make_problem("graph_search", "1,3|2,4|1,2|0,1|0,2|3,4/0,4", "0,2,4")
    assert env.solution_from(problem, ["0 > 1"]) is None


# ---- wrong turns ----

TURNS = make_problem("countdown", "Numbers: 2, 39, 45, 10. Target: 62", "10 * (45 - 39) + 2")


@pytest.mark.parametrize(
    ("lines", "turns", "taken_back"),
    [
        (["45 - 39 = 6", "10 * 6 = 60", "60 + 2 = 62"], (), []),
        (["45 - 39 = 6", "<backtrack>", "45 - 39 = 6"], (), []),  # needless, but nothing was wrong
        # Into a dead end, on in there, out of it, and a wrong result, taken back.
        (
            ["45 - 39 = 6", "10 + 6 = 16", "16 + 2 = 18", "<backtrack> 1", "10 * 6 = 61", "<backtrack>"],
            (1, 4),
            [True, True],
        ),
        (["45 - 39 = 7", "45 - 39 = 6", "<backtrack> 0", "45 - 39 = 6", "10 + 6 = 16"], (0, 4), [True, False]),
        # Back, but not far enough; then far enough, and into the dead end again.
        (
            ["45 - 39 = 6", "10 + 6 = 16", "16 + 2 = 18", "<backtrack>", "<backtrack>", "10 + 6 = 16"],
            (1, 5),
            [True, False],
        ),
        (["45 - 39 = 6", "<backtrack> 7"], (), []),  # no such earlier step: it takes nothing back
    ],
)
def test_wrong_turns_are_lines_after_which_a_trace_can_no_longer_pass(
    lines: Sequence[str], turns: tuple[int, ...], taken_back: list[bool]
) -> None:
    env = make_env("countdown")
    trace = judge(TURNS, lines, "10 * (45 - 39) + 2")
    assert wrong_turns(trace, line_facts(env, TURNS, trace)) == turns
    assert [trace.steps[place].undone for place in turns] == taken_back


def test_backtracks_from_a_dead_end_lead_out_of_it_or_do_not() -> None:
    env = make_env("countdown")
    into = ["45 - 39 = 6", "10 + 6 = 16", "16 + 2 = 18"]
    # The first leads to a state that is a dead end too, the next one out of it; the last comes from none.
    lines = [*into, "<backtrack>", "<backtrack>", "10 * 6 = 60", "<backtrack>", *into[1:], "<backtrack> 0"]
    trace = judge(TURNS, lines, "10 * (45 - 39) + 2")
    facts = line_facts(env, TURNS, trace)
    assert straight_backs(trace, facts) == (False, True, True)
    unknown = [fact._replace(after=None) if fact.after != math.inf else fact for fact in facts]
    assert straight_backs(trace, unknown) == (False, False, False)  # where it led is not known


def test_a_wrong_line_stands_until_it_is_taken_back() -> None:
    lines = ["45 - 39 = 6", "10 * 6 = 61", "10 * 6 = 60", "<backtrack>", "<backtrack> 1", "10 * 6 = 60"]
    trace = judge(TURNS, lines, "62")
    assert wrong_lines_stand(trace) == (False, True, True, True, False, False)
