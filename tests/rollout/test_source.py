"""The source of groups: order, dynamic sampling, counting."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pytest

from envs import GraderError, Problem, Split, make_env
from rewards import Outcome, RunHistory
from rollout.source import GroupSource, RolloutBatch, zero_signal_cause
from rollout.types import GroupRequest, PromptTooLongError, RolloutGroup
from tests.kit.problems import make_problem
from tests.kit.rollouts import make_group, make_sample, make_score, without_graded
from tests.kit.scripted_pool import ScriptedPool

ENV = make_env("directional")
V, C, W, M, T = Outcome.VERIFIED, Outcome.CORRECT, Outcome.WRONG, Outcome.MALFORMED, Outcome.TRUNCATED
USEFUL: list[tuple[Outcome, float]] = [(V, 1.0), (W, 0.0)]
ZERO_SIGNAL: list[tuple[Outcome, float]] = [(W, 0.0), (W, 0.0)]
Script = Callable[[int], list[tuple[Outcome, float]]]


def group(number: int, rewards: Sequence[tuple[Outcome, float]]) -> RolloutGroup:
    problem = replace(make_problem("directional", "", ""), index=number)
    return make_group(
        problem, [make_sample(make_score(total, outcome)) for outcome, total in rewards], number=number
    )


def make(
    script: Script,
    *,
    lost: Mapping[int, int] = {},
    dynamic_sampling: bool = True,
    max_resamples: int = 3,
    problems_per_batch: int = 2,
    budget_frac: float = 0.0,
    max_ungraded: int = 0,
    zero_signal: Callable[[RolloutGroup], str | None] | None = None,
    fits: Callable[[Problem], bool] | None = None,
    seed: int = 5,
    history: RunHistory | None = None,
) -> tuple[GroupSource, ScriptedPool]:
    def answer(request: GroupRequest) -> RolloutGroup:
        number = request.group_id
        return without_graded(group(number, script(number)), lost.get(number, 0))

    pool = ScriptedPool(answer)
    source = GroupSource(
        pool,
        ENV,
        seed=seed,
        num_samples=2,
        problems_per_batch=problems_per_batch,
        dynamic_sampling=dynamic_sampling,
        max_resamples=max_resamples,
        max_ungraded=max_ungraded,
        budget_frac=budget_frac,
        zero_signal=zero_signal,
        fits=fits,
        history=history,
    )
    return source, pool


def every(n: int) -> Script:
    """Every n-th group has a signal, from group n - 1 on."""
    return lambda group_id: USEFUL if group_id % n == n - 1 else ZERO_SIGNAL


def ids(groups: Sequence[RolloutGroup]) -> list[int]:
    return [group.group_id for group in groups]


def test_groups_with_a_signal_are_all_used() -> None:
    source, pool = make(every(1), problems_per_batch=2)
    rollouts = source.next_update(5)
    assert ids(rollouts.useful) == ids(rollouts.sampled) == [0, 1, 2, 3, 4]
    assert rollouts.zero_signal.total() == 0
    assert source.cursor == 5
    # Five groups in batches of two: three engine calls.
    assert [len(batch) for batch in pool.calls[0]] == [2, 2, 1]
    assert (rollouts.sample_s, rollouts.score_s) == (6.0, 3.0)


def test_group_n_is_train_problem_n() -> None:
    source, pool = make(every(1))
    source.next_update(3)
    source.next_update(2)
    assert [(r.group_id, r.index, r.split) for r in pool.requests] == [(n, n, Split.TRAIN) for n in range(5)]
    assert {(r.num_samples, r.seed, r.budget) for r in pool.requests} == {(2, 5, None)}


def test_dynamic_sampling_requests_only_the_missing_groups() -> None:
    source, pool = make(every(2))
    rollouts = source.next_update(4)
    # 0-3 give two groups with a signal (1, 3); 4-5 one (5); 6 none; 7 one.
    assert ids(rollouts.useful) == [1, 3, 5, 7]
    assert [sum(map(len, call)) for call in pool.calls] == [4, 2, 1, 1]
    assert ids(rollouts.sampled) == list(range(8))
    assert rollouts.zero_signal == {"all_wrong": 4}
    assert source.cursor == 8


@pytest.mark.parametrize("max_resamples", [0, 1, 2, 5])
def test_dynamic_sampling_ends(max_resamples: int) -> None:
    source, pool = make(lambda group_id: ZERO_SIGNAL, max_resamples=max_resamples)
    rollouts = source.next_update(3)
    # P problems, and at most max_resamples times P further ones.
    assert len(rollouts.sampled) == len(pool.requests) == source.cursor == 3 * (1 + max_resamples)
    assert rollouts.useful == ()
    assert rollouts.zero_signal == {"all_wrong": 3 * (1 + max_resamples)}


def test_dynamic_sampling_counts_problems_not_rounds() -> None:
    # One in ten has a signal. 4 problems and 2 * 4 further ones: of groups 0-11 only 9 has one.
    source, _ = make(every(10), max_resamples=2)
    rollouts = source.next_update(4)
    assert (ids(rollouts.useful), source.cursor) == ([9], 12)


def test_without_dynamic_sampling_no_further_groups_are_sampled() -> None:
    source, pool = make(every(3), dynamic_sampling=False)
    rollouts = source.next_update(6)
    assert ids(rollouts.useful) == [2, 5]
    assert (source.cursor, len(pool.calls), rollouts.zero_signal["all_wrong"]) == (6, 1, 4)
    assert ids(source.next_update(3).useful) == [8]
    assert source.cursor == 9


def test_the_next_update_continues_where_the_last_one_ended() -> None:
    source, _ = make(every(2))
    first, second = source.next_update(2), source.next_update(2)
    assert ids(first.sampled) + ids(second.sampled) == list(range(source.cursor))
    assert (ids(first.useful), ids(second.useful)) == ([1, 3], [5, 7])


def test_a_restored_cursor_repeats_the_same_groups() -> None:
    source, _ = make(every(2), budget_frac=0.5)
    source.next_update(2)
    state = source.state()
    expected = source.next_update(3)
    again, pool = make(every(2), budget_frac=0.5)
    again.restore(state)
    assert again.next_update(3) == expected
    assert again.cursor == source.cursor
    assert pool.requests[0].group_id == state["cursor"]


def test_as_many_groups_are_asked_for_as_are_needed_at_the_share_of_useful_ones_so_far() -> None:
    source, pool = make(every(2), problems_per_batch=100)
    for _ in range(5):
        source.next_update(6)
    sizes = [len(batch) for call in pool.calls for batch in call]
    # Half are useful. 6, 3, 2, 1 without an expectation; later the first call has nearly enough.
    assert sizes == [6, 3, 2, 1, 8, 3, 2, 10, 2, 11, 11, 2]
    assert source.cursor == 61


def test_useful_groups_beyond_those_needed_are_not_trained_on() -> None:
    source, _ = make(lambda group_id: USEFUL if group_id % 2 or group_id > 9 else ZERO_SIGNAL)
    source.next_update(5)
    rollouts = source.next_update(5)
    assert len(rollouts.sampled) > len(rollouts.useful) == 5
    assert rollouts.useful == rollouts.sampled[:5]
    assert rollouts.zero_signal.total() == 0


def test_without_dynamic_sampling_the_share_of_useful_groups_changes_nothing() -> None:
    source, pool = make(every(3), dynamic_sampling=False, problems_per_batch=100)
    for _ in range(3):
        source.next_update(6)
    assert [len(batch) for call in pool.calls for batch in call] == [6, 6, 6]


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_batch_size_changes_nothing_but_the_batches(size: int) -> None:
    def rollouts(problems_per_batch: int) -> tuple[RolloutBatch, int, list[GroupRequest]]:
        source, pool = make(every(3), problems_per_batch=problems_per_batch, budget_frac=0.5)
        found = source.next_update(4)
        assert max(len(batch) for call in pool.calls for batch in call) <= problems_per_batch
        return found, source.cursor, pool.requests

    (one, cursor_one, asked_one), (two, cursor_two, asked_two) = rollouts(2), rollouts(size)
    assert (one.useful, one.sampled, one.zero_signal) == (two.useful, two.sampled, two.zero_signal)
    assert cursor_one == cursor_two
    assert asked_one == asked_two


@pytest.mark.parametrize(
    ("rewards", "cause"),
    [
        ([(V, 1.0), (V, 1.0)], "all_verified"),
        ([(C, 0.5), (C, 0.5)], "all_correct"),
        ([(W, 0.0), (W, 0.0)], "all_wrong"),
        ([(M, 0.0), (M, 0.0)], "all_malformed"),
        ([(T, 0.0), (T, 0.0)], "all_truncated"),
        ([(W, 0.0), (T, 0.0)], "all_equal"),
        ([(V, 0.5), (C, 0.5)], "all_equal"),
        # Equal up to rounding is equal.
        ([(V, 0.1 + 0.2), (V, 0.3)], "all_verified"),
        ([(V, 1.0), (V, 0.9)], None),
        ([(W, 0.0), (W, 0.001)], None),
    ],
)
def test_the_cause_of_a_zero_signal_group(rewards: list[tuple[Outcome, float]], cause: str | None) -> None:
    assert zero_signal_cause(group(0, rewards)) == cause


def test_decoupled_groups_are_compared_by_their_answers() -> None:
    """Right answers with other rewards are replaced, where only right and wrong answers are compared."""
    script = [[(V, 1.0), (V, 0.5)], USEFUL, [(W, 0.0), (W, 0.2)], USEFUL]
    source, _ = make(lambda group_id: script[group_id], zero_signal=partial(zero_signal_cause, decoupled=True))
    assert [g.group_id for g in source.next_update(2).useful] == [1, 3]


def test_causes_are_counted() -> None:
    script = [[(W, 0.0)] * 2, [(V, 1.0)] * 2, [(W, 0.0)] * 2, [(T, 0.0), (M, 0.0)], USEFUL]
    source, _ = make(lambda group_id: script[group_id], dynamic_sampling=False)
    rollouts = source.next_update(5)
    assert rollouts.zero_signal == {"all_wrong": 2, "all_verified": 1, "all_equal": 1}
    assert ids(rollouts.useful) == [4]


def test_budgets_are_between_half_and_all_of_the_steps() -> None:
    source, pool = make(every(1), budget_frac=1.0, problems_per_batch=50)
    source.next_update(400)
    seen = set()
    for request in pool.requests:
        full = ENV.problem(Split.TRAIN, request.index).num_full_steps
        assert request.budget is not None
        assert full / 2 <= request.budget <= full
        seen.add((full, request.budget))
    # All four budgets of seven steps, both ends included.
    assert {budget for full, budget in seen if full == 7} == {4, 5, 6, 7}
    assert {budget for full, budget in seen if full == 1} <= {1}


def test_share_of_budgets() -> None:
    source, pool = make(every(1), budget_frac=0.25, problems_per_batch=50)
    source.next_update(800)
    # 800 draws of 1/4: 200, standard deviation 12.2; five of them.
    assert abs(sum(request.budget is not None for request in pool.requests) - 200) < 62


def test_budgets_depend_on_the_run_seed() -> None:
    def budgets(seed: int) -> list[int | None]:
        source, pool = make(every(1), budget_frac=0.5, seed=seed)
        source.next_update(40)
        return [request.budget for request in pool.requests]

    assert budgets(5) == budgets(5) != budgets(6)


# ---- completions no grader could judge ----


def test_a_group_left_with_one_sample_is_zero_signal_and_is_replaced() -> None:
    source, _ = make(every(1), lost={1: 1}, max_ungraded=1)
    rollouts = source.next_update(3)
    assert ids(rollouts.useful) == [0, 2, 3]
    assert rollouts.zero_signal == {"ungraded": 1}


def test_too_many_ungraded_completions_end_the_run() -> None:
    source, _ = make(every(1), lost={0: 1, 8: 2}, max_ungraded=2)
    source.next_update(3)  # one, allowed
    source.next_update(3)
    with pytest.raises(
        GraderError,
        match=r"^3 completions could not be graded, more than rollout.max_ungraded \(2\); the last one, "
        r"of directional/train/8: no grader$",
    ):
        source.next_update(3)


def test_an_update_without_any_graded_completion_is_an_error() -> None:
    source, _ = make(every(1), lost={0: 2, 1: 2}, max_ungraded=9, max_resamples=0)
    with pytest.raises(GraderError, match=r"^no completion of an update could be graded: no grader$"):
        source.next_update(2)


def test_rewards_see_the_updates_before_and_no_others() -> None:
    source, pool = make(every(2), history=RunHistory())
    source.next_update(2)  # with dynamic sampling, whose groups do not see each other
    source.next_update(1)
    histories = [{request.history for batch in call for request in batch} for call in pool.calls]
    assert [{history and history.update for history in call} for call in histories] == [{0}, {0}, {0}, {1}]
    assert make(every(1))[0].state() == {"cursor": 0, "ungraded": 0, "useful_share": 1.0}


def test_a_source_continues_from_its_state() -> None:
    source, _ = make(every(2), history=RunHistory())
    source.next_update(3)
    state = json.loads(json.dumps(source.state()))
    expected = source.next_update(2), source.state()
    again, _ = make(every(2), history=RunHistory())
    again.restore(state)
    assert (again.next_update(2), again.state()) == expected


def test_problems_with_long_prompts_are_passed_over() -> None:
    """Every third does not fit: of the problems 0 to 7, the six that do make three updates of two groups."""
    source, _ = make(lambda group_id: USEFUL, fits=lambda problem: problem.index % 3 != 1)
    batches = [source.next_update(2) for _ in range(3)]
    assert [ids(batch.sampled) for batch in batches] == [[0, 2], [3, 5], [6, 8]]
    assert [batch.num_skipped for batch in batches] == [1, 1, 1]
    assert source.state()["cursor"] == 9
    resumed, _ = make(lambda group_id: USEFUL, fits=lambda problem: problem.index % 3 != 1)
    resumed.restore({"cursor": 3, "ungraded": 0})
    assert ids(resumed.next_update(2).sampled) == [3, 5]


def test_a_prompt_is_measured_with_its_budget() -> None:
    seen: list[Problem] = []
    source, pool = make(lambda group_id: USEFUL, budget_frac=1.0, fits=lambda problem: not seen.append(problem))
    source.next_update(3)
    assert [problem.budget for problem in seen] == [request.budget for request in pool.requests]
    assert None not in {problem.budget for problem in seen}


def test_problems_of_which_none_fits_are_an_error() -> None:
    source, _ = make(lambda group_id: USEFUL, fits=lambda problem: False)
    with pytest.raises(PromptTooLongError, match=r"10,000 train problems in a row, up to train 9999, are over"):
        source.next_update(1)
