"""Advantages: values worked by hand, and the properties they must have."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from envs import Split, make_env
from rl.grpo.advantages import AdvantageWeight, group_advantages, reward_deviations, weigh_advantages
from rollout.source import zero_signal_cause
from tests.kit.rollouts import make_group, make_sample, make_score

ENV = make_env("directional", {"train": [3], "ood_easy": [4], "ood_hard": [5]})


def advantages(rewards: list[float], scale: bool = True, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Of one group."""
    rewards_G = torch.tensor(rewards, dtype=dtype)
    (deviation,) = reward_deviations([rewards_G], "group" if scale else "none")
    return group_advantages(rewards_G, deviation=deviation)


@pytest.mark.parametrize(
    ("rewards", "scaled", "unscaled"),
    [
        # Mean 1/2, squares 4 * 1/4 = 1, variance 1 / 3: deviation 0.57735; 0.5 / 0.57745 = 0.86588.
        ([1, 0, 0, 1], [0.86588, -0.86588, -0.86588, 0.86588], [0.5, -0.5, -0.5, 0.5]),
        # Mean 1/2, variance (1/4 + 1/4) / 1: deviation 0.70711; 0.5 / 0.70721.
        ([1, 0], [0.70701, -0.70701], [0.5, -0.5]),
        # Mean 1/4, squares 9/16 + 3/16 = 3/4, variance 1/4: deviation 1/2; 0.75 / 0.5001.
        ([1, 0, 0, 0], [1.4997, -0.4999, -0.4999, -0.4999], [0.75, -0.25, -0.25, -0.25]),
        # Mean 2, squares 1 + 0 + 1, variance 1.
        ([1, 2, 3], [-0.9999, 0, 0.9999], [-1, 0, 1]),
        ([7, 7, 7], [0, 0, 0], [0, 0, 0]),
        ([0, 0], [0, 0], [0, 0]),
    ],
)
def test_by_hand(rewards: list[float], scaled: list[float], unscaled: list[float]) -> None:
    assert advantages(rewards).tolist() == pytest.approx(scaled, abs=1e-5)
    assert advantages(rewards, scale=False).tolist() == pytest.approx(unscaled, abs=1e-6)


def test_a_group_of_one_has_no_advantage() -> None:
    assert advantages([3.0]).tolist() == [0.0]


# Rewards a sum of parts can give: hundredths, so that distinct ones differ by far more than rounding.
rewards = st.lists(st.integers(-300, 300).map(lambda n: n / 100), min_size=2, max_size=16)


@given(rewards, st.booleans())
def test_a_group_sums_to_zero(group: list[float], scale: bool) -> None:
    total = advantages(group, scale=scale).sum().item()
    assert abs(total) < 1e-4


@given(rewards, st.integers(-20, 20), st.booleans())
def test_a_constant_added_to_all_changes_nothing(group: list[float], constant: int, scale: bool) -> None:
    moved = advantages([reward + constant for reward in group], scale=scale)
    assert torch.allclose(moved, advantages(group, scale=scale), atol=2e-3)


@given(rewards, st.sampled_from([0.25, 0.5, 2.0, 64.0]))
def test_a_factor_is_kept_where_advantages_are_not_scaled(group: list[float], factor: float) -> None:
    larger = [reward * factor for reward in group]
    expected = factor * advantages(group, scale=False)
    assert torch.allclose(advantages(larger, scale=False), expected, atol=1e-9)


@given(rewards)
def test_order_is_kept_and_better_is_higher(group: list[float]) -> None:
    found = advantages(group).tolist()
    for one, a in zip(group, found, strict=True):
        for other, b in zip(group, found, strict=True):
            assert (a > b) == (one > other)


@given(rewards)
def test_scaled_advantages_have_a_deviation_a_little_below_one(group: list[float]) -> None:
    """s / (s + 1e-4), where s is the deviation of the rewards."""
    deviation = torch.tensor(group, dtype=torch.float64).std().item()
    assert advantages(group).std().item() == pytest.approx(deviation / (deviation + 1e-4), abs=1e-6)


def test_one_token_more_weighs_little() -> None:
    """G = 4, all right, weight -0.5 on the share of 8,192 tokens: a token costs d = 0.5 / 8192 = 6.1035e-5.

    The longer sample is 3/4 d below the mean; the deviation is sqrt((9/16 + 3/16) d^2 / 3) = d / 2 = 3.0518e-5.
    So -4.5776e-5 / (3.0518e-5 + 1e-4) = -0.3507. Without the epsilon it would be -1.5, like a wrong answer.
    """
    group = [1 - 0.5 * tokens / 8192 for tokens in (100, 100, 100, 101)]
    assert advantages(group)[3].item() == pytest.approx(-0.3507, abs=1e-4)
    assert advantages(group, scale=False)[3].item() == pytest.approx(-4.5776e-5, abs=1e-8)


def test_the_deviation_of_the_batch_is_that_of_all_rewards() -> None:
    """Rewards 1, 0 and 3, 2, 2: mean 1.6, squares 0.36 + 2.56 + 1.96 + 0.16 + 0.16 = 5.2, variance 5.2 / 4."""
    groups = [torch.tensor([1.0, 0.0]), torch.tensor([3.0, 2.0, 2.0])]
    assert reward_deviations(groups, "batch") == pytest.approx([math.sqrt(1.3)] * 2)
    assert reward_deviations(groups, "group") == pytest.approx([math.sqrt(1 / 2), math.sqrt(1 / 3)])
    assert reward_deviations(groups, "none") == [None, None]
    assert reward_deviations([*groups[:1], torch.tensor([5.0])], "group")[1] == 0.0
    assert reward_deviations([torch.tensor([5.0])], "batch") == [0.0]


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.7, 1e-3, -2.2])
@pytest.mark.parametrize("size", [2, 3, 7, 8, 16, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rewards_are_exactly_zero(value: float, size: int, dtype: torch.dtype) -> None:
    # The mean of seven float32 thirds is not a third; divided by its own deviation the rest would be near 1.
    for scale in (True, False):
        assert torch.count_nonzero(advantages([value] * size, scale=scale, dtype=dtype)) == 0


def test_equal_large_rewards_are_exactly_zero() -> None:
    assert torch.count_nonzero(advantages([123.456] * 33, dtype=torch.float32)) == 0


def test_rounding_is_not_blown_up() -> None:
    # 0.1 + 0.2 and 0.3 are the same reward, added up in another order.
    group = [0.1 + 0.2, 0.3, 0.3, 0.3]
    assert len(set(group)) == 2
    assert torch.count_nonzero(advantages(group, dtype=torch.float64)) == 0


def test_groups_without_a_signal_are_those_without_an_advantage() -> None:
    """One threshold, relative to the size of the rewards, decides about both."""
    for size in (0.0, 1.0, 300.0):
        for difference in (1e-12, 1e-10, 1e-8, 1e-6, 1e-3):
            rewards = [size, size + difference]
            group = make_group(ENV.problem(Split.TRAIN, 0), [make_sample(make_score(r)) for r in rewards])
            useful = zero_signal_cause(group) is None
            assert useful == bool(advantages(rewards, scale=False).any()), (size, difference)
            assert useful == (difference > 1e-9 * max(1.0, size))


def test_scaled_advantages_are_bounded() -> None:
    # The largest advantage is that of one right answer among G: (G - 1) / sqrt(G), less what the epsilon takes.
    for size in (2, 8, 64):
        assert advantages([1.0] + [0.0] * (size - 1)).max().item() == pytest.approx(
            (size - 1) / math.sqrt(size), rel=1e-3
        )


@pytest.mark.parametrize(
    "wrong", [torch.zeros(()), torch.zeros(0), torch.zeros(2, 4), torch.zeros(4, dtype=torch.long)]
)
def test_other_shapes_and_types_are_refused(wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"rewards must be float \[G\] with G >= 1, got"):
        group_advantages(wrong)


def test_grpo_lead_weighs_by_accuracy() -> None:
    weight = AdvantageWeight()  # low 0.4, high 1.5, midpoint 0.75, slope 10
    # 1 / (1 + exp(0)) = 1/2: half-way between.
    assert weight(0.75) == pytest.approx(0.95)
    # exp(-7.5) = 0.00055 and exp(2.5) = 12.18.
    assert weight(0.0) == pytest.approx(0.4 + 1.1 / 1.00055, abs=1e-5)
    assert weight(1.0) == pytest.approx(0.4 + 1.1 / 13.18249, abs=1e-5)
    # A group right by a quarter: above the mean w(0.25) = 1.4926, below it w(0.75) = 0.95.
    weighed = weigh_advantages(torch.tensor([1.5, -0.5, -0.5, -0.5, 0.0]), 0.25, weight)
    assert weighed.tolist() == pytest.approx([1.5 * 1.49264, -0.475, -0.475, -0.475, 0.0], abs=1e-4)
    flat = AdvantageWeight(low=1.0, high=1.0)
    assert weigh_advantages(torch.tensor([2.0, -2.0]), 0.1, flat).tolist() == [2.0, -2.0]


def test_only_rows_of_advantages_are_weighed() -> None:
    with pytest.raises(ValueError, match=r"advantages must be float \[G\], got \(2, 2\)"):
        weigh_advantages(torch.zeros(2, 2), 0.5, AdvantageWeight())
