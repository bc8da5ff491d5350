"""Values of samples after their steps: what is continued, and what a step is credited with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from envs import Split
from rl.grpo.credit.monte_carlo import monte_carlo_credit
from rollout.continuations import with_values
from rollout.types import Continuations, GroupRequest, RolloutGroup
from tests.kit.credit_groups import ENCODER, by_line, credit_group, credit_of
from tests.kit.directional import END, FULL, SKIP, WRONG

REQUEST = GroupRequest(
    group_id=0,
    split=Split.TRAIN,
    index=0,
    budget=None,
    num_samples=2,
    seed=0,
    continuations=Continuations(num=2),
)


def test_monte_carlo_by_hand() -> None:
    """The group's mean is 0.5; the values after the lines of the first are 0.25, 0.5 and 1."""
    group = credit_group([FULL + END, SKIP + WRONG])
    values = [(0.5, 0.25, 0.5, 1.0), (0.5, None, 0.75)]
    group = replace(
        group, samples=tuple(replace(s, values=v) for s, v in zip(group.samples, values, strict=True))
    )
    first, second = by_line(group, credit_of(monte_carlo_credit, group))
    assert first == [-0.25, 0.25, 0.5, 0.0]
    assert second == [0.25, 0.25, -0.75]  # the first line was not continued: both lines are a segment


def test_without_values_a_sample_gets_its_reward_less_the_mean() -> None:
    group = credit_group([END, WRONG])
    assert credit_of(monte_carlo_credit, group) == [0.5, -0.5]


def test_the_spread_of_the_values_divides_where_that_of_the_rewards_may_be_nothing() -> None:
    """Rewards of 1 and 0.999 deviate by 0.0007, with the values 1, 1, 0, 1 and 1, 1, 1 by 0.333."""
    group = credit_group([FULL + END, SKIP + END])
    found = zip(group.samples, (1.0, 0.999), [(1.0, 1.0, 0.0, 1.0), (1.0, 1.0, 1.0)], strict=True)
    samples = tuple(
        replace(sample, score=replace(sample.score, total=total), values=values)
        for sample, total, values in found
    )
    group = replace(group, samples=samples)
    lines = by_line(group, credit_of(partial(monte_carlo_credit, own_deviation=True), group))
    assert lines[0] == pytest.approx([0, -3, 3, 0], abs=0.01)


def test_each_boundary_is_continued_once_for_all_samples_that_begin_alike() -> None:
    asked: list[str] = []

    def answer(requests: Sequence[tuple[int, GroupRequest]]) -> list[RolloutGroup]:
        assert len(requests) <= 1  # two rows at a time, as the group had
        found = []
        for place, request in requests:
            assert (place, request.num_samples, request.continuations) == (0, 2, None)
            asked.append(ENCODER.show(request.prefix_ids or ()))
            found.append(credit_group([asked[-1] + END, asked[-1] + WRONG]))
        return found

    group = credit_group([FULL + END, FULL + WRONG])
    (valued,) = with_values([REQUEST], [group], ENCODER, max_new_tokens=200, answer=answer)
    lines = FULL.splitlines(keepends=True)
    assert asked == ["".join(lines[:num]) for num in (1, 2, 3)]
    assert [sample.values for sample in valued.samples] == [(0.5, 0.5, 0.5, 0.5)] * 2
    assert valued.extra_tokens == sum(len(text) + 27 + len(text) + 26 for text in asked)


def test_continuations_that_could_not_be_graded_are_counted_apart_from_samples() -> None:
    def answer(requests: Sequence[tuple[int, GroupRequest]]) -> list[RolloutGroup]:
        return [replace(credit_group([FULL + END]), ungraded=1, failure="no grader") for _ in requests]

    group = replace(credit_group([FULL + END, FULL + WRONG]), ungraded=3, failure="of a sample")
    (valued,) = with_values([REQUEST], [group], ENCODER, max_new_tokens=200, answer=answer)
    assert (valued.ungraded, valued.failure, valued.extra_ungraded) == (3, "of a sample", 3)
    assert [sample.values for sample in valued.samples] == [(0.5, 1.0, 1.0, 1.0)] * 2


def test_segments_and_the_length_limit() -> None:
    asked: list[int] = []

    def answer(requests: Sequence[tuple[int, GroupRequest]]) -> list[RolloutGroup]:
        asked.extend(len(request.prefix_ids or ()) for _, request in requests)
        return [credit_group([FULL + END]) for _ in requests]

    group = credit_group([FULL + END, SKIP + END])
    request = replace(REQUEST, continuations=Continuations(num=1, every=2))
    (valued,) = with_values([request], [group], ENCODER, max_new_tokens=34, answer=answer)
    assert asked == [
        20
    ]  # "west. ...\nnorth. ...\n" has 34 tokens, which leaves none; the other's two lines have 20
    assert [sample.values for sample in valued.samples] == [(1.0, None, None, None), (1.0, None, 1.0)]


def test_a_request_without_continuations_gets_none() -> None:
    group = credit_group([FULL + END])
    request = replace(REQUEST, continuations=None)
    assert with_values([request], [group], ENCODER, max_new_tokens=99, answer=pytest.fail) == (group,)
