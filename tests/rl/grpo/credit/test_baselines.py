"""The rules of other papers, by hand: SAS, DECS and SwAP."""

from __future__ import annotations

from functools import partial

import pytest

from rewards import RewardSum, Term
from rl.grpo.credit.decs import decs_credit, sufficient_line
from rl.grpo.credit.rule import CreditGroup
from rl.grpo.credit.sas import least_confident, sas_credit
from rl.grpo.credit.swap import softmin, swap_credit
from rollout.step_boundaries import step_spans
from tests.kit.credit_groups import ENCODER, by_line, credit_group, credit_of
from tests.kit.directional import END, FULL, SKIP, WRONG


def test_sas_leaves_out_the_least_confident_step_of_a_right_sample() -> None:
    """ceil(0.3 * 3) = 1 of three lines; of a wrong one with share 0.5, 3 - ceil(1.5) = 1, the most
    confident."""
    confidences = [[-0.1, -0.9, -0.2, -0.5], [-0.3, -0.9, -0.2, -0.5]]
    group = credit_group([FULL + END, FULL + WRONG], logprobs=confidences)
    lines = by_line(group, credit_of(partial(sas_credit, share=0.3), group))
    assert lines == [[0.5, 0, 0.5, 0.5], [-0.5] * 4]
    lines = by_line(group, credit_of(partial(sas_credit, share=0.5), group))
    assert lines == [[0.5, 0, 0, 0.5], [-0.5, -0.5, 0, -0.5]]
    assert credit_of(partial(sas_credit, share=0.0), group) == [0.5, -0.5]


def test_the_confidence_of_a_step_is_a_mean_over_its_tokens() -> None:
    """(-0.1 - 0.1) / 2 = -0.1 and -0.15, though the sum of the first is the lower one."""
    assert least_confident([-0.1, -0.1, -0.15, -3.0], [(0, 2), (2, 3), (3, 3)]) == [1, 0, 2]


def test_decs_prices_what_follows_the_line_that_ends_the_task() -> None:
    """The first one goes on after the end, with 6 tokens of "south\\n" of its 20 + 14 + 6 + 6 + 27 = 73. They
    get 1 + 0.1 * (1 - 73 / 100) = 1.027, all others of both 1.1: at their places the mean is 1.0635.
    """
    group = credit_group([FULL + "south\n" + END, FULL + END])
    assert sufficient_line(group.samples[0].facts or ()) == 2
    first, second = credit_of(partial(decs_credit, beta=0.1, max_length=100), group)
    assert first == pytest.approx((0.0,) * 40 + (-0.0365,) * 6 + (0.0,) * 27)
    assert second == pytest.approx((0.0,) * 40 + (0.0365,) * 6 + (0.0,) * 21)


def test_decs_costs_a_right_sample_whatever_else_it_paid() -> None:
    """Half a reward of 1: 0.55, less 0.1 * 0.5 * 73 / 100 = 0.03650 on the 6 tokens."""
    group = credit_group([FULL + "south\n" + END, FULL + END], RewardSum([Term(name="correct", weight=0.5)]))
    first, _ = credit_of(partial(decs_credit, beta=0.1, max_length=100), group)
    assert first == pytest.approx((0.0,) * 40 + (-0.1 * 0.5 * 0.73 / 2,) * 6 + (0.0,) * 27)


def test_decs_divides_by_the_deviation_at_each_place() -> None:
    """Rewards 1.1 and 0 at every place: 0.55 / 0.7778 = 0.7071; a sample that has ended counts on."""
    group = credit_group([FULL + END, SKIP + WRONG])
    credit = credit_of(partial(decs_credit, beta=0.1, max_length=100, own_deviation=True), group)
    assert credit == pytest.approx([0.70711, -0.70711], abs=1e-5)


def test_swap_charges_excess_length_to_the_least_important_steps() -> None:
    """The full one has 20 + 14 + 6 + 27 = 67 tokens, the short one 14 + 6 + 27 = 47. It pays 0.2 * (67 / 47 -
    1) = 0.0851 for each of its 67 tokens; of steps with 0, ln 3 and ln 3 nats the first pays 3/5.
    """
    group = credit_group([FULL + END, SKIP + END])
    spans = [step_spans(ENCODER, sample.completion.ids, sample.trace) for sample in group.samples]
    ln3 = 1.0986122886681098
    tokens = swap_credit(
        CreditGroup(
            group=group, spans=spans, start=0, advantages=[0.0, 0.0], importances=[[0.0, ln3, ln3], [1.0, 5.0]]
        ),
        weight=0.2,
    )
    payment = 0.2 * (67 / 47 - 1) * 67
    first, second = by_line(group, [tuple(row) for row in tokens])
    assert first == pytest.approx([-payment * 0.6 / 20, -payment * 0.2 / 14, -payment * 0.2 / 6, 0])
    assert second == [0, 0, 0]  # the shortest one pays nothing
    assert sum(tokens[0]) == pytest.approx(-payment)


def test_shares_fall_with_importance() -> None:
    assert softmin([0.0, 2.0]) == pytest.approx([0.8808, 0.1192], abs=1e-4)
    assert softmin([]) == [] and softmin([7.0]) == [1.0]
