"""Prices on steps and backtracks that a task only counts are named at the start of a run."""

from __future__ import annotations

import pytest

from envs import make_example
from rewards import RewardSum, Term
from rewards.registry import find_reward
from rl.proxy_steps import BACKTRACKS, STEPS, describe_dropout, describe_proxies
from tests.kit.directional import END, FULL, TURNS
from tests.kit.problems import check_text
from tests.kit.rollouts import score_texts


def rewards(**weights: float) -> RewardSum:
    terms = [Term(name=name, weight=weight, gate="correct") for name, weight in weights.items()]
    return RewardSum([Term(name="correct", weight=1.0), *terms])


@pytest.mark.parametrize("name", sorted(STEPS | BACKTRACKS))
def test_the_names_are_rewards(name: str) -> None:
    assert find_reward(name)


def test_a_price_on_counted_steps_says_what_is_counted_and_what_checks_it() -> None:
    line = describe_proxies(rewards(step_count=-0.2, backtrack_count=-0.1), make_example("math"))
    assert line.startswith("step_count, backtrack_count price what math counts and does not check")
    assert "steps are claims" in line and "backtracks are sentences" in line
    assert line.endswith("check_steps: arithmetic in its settings checks steps")
    other = describe_proxies(rewards(backtrack_count=-0.1), make_example("reasoning_gym"))
    assert "steps are" not in other and "check_steps" not in other


def test_without_a_price_or_with_checked_steps_there_is_none() -> None:
    assert describe_proxies(rewards(), make_example("math")) == ""
    priced = rewards(step_count=-0.2)
    assert describe_proxies(priced, make_example("addition")) == ""
    assert describe_proxies(priced, make_example("math", check_steps="arithmetic")) == ""


def test_backtracks_that_are_only_announced_are_counted_where_steps_are_checked_too() -> None:
    line = describe_proxies(
        rewards(step_count=-0.2, backtrack_count=-0.1), make_example("math", check_steps="arithmetic")
    )
    assert line == (
        "backtrack_count prices what math counts and does not check, so wording can earn what reasoning "
        "should: backtracks are sentences that announce going back ('Wait, ...')"
    )
    assert describe_proxies(rewards(backtrack_count=-0.1), make_example("addition")) == ""


def test_thought_dropout_says_what_a_price_on_steps_makes_of_an_empty_thought() -> None:
    priced = rewards(step_count=-0.2, verified=0.1)
    checked = describe_dropout(priced, make_example("addition"), 0.5)
    assert "never verified: step_count, verified treat them as the worst of right answers" in checked
    counted = describe_dropout(rewards(step_count=-0.2), make_example("math"), 0.5)
    assert "have 0 steps: step_count pays for them more than for any thought" in counted
    assert describe_dropout(priced, make_example("addition"), 0.0) == ""
    assert describe_dropout(rewards(backtrack_count=-0.1), make_example("addition"), 0.5) == ""


def test_what_is_said_of_empty_thoughts_is_what_rewards_pay() -> None:
    """0.2 for a step price and 0.1 for a verified trace, on the full trace and on an answer without a step."""
    texts = [END, FULL + END]
    traces = [check_text(TURNS, text) for text in texts]
    samples = score_texts(TURNS, traces, texts, [9, 9], rewards(step_count=-0.2, verified=0.1))
    assert [sample.score.total for sample in samples] == pytest.approx([1 - 0.2, 1 - 0.2 + 0.1])
