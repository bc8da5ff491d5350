"""Right always beats wrong: in every shipped config, and wherever weights are accepted."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from envs import ENVS, Env, Problem, Split, Trace, make_example, parse_trace
from rewards import REWARDS, History, RewardSum, Term, When
from tests.kit.shipped import shipped_terms

SHIPPED = {name: RewardSum(terms) for name, terms in shipped_terms().items()}
# Weights that no shipped config has: all rewards at once, as far as the bounds allow.
LIMIT = {"limit": 60}
TOKENS = {"limit": 60, "per_tokens": 40}
EVERYTHING = [
    Term(name="correct", weight=9.0),
    Term(name="verified", weight=1.0),
    Term(name="format", weight=0.5),
    Term(name="strict_form", weight=0.1),
    Term(name="step_count", weight=-0.9),
    Term(name="steps_saved", weight=0.7),
    Term(name="steps_over_budget", weight=-0.3),
    Term(name="steps_off_budget", weight=-0.2, gate="correct"),
    Term(name="steps_over_shortest", weight=-0.6, gate="correct"),
    Term(name="backtrack_count", weight=-0.4, args={"cap": 2}),
    Term(name="fake_backtracks", weight=-0.5),
    Term(name="needless_backtracks", weight=-0.3, args={"cap": 2}),
    Term(name="backtracks_over_budget", weight=-0.2, gate="correct", args={"allowed": 2}),
    Term(name="backtracks_off_density", weight=-0.2, args={"floor": 0.1, "ceiling": 0.3}),
    Term(name="wasted_steps", weight=-0.8, gate="correct"),
    Term(name="repetition", weight=-0.2, args={"words": 2}),
    Term(name="budget_margin", weight=0.2),
    Term(name="steps_off_target", weight=-0.3),
    Term(name="skip_score", weight=0.4),
    Term(name="process_match", weight=0.3, gate="correct"),
    Term(name="token_count", weight=-0.3, args=TOKENS),
    Term(name="length_in_range", weight=-0.4),
    Term(name="length_sigmoid", weight=-0.2, args={"unit": "steps"}),
    Term(name="length_exponential", weight=0.5, gate="correct"),
    Term(name="length_off_shortest", weight=-0.3, args=TOKENS),
    Term(name="length_by_solve_rate", weight=-0.3, args=TOKENS),
    Term(name="length_over_tolerance", weight=-0.3, args={"tolerance": 5}),
    Term(name="within_length", weight=0.2, args={**LIMIT, "target": 30}),
    Term(name="within_target_length", weight=0.2, args=LIMIT, when=When(group_accuracy=(0.5, 1.0))),
    Term(name="length_over_history", weight=-0.5),
    Term(name="length_overlong", weight=-0.2, args=LIMIT),
    Term(name="length_cosine", weight=-0.2, args=LIMIT, schedule=((0, 0.5), (9, 1.0))),
    Term(name="wrong_length_cosine", weight=0.3, args=LIMIT),
    Term(name="reflection_and_length", weight=-0.2),
]


@cache
def env_of(name: str) -> Env[Any]:
    return make_example(name)


JUNK = ("", "?", "<backtrack>", "<backtrack> 0", "<backtrack> 1", "<backtrack> 2", "<backtrack> 99999")


@st.composite
def texts(draw: st.DrawFn, env: Env[Any], problem: Problem, other: Problem) -> tuple[str, bool]:
    """A completion from good to hopeless: a reference trace, edited, closed in some way."""
    full = list(env.full_trace(problem))
    kinds = draw(st.sampled_from([*env.skip_kinds, None]))
    skipped = kinds and env.skipped_trace(problem, kinds, random.Random(draw(st.integers(0, 3))))
    lines = list(draw(st.sampled_from([full, list(skipped or full), full[:1], []])))
    pool = [*JUNK, *full, *env.full_trace(other)]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines)))
        if draw(st.booleans()):
            lines.insert(at, draw(st.sampled_from(pool)))
        else:
            del lines[at : at + 1]
    answer = draw(st.sampled_from([problem.answer, problem.answer, other.answer, "", "?"]))
    closing = f"Thus, the answer is {answer}."
    lines += draw(st.sampled_from([[closing], [closing], [closing], [closing, closing], [closing, "?"], []]))
    return "\n".join(lines), draw(st.sampled_from([False, False, False, True]))


@st.composite
def groups(draw: st.DrawFn) -> tuple[Problem, list[Trace]]:
    env = env_of(draw(st.sampled_from(sorted(name for name in ENVS if ENVS[name].has_solutions))))
    split = draw(st.sampled_from(env.splits))
    index = draw(st.integers(0, 500))
    problem = env.problem(split, index, budget=draw(st.sampled_from([None, 1, 2, 5])))
    other = env.problem(split, index + 1)
    written = draw(st.lists(texts(env, problem, other), min_size=2, max_size=6))
    traces = [env.check(problem, parse_trace(text, truncated=cut)) for text, cut in written]
    lengths = [draw(st.integers(1, 90)) for _ in traces]
    return problem, [replace(trace, num_tokens=n) for trace, n in zip(traces, lengths, strict=True)]


def args_of(name: str) -> dict[str, Any]:
    if name == "within_length":
        return {**LIMIT, "target": 30}
    declared = REWARDS[name].declared
    return TOKENS if declared.per_tokens else LIMIT if declared.limit else {}


HISTORIES = (
    History(),
    History(update=0),
    History(update=4, accuracy=0.5, best_accuracy=0.6, shortest=20, targets=(20, 30, None)),
)


def check(rewards: RewardSum, problem: Problem, traces: list[Trace]) -> None:
    for history in HISTORIES:
        check_at(history, rewards, problem, traces)


def check_at(history: History, rewards: RewardSum, problem: Problem, traces: list[Trace]) -> None:
    scores = rewards(problem, traces, history)
    right = [score.total for score, trace in zip(scores, traces, strict=True) if trace.correct]
    wrong = [score.total for score, trace in zip(scores, traces, strict=True) if not trace.correct]
    rounding = 1e-9
    assert min(right, default=rewards.least_when_right) >= rewards.least_when_right - rounding
    assert max(wrong, default=rewards.most_when_wrong) <= rewards.most_when_wrong + rounding
    if rewards.least_when_right > rewards.most_when_wrong and right and wrong:
        assert min(right) > max(wrong)


@pytest.mark.parametrize("rewards", SHIPPED.values(), ids=SHIPPED)
def test_shipped_weights_put_right_above_wrong(rewards: RewardSum) -> None:
    assert rewards.least_when_right > rewards.most_when_wrong


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(groups())
def test_right_beats_wrong_in_every_shipped_config(group: tuple[Problem, list[Trace]]) -> None:
    for rewards in SHIPPED.values():
        check(rewards, *group)


@settings(max_examples=200, deadline=None)
@given(groups())
def test_right_beats_wrong_with_all_rewards_at_once(group: tuple[Problem, list[Trace]]) -> None:
    check(RewardSum(EVERYTHING), *group)


def test_all_rewards_are_in_the_sum_of_all() -> None:
    assert {term.name for term in EVERYTHING} == set(REWARDS)


@st.composite
def sums(draw: st.DrawFn) -> RewardSum:
    names = draw(st.lists(st.sampled_from(sorted(REWARDS)), unique=True, min_size=1, max_size=5))
    terms = [
        Term(
            name=name,
            weight=draw(st.floats(-2, 2).map(lambda weight: round(weight, 2))),
            gate=draw(st.sampled_from(["none", "correct", "verified"])),
            when=draw(st.sampled_from([When(), When(), When(group_accuracy=(0.4, 0.8)), When(off_best=0.05)])),
            schedule=draw(st.sampled_from([(), (), ((0, 0.0), (8, 1.0)), ((2, -1.0), (6, 1.0))])),
            args=args_of(name),
        )
        for name in names
    ]
    return RewardSum(terms, allow_wrong_above_right=True)


@settings(max_examples=300, deadline=None)
@given(sums(), groups())
def test_bounds_hold_for_any_weights(rewards: RewardSum, group: tuple[Problem, list[Trace]]) -> None:
    check(rewards, *group)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(sums(), groups())
def test_accepted_weights_put_right_above_wrong(rewards: RewardSum, group: tuple[Problem, list[Trace]]) -> None:
    problem, traces = group
    assume(any(trace.correct for trace in traces) and not all(trace.correct for trace in traces))
    scores = rewards(problem, traces)
    right = min(score.total for score, trace in zip(scores, traces, strict=True) if trace.correct)
    wrong = max(score.total for score, trace in zip(scores, traces, strict=True) if not trace.correct)
    if right <= wrong:
        with pytest.raises(ValueError, match=r"right answer can earn as little as|is gated on 'verified'"):
            RewardSum(rewards.terms)


@settings(max_examples=200, deadline=None)
@given(groups())
def test_rewards_stay_in_their_declared_ranges(group: tuple[Problem, list[Trace]]) -> None:
    problem, traces = group
    for name, reward in REWARDS.items():
        for history in HISTORIES:
            values = reward(problem, traces, history, **args_of(name))
            for trace, value in zip(traces, values, strict=True):
                when_wrong, when_right = reward.declared.ranges(args_of(name))
                low, high = when_right if trace.correct else when_wrong
                most = 60 / 40 if reward.declared.per_tokens else 1
                assert 0 <= low <= value <= high <= most, (name, value)


@pytest.mark.parametrize("name", sorted(name for name in ENVS if ENVS[name].checks_steps))
def test_the_generated_groups_contain_all_outcomes(name: str) -> None:
    # The search above is only meaningful if it meets right, wrong, verified and unverified traces.
    env = env_of(name)
    problem, other = env.problem(Split.ID, 3), env.problem(Split.ID, 4)
    seen: set[tuple[bool, bool]] = set()

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(texts(env, problem, other))
    def look(written: tuple[str, bool]) -> None:
        trace = env.check(problem, parse_trace(written[0], truncated=written[1]))
        seen.add((bool(trace.correct), trace.verified))

    look()
    assert seen == {(True, True), (True, False), (False, False)}
