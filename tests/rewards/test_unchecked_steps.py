"""Rewards of a task that checks no steps: right answers count, nothing is verified, and steps are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from envs import Problem, Split, Trace, make_example
from rewards import REWARDS, Outcome, RewardSum, Term, find_reward
from rewards.declare import declaration_of, reward

ENV = make_example("math")
PROBLEM = replace(ENV.with_budget(ENV.problem(Split.ID, 0), 4), num_full_steps=5)
END = f"Thus, the answer is {PROBLEM.answer}."
# 1, 0 and 3 steps; the last one goes back. A false line changes nothing.
TEXTS = {
    "false arithmetic": f"2 + 2 = 5\n\n{END}",
    "bare": END,
    "marker": f"So it is 3.\n\nWait, that is wrong.\n<backtrack>\nSo it is 4.\n\n{END}",
    "wrong answer": "2 + 2 = 5\n\nThus, the answer is -17.",
    "no answer": "2 + 2 = 5",
}
CORRECT = ("false arithmetic", "bare", "marker")


def check(text: str) -> Trace:
    return ENV.check(PROBLEM, ENV.parse(text))


TRACES = {name: check(text) for name, text in TEXTS.items()}


def values(name: str, traces: Sequence[Trace] = tuple(TRACES.values())) -> list[float]:
    return find_reward(name)(PROBLEM, traces)


@pytest.mark.parametrize("name", TEXTS)
def test_an_answer_is_correct_or_not_and_never_verified(name: str) -> None:
    trace = TRACES[name]
    assert (trace.steps_checked, trace.finished, trace.verified) == (False, None, False)
    assert trace.passed is trace.correct is (name in CORRECT)
    assert Outcome.of(trace) is not Outcome.VERIFIED
    assert (Outcome.of(trace) is Outcome.CORRECT) is trace.correct


def test_steps_of_correct_answers_are_counted() -> None:
    assert [TRACES[name].num_steps for name in CORRECT] == [1, 0, 3]
    assert values("step_count") == [1 / 5, 0.0, 3 / 5, 1.0, 1.0]
    assert values("steps_saved") == [1 - 1 / 5, 1.0, 1 - 3 / 5, 0.0, 0.0]
    assert values("steps_over_shortest") == [
        0.0,
        0.0,
        1.0,
        1.0,
        1.0,
    ]  # the shortest has none, which counts as 1
    assert values("steps_over_budget") == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert values("steps_off_budget")[:3] == [3 / 4, 1.0, 1 / 4]


JUDGING = ("fake_backtracks", "needless_backtracks", "process_match", "skip_score", "verified", "wasted_steps")


def test_rewards_that_judge_steps_say_so_and_pay_no_text_for_its_steps() -> None:
    declared = [name for name, function in sorted(REWARDS.items()) if find_reward(name).declared.checked_steps]
    assert tuple(declared) == JUDGING
    # In a run of several tasks they meet such traces: equal values for equal answers teach nothing about steps.
    for name in JUDGING:
        assert len(set(values(name, [TRACES[one] for one in CORRECT]))) == 1, name


def test_a_sum_names_the_terms_and_gates_that_judge_steps() -> None:
    terms = [Term(name="correct", weight=2.0), Term(name="wasted_steps", weight=-0.1, gate="correct")]
    more = [Term(name="steps_saved", weight=0.2, gate="verified")]
    assert RewardSum(terms[:1]).on_checked_steps == ()
    assert RewardSum([*terms, *more]).on_checked_steps == (
        "'wasted_steps'",
        "the gate 'verified' of 'steps_saved'",
    )


def test_a_gate_on_verified_traces_is_shut() -> None:
    gated = RewardSum([Term(name="correct", weight=1.0), Term(name="format", weight=0.2, gate="verified")])
    assert [score.total for score in gated(PROBLEM, [*TRACES.values()])] == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_a_users_reward_can_declare_it() -> None:
    @reward(checked_steps=True)
    def clean(problem: Problem, trace: Trace) -> float:
        return float(trace.is_clean)

    assert declaration_of(clean, "clean").checked_steps


def test_the_strict_form_is_the_closing_line_alone() -> None:
    """A right answer in a box is right, and earns the form nothing; a wrong one in the closing line does."""
    env = make_example("math")
    problem = env.problem(Split.ID, 0)
    texts = {
        f"So it is 3.\nThus, the answer is {problem.answer}.": 1.0,
        "So it is 3.\nThus, the answer is -17.": 1.0,
        f"So it is \\boxed{{{problem.answer}}}.": 0.0,
        f"The answer is {problem.answer}.": 0.0,
        "So it is 3.": 0.0,
    }
    traces = [env.check(problem, env.parse(text)) for text in texts]
    assert [trace.correct for trace in traces] == [True, False, True, True, False]
    assert find_reward("strict_form")(problem, traces) == list(texts.values())
    cut = env.check(problem, env.parse(next(iter(texts)), truncated=True))
    assert find_reward("strict_form")(problem, [cut]) == [0.0]
