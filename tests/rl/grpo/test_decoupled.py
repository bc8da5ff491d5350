"""DRPO's weights among right samples: worked by hand, against the paper's formula, and in an update."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from configs import load_config
from configs.schema.config import GrpoConfig, RolloutConfig
from rl.grpo.decoupled import decoupled_weights
from rl.grpo.update import Updates
from rl.parts import build_rewards
from rollout.source import zero_signal_cause
from rollout.types import RolloutGroup
from tests.kit.directional import END, FULL, TURNS, right, wrong
from tests.kit.rollouts import make_batch, make_group, score_texts
from tests.kit.scripted_pool import RecordingPool, ScriptedSource

DRPO = load_config("quickstart", ["rewards.terms=[{preset: drpo}]"]).rewards
LENGTHS = [1_000, 3_000, 7_000]  # of the right samples


def weights(rewards: Sequence[float], is_right: Sequence[bool], temperature: float = 1.0) -> list[float]:
    rewards_G = torch.tensor(rewards, dtype=torch.float64)
    found: list[float] = decoupled_weights(rewards_G, torch.tensor(is_right), temperature=temperature).tolist()
    return found


def group_of(num_wrong: int, lengths: Sequence[int] = LENGTHS, number: int = 0) -> RolloutGroup:
    """Right samples of these lengths and wrong ones of 100 tokens, scored by the preset at a limit of 8,192."""
    config = load_config("quickstart", ["rewards.terms=[{preset: drpo}]"])
    rollout = config.rollout.model_copy(update={"max_new_tokens": 8_192})
    traces = [*map(right, lengths), *[wrong(100)] * num_wrong]
    samples = score_texts(
        TURNS,
        traces,
        [FULL + END] * len(traces),
        [1] * len(traces),
        build_rewards(config.model_copy(update={"rollout": rollout})),
    )
    return make_group(TURNS, samples, number=number)


@pytest.mark.parametrize(
    ("rewards", "is_right", "temperature", "expected"),
    [
        # exp is 1 and 3, the mean of which is 2.
        ([0.0, math.log(3), 9.0], [True, True, False], 1.0, [0.5, 1.5, 1.0]),
        # Twice the temperature: 1 and sqrt(3).
        (
            [0.0, math.log(3)],
            [True, True],
            2.0,
            [2 / (1 + math.sqrt(3)), 2 * math.sqrt(3) / (1 + math.sqrt(3))],
        ),
        ([1.0, 0.3], [True, False], 0.01, [1.0, 1.0]),
        ([0.2, 0.3], [False, False], 0.01, [1.0, 1.0]),
        # Differences of hundreds of temperatures do not overflow.
        ([0.0, 1_000.0], [True, True], 0.01, [0.0, 2.0]),
    ],
)
def test_by_hand(rewards: list[float], is_right: list[bool], temperature: float, expected: list[float]) -> None:
    assert weights(rewards, is_right, temperature) == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(-3, 3), st.booleans()), min_size=1, max_size=9), st.floats(-5, 5))
def test_the_mean_is_one_and_what_right_samples_share_cancels(
    samples: list[tuple[float, bool]], more: float
) -> None:
    rewards, is_right = [reward for reward, _ in samples], [answer for _, answer in samples]
    found = weights(rewards, is_right, 0.5)
    assert sum(found) == pytest.approx(len(found)) and min(found) >= 0
    assert weights([reward + more for reward in rewards], is_right, 0.5) == pytest.approx(found)


def test_an_update_is_the_papers_and_never_blames_a_right_answer() -> None:
    """omega = exp((1 - L / 8192) / 0.1) over its sum, times the 3 right samples, times GRPO's 1 - 3 / 7.

    A length penalty of the same size in GRPO, 0.1 L / 819.2 a sample, puts the longest one at 1 - 0.85 = 0.15,
    below the group's mean of (3 - 1.34) / 7 = 0.24.
    """
    group = group_of(num_wrong=4)
    seen: dict[int, Sequence[float]] = {}
    assert DRPO.decoupled is not None
    updates = Updates(
        ScriptedSource(make_batch(group, decoupled=True)),  # type: ignore[arg-type]
        RecordingPool(),
        GrpoConfig(updates=1, problems_per_update=1, scale_rewards="none"),
        RolloutConfig(samples_per_problem=7),
        pad_id=0,
        on_rollouts=lambda update, rollouts, advantages: seen.update(advantages),
        decoupled=DRPO.decoupled.temperature,
    )
    updates.next({}, 0, device=torch.device("cpu"))
    omega = [math.exp((1 - length / 8_192) / 0.1) for length in LENGTHS]
    expected = [3 * value / sum(omega) * (1 - 3 / 7) for value in omega]
    assert seen[0] == pytest.approx([*expected, *[-3 / 7] * 4])
    assert min(seen[0][:3]) > 0
    assert sum(seen[0]) == pytest.approx(0)
    strong = [1 - 0.1 * length / 819.2 for length in LENGTHS]
    assert strong[2] < sum(strong) / 7


def test_groups_that_are_right_or_wrong_throughout_have_no_signal() -> None:
    """Dynamic sampling replaces them, whatever their rewards are."""
    all_right, mixed = group_of(0), group_of(1)
    assert zero_signal_cause(all_right) is None  # the lengths differ
    assert zero_signal_cause(all_right, decoupled=True) == "all_verified"
    assert zero_signal_cause(group_of(2, []), decoupled=True) == "all_wrong"
    assert zero_signal_cause(mixed, decoupled=True) is None


def test_other_shapes_and_types_are_refused() -> None:
    for is_right in (torch.ones(2), torch.ones(3, dtype=torch.bool)):
        with pytest.raises(ValueError, match=r"right bool \[G\], got"):
            decoupled_weights(torch.zeros(2), is_right, temperature=1.0)
