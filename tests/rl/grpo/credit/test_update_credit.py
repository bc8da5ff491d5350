"""Step credit within an update: which groups are used, what divides it, and what else weighs it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from configs.schema.config import GrpoConfig, RolloutConfig
from configs.schema.credit import CreditConfig
from rewards import RewardSum, Term
from rl.grpo.advantages import AdvantageWeight
from rl.grpo.credit.credit import StepCredit, make_credit
from rl.grpo.credit.figures import backtrack_figures
from rl.grpo.credit.progress import progress_credit
from rl.grpo.credit.same_state import same_state_credit
from rl.grpo.update import Updates
from rollout.types import RolloutGroup
from tests.kit.credit_groups import ENCODER, ENV, by_line, credit_group
from tests.kit.directional import END, FULL, LOOP, SKIP, WRONG
from tests.kit.rollouts import make_batch
from tests.kit.scripted_pool import RecordingPool, ScriptedSource

PROGRESS = partial(progress_credit, weight=0.2, dead_end=1.0)
OFF_TURN = "east. right, around\n"  # a wrong heading
LOUD = RewardSum([Term(name="correct", weight=2.0)])


def train_on(
    group: RolloutGroup, credit: StepCredit | None, **more: Any
) -> tuple[list[list[float]], dict[str, float]]:
    """The advantages of the lines that an update trains on, and its figures."""
    seen: dict[int, Any] = {}
    weight = more.pop("advantage_weight", None)
    updates = Updates(
        ScriptedSource(make_batch(group)),  # type: ignore[arg-type]
        RecordingPool(),
        GrpoConfig(updates=1, problems_per_update=1, **more),
        RolloutConfig(samples_per_problem=2),
        pad_id=ENCODER.pad_id,
        on_rollouts=lambda update, rollouts, advantages: seen.update(advantages),
        advantage_weight=weight,
        credit=credit,
    )
    batch = updates.next({}, 0, device=torch.device("cpu"))
    (part,) = batch.micro_batches
    longest = max(group.samples, key=lambda sample: len(sample.completion.ids))
    place = group.samples.index(longest)
    of_longest = seen[0][place]
    expected = of_longest if isinstance(of_longest, tuple) else (of_longest,) * len(longest.completion.ids)
    assert part["advantages"][0].tolist() == pytest.approx(expected)  # sorted by length
    return by_line(group, seen[0]), batch.metrics


def test_tokens_reach_the_loss_with_their_own_advantages() -> None:
    """Rewards 2 and 0; 1 and 2 turns in the first line, of a mean of 1.5, cost and earn 0.1."""
    group = credit_group([FULL + END, SKIP + WRONG], LOUD)
    lines, figures = train_on(group, StepCredit(PROGRESS, ENV, ENCODER))
    assert lines[0] == pytest.approx([0.9, 1, 1, 1]) and lines[1] == pytest.approx([-0.9, -1, -1])
    # 0.1 on the 20 and 14 tokens of the first lines, of 67 + 46.
    assert figures["credit/sequence"] == pytest.approx(1)
    assert figures["credit/steps"] == pytest.approx(0.1 * 34 / (67 + 46))


def test_the_deviation_of_the_batch_divides_step_credit_too() -> None:
    """The deviation of 2 and 0 is 1.41421."""
    group = credit_group([FULL + END, SKIP + WRONG], LOUD)
    lines, _ = train_on(group, StepCredit(PROGRESS, ENV, ENCODER, scale_rewards="batch"), scale_rewards="batch")
    assert lines[0] == pytest.approx([0.9 / 1.41431] + [1 / 1.41431] * 3, abs=1e-5)


def test_the_deviation_of_a_batch_divides_groups_of_equal_rewards() -> None:
    """-0.1 and 0.1 of step credit, over 0.5 of the batch."""
    group = credit_group([FULL + END, SKIP + END], LOUD)
    credit = StepCredit(PROGRESS, ENV, ENCODER, scale_rewards="batch")
    lines = by_line(group, credit(group, [0.0, 0.0], 0.5))
    assert lines[0] == pytest.approx([-0.1 / 0.5001, 0, 0, 0])


def test_the_deviation_of_a_group_divides_what_comes_from_its_rewards_alone() -> None:
    """It may be next to nothing, and the progress of lines has a size of its own."""
    group = credit_group([FULL + END, SKIP + WRONG], LOUD)
    lines, _ = train_on(group, StepCredit(PROGRESS, ENV, ENCODER, scale_rewards="group"), scale_rewards="group")
    assert lines[0] == pytest.approx([1 / 1.41431 - 0.1] + [1 / 1.41431] * 3, abs=1e-5)


def test_same_state_divides_by_the_deviation_in_each_state() -> None:
    """At the start the returns are 0.9^3 * 2 and 0: plus and minus 0.70711, whatever their size."""
    group = credit_group([FULL + END, SKIP + WRONG], LOUD)
    rule = partial(same_state_credit, weight=1.0, discount=0.9, own_deviation=True)
    lines, _ = train_on(group, StepCredit(rule, ENV, ENCODER), scale_rewards="group")
    assert lines[0] == pytest.approx([1.41413, 0.70706, 1.41413, 1.41413], abs=2e-4)


def test_tokens_are_weighed_by_their_own_sign() -> None:
    """One of two is right: w(0.5) above 0 and w(0.5) below; with a step at 0.6 that is 2 for both."""
    weight = AdvantageWeight(low=1.0, high=2.0, midpoint=0.6, slope=1000.0)
    group = credit_group([FULL + END, SKIP + WRONG], LOUD)
    lines, _ = train_on(group, StepCredit(PROGRESS, ENV, ENCODER), advantage_weight=weight)
    assert lines[0] == pytest.approx([1.8, 2, 2, 2]) and lines[1] == pytest.approx([-1.8, -2, -2])


def test_a_group_of_equal_rewards_is_used_if_its_lines_differ() -> None:
    settings = GrpoConfig(credit=CreditConfig(name="progress"))
    credit = make_credit(settings, LOUD, ENV, ENCODER, max_length=100)
    assert credit is not None
    assert credit.zero_signal(credit_group([FULL + END, SKIP + END])) is None
    assert credit.zero_signal(credit_group([FULL + END, FULL + END])) == "all_verified"
    assert credit.zero_signal(credit_group([FULL + END])) == "ungraded"
    assert credit.zero_signal(credit_group([FULL + END, FULL + WRONG])) is None
    group = credit_group([FULL + END, SKIP + END])
    lines = by_line(group, credit(group, [0.0, 0.0], 0.0))
    assert lines[0] == pytest.approx([-0.125, 0, 0, 0])  # 0.25, the default, of half an elementary line


def test_no_credit_is_made_for_whole_answers() -> None:
    assert make_credit(GrpoConfig(), LOUD, ENV, ENCODER, max_length=100) is None


def test_what_needed_and_needless_backtracks_get() -> None:
    """Rewards 2, 2 and 0, so 2/3, 2/3 and -4/3. Of whole answers: (2/3 - 4/3) / 2 for the two needless
    backtracks and 2/3 for the needed one. By token the third sample gets 1 more on its backtrack."""
    texts = [OFF_TURN + "<backtrack>\n" + FULL + END, LOOP + FULL + END, LOOP + FULL + WRONG]
    group = credit_group(texts, LOUD)
    whole = [2 / 3, 2 / 3, -4 / 3]
    figures = backtrack_figures([group], [whole], None)
    assert figures == pytest.approx({"credit/needed_backtracks": 2 / 3, "credit/needless_backtracks": -1 / 3})
    start = len("west. right, around\n")
    tokens = [-4 / 3] * len(group.samples[2].completion.ids)
    tokens[start : start + len("<backtrack>\n")] = [-1 / 3] * len("<backtrack>\n")
    spans = StepCredit(PROGRESS, ENV, ENCODER).spans
    figures = backtrack_figures([group], [[*whole[:2], tuple(tokens)]], spans)
    assert figures == pytest.approx({"credit/needed_backtracks": 2 / 3, "credit/needless_backtracks": 1 / 6})
    assert backtrack_figures([credit_group([FULL + END])], [[0.0]], None) == {}


def test_an_update_logs_what_backtracks_get_of_whole_answers_too() -> None:
    group = credit_group([LOOP + FULL + END, FULL + WRONG], LOUD)
    assert train_on(group, None)[1]["credit/needless_backtracks"] == pytest.approx(1)
