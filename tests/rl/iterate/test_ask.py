"""Answers are kept batch by batch: what a file has of whole batches is not sampled again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from configs import Config, check_config
from envs import Problem, Split, make_env
from rewards import Outcome, RewardSum, Term
from rl.iterate.ask import Request, answer, cell_problems, requests_on
from rl.iterate.files import asked_log
from rl.iterate.mix import train_problems
from rl.iterate.record import AnswerRow, ModelKind
from rollout.types import Batch, GroupRequest, RolloutGroup, Sampling
from tests.kit.problems import check_text
from tests.kit.rollouts import make_group, score_texts
from tests.kit.scripted_pool import ScriptedPool

SETTINGS = {"train": ["1_1", "3_2"], "ood_easy": ["4_2"]}
ENV = make_env("addition", SETTINGS)
HARDER = make_env("addition", {**SETTINGS, "ood_easy": ["5_2"]})
REWARDS = RewardSum([Term(name="correct", weight=1.0)])


def config(**evaluation: Any) -> Config:
    return check_config(
        {
            "env": {"name": "addition", "settings": SETTINGS},
            "warm_start": {"num_problems": 6},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "rollout": {"max_new_tokens": 90},
            "eval": {"problems_per_batch": 4, **evaluation},
            "iterate": {},
        }
    )


def solve(request: GroupRequest) -> RolloutGroup:
    """The right answer, after as many lines as were asked for (without a request, two)."""
    env = HARDER if request.env else ENV
    problem = env.with_budget(env.problem(request.split, request.index), request.budget)
    text = (
        "line\n" * (2 if request.budget is None else request.budget) + f"Thus, the answer is {problem.answer}."
    )
    samples = score_texts(problem, [check_text(problem, text)], [text], [7], REWARDS)
    return make_group(problem, samples, number=request.group_id)


def ask(
    path: Path,
    pool: Any,
    requests: Sequence[Request] | None = None,
    *,
    fits: Callable[[Problem], bool] = lambda problem: True,
    **evaluation: Any,
) -> list[AnswerRow]:
    loop = config(**evaluation)
    if requests is None:
        requests = requests_on(ENV, "train", train_problems(ENV, loop), (1, 2))
    return answer(pool, loop, requests, asked_log(path, 1), number=0, kind=ModelKind.CONDITIONED, fits=fits)


def test_what_is_asked_for_and_what_is_kept(tmp_path: Path) -> None:
    pool = ScriptedPool(solve)
    rows = ask(tmp_path, pool)
    assert [row.key for row in rows] == [("train", index, fewer) for fewer in (1, 2) for index in range(6)]
    for row in rows:
        assert row.fewer is not None and row.asked is not None
        wanted = row.full_steps - row.fewer if row.full_steps > row.fewer else row.full_steps
        assert row.asked == row.steps == wanted
        assert row.kept == (row.asked < row.full_steps)
        assert (row.outcome, row.verified, row.invalid) == (Outcome.CORRECT, False, row.steps)
    assert {row.asked for row in rows if row.full_steps == 1} == {1}  # nothing less can be asked for
    assert {sampling.temperature for sampling in pool.samplings if sampling} == {0.0}
    assert [len(batch) for call in pool.calls for batch in call] == [4, 4, 4]
    assert rows == asked_log(tmp_path, 1).read()


def test_whole_batches_are_not_sampled_again(tmp_path: Path) -> None:
    whole = ask(tmp_path / "whole", ScriptedPool(solve))
    log = asked_log(tmp_path / "cut", 1)
    log.path.parent.mkdir(parents=True)
    log.append(*whole[4:8], *whole[:3])  # batch 1 is whole, of batch 0 a row is missing
    with log.path.open("a") as file:
        file.write('{"format": 1, "rou')
    pool = ScriptedPool(solve)
    assert ask(tmp_path / "cut", pool) == whole
    assert [[request.group_id for request in batch] for call in pool.calls for batch in call] == [
        [0, 1, 2, 3],
        [8, 9, 10, 11],
    ]
    assert log.path.read_bytes() == asked_log(tmp_path / "whole", 1).path.read_bytes()


class Backwards(ScriptedPool):
    """Actors: the last batch is done first."""

    def rollout(
        self,
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None = None,
        *,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> list[Batch]:
        return super().rollout(batches[::-1], sampling, on_batch=on_batch)[::-1]


def test_the_order_in_which_actors_are_done_leaves_no_trace(tmp_path: Path) -> None:
    assert ask(tmp_path / "one", ScriptedPool(solve)) == ask(tmp_path / "two", Backwards(solve))
    one, two = (asked_log(tmp_path / name, 1).path.read_bytes() for name in ("one", "two"))
    assert one == two


def test_nothing_is_prepared_where_all_is_there(tmp_path: Path) -> None:
    rows = ask(tmp_path, ScriptedPool(solve))
    pool = ScriptedPool(solve)
    requests = requests_on(ENV, "train", train_problems(ENV, config()), (1, 2))
    prepared: list[int] = []
    again = answer(
        pool,
        config(),
        requests,
        asked_log(tmp_path, 1),
        number=0,
        kind=ModelKind.CONDITIONED,
        fits=lambda problem: True,
        prepare=lambda: prepared.append(1),
    )
    assert (again, pool.calls, prepared) == (rows, [], [])


def test_prompts_over_the_limit_are_left_out(tmp_path: Path) -> None:
    rows = ask(tmp_path, ScriptedPool(solve), fits=lambda problem: problem.index != 2)
    assert sorted({row.index for row in rows}) == [0, 1, 3, 4, 5]


def test_an_answer_that_could_not_be_graded_is_no_answer(tmp_path: Path) -> None:
    def fail(request: GroupRequest) -> RolloutGroup:
        group = solve(request)
        return make_group(group.problem, [], number=request.group_id)

    rows = ask(tmp_path, ScriptedPool(fail))
    assert {(row.outcome, row.kept, row.correct) for row in rows} == {(None, False, False)}


def test_cells_have_length_limits_and_environments_of_their_own(tmp_path: Path) -> None:
    requests = [
        *requests_on(ENV, "id", cell_problems(ENV, Split.ID, 2), (None,)),
        *requests_on(ENV, "ood_easy", cell_problems(ENV, Split.OOD_EASY, 2), (None,)),
        *requests_on(HARDER, "validation", cell_problems(HARDER, Split.OOD_EASY, 2), (None,)),
    ]
    pool = ScriptedPool(solve)
    rows = ask(tmp_path, pool, requests, max_new_tokens={"ood_easy": 200})
    assert [sampling and sampling.max_new_tokens for sampling in pool.samplings] == [90, 200, 200]
    assert [request.env for request in pool.requests] == ["", "", "", "", "validation", "validation"]
    assert [row.bucket for row in rows][2:] == ["4_2", "4_2", "5_2", "5_2"]
    assert {(row.asked, row.fewer, row.kept) for row in rows} == {(None, None, False)}


@pytest.mark.parametrize("fewer", [1, 2, 3])
def test_a_request_below_one_step_asks_for_all(fewer: int) -> None:
    problem = next(p for p in cell_problems(ENV, Split.ID, 20) if p.num_full_steps == 3)
    (request,) = requests_on(ENV, "id", [problem], (fewer,))
    assert request.problem.budget == {1: 2, 2: 1, 3: 3}[fewer]
