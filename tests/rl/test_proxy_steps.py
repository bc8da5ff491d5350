"""Prices on steps and backtracks that a task only counts are named at the start of a run."""

from __future__ import annotations

import pytest

from envs import make_example
from rewards import RewardSum, Term
from rewards.registry import find_reward
from rl.proxy_steps import BACKTRACKS, STEPS, describe_proxies


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
