"""Greedy answers of a model to requests, kept batch by batch.

In: a pool, and the requests. Out: an `AnswerRow` for each request, in a file that an
interrupted run goes on from: batches that it has whole are not sampled again. A batch has the same requests
either way, so every answer is the same, token for token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from configs import Config
from configs.schema.iterate import IterateConfig
from envs import Env, Problem, Split, Verdict
from envs.own import draw_problem
from envs.trace import StepKind
from rl.iterate.mix import is_kept
from rl.iterate.record import TRAIN, VALIDATION, AnswerRow, ModelKind
from rl.runs.log import RowLog
from rollout.pools.base import RolloutPool
from rollout.source import steps_asked
from rollout.types import Batch, GroupRequest, RolloutGroup, Sampling
from rollout.ungraded_limit import UngradedLimit


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One question to a model.

    Attributes:
        problem: The problem, with the steps asked for as its budget.
        cell: Where it is from; see `AnswerRow.cell`.
        fewer: See `AnswerRow.fewer`.
        bucket: Its difficulty bucket.
    """

    problem: Problem
    cell: str
    fewer: int | None
    bucket: str | None

    @property
    def key(self) -> tuple[str, int, int | None]:
        """What it asks; once in a list of requests."""
        return self.cell, self.problem.index, self.fewer


def requests_on(
    env: Env[Any], cell: str, problems: Sequence[Problem], fewer: Sequence[int | None]
) -> list[Request]:
    """For each way to ask, a request for each problem.

    Args:
        env: The task of the problems.
        cell: Their cell.
        problems: The problems.
        fewer: Steps less than full that are asked for; None asks for no number of steps.
    """
    return [
        Request(
            problem=env.with_budget(
                problem, None if less is None else steps_asked(problem.num_full_steps, less)
            ),
            cell=cell,
            fewer=less,
            bucket=env.bucket(problem),
        )
        for less in fewer
        for problem in problems
    ]


def cell_problems(env: Env[Any], split: Split, num: int) -> list[Problem]:
    """The first problems of a split that is evaluated."""
    return [draw_problem(env, split, index) for index in range(num)]


def answer(
    pool: RolloutPool,
    config: Config,
    requests: Sequence[Request],
    log: RowLog[AnswerRow],
    *,
    number: int,
    kind: ModelKind,
    fits: Callable[[Problem], bool],
    prepare: Callable[[], None] = lambda: None,
    on_batch: Callable[[int], None] = lambda done: None,
) -> list[AnswerRow]:
    """Have all requests answered, and write the answers.

    Args:
        pool: Samples the answers.
        config: Its `rollout`, `eval`, `iterate` and `seed` are used.
        requests: The requests.
        log: The file; what it has of the requests is kept.
        number: Round of the model.
        kind: Which of its models.
        fits: Whether a problem's prompt is within the limit; the others are left out.
        prepare: Called before anything is sampled: gives the pool the model. Not called if all is there.
        on_batch: Called with the number of answers so far.

    Returns:
        The rows, in the order of the requests.

    Raises:
        GraderError: Graders failed on more answers than `rollout.max_ungraded`.
        RunFolderError: The file has another format or is damaged.
    """
    loop = config.iterate
    assert loop is not None
    asked = [request for request in requests if fits(request.problem)]
    calls = _calls(asked, config.eval.problems_per_batch)
    rows = _whole_batches(log, [batch for _, batches in calls for batch in batches])
    ungraded = UngradedLimit(config.rollout.max_ungraded)
    ungraded.count = sum(row.outcome is None for row in rows.values())

    def take(batch: Batch) -> None:
        made = [_row(asked[group.group_id], group, loop, number, kind) for group in batch.groups]
        log.append(*made)
        rows.update({row.key: row for row in made})
        for group in batch.groups:
            ungraded.add(group)
        on_batch(len(rows))

    prepared = False
    for cell, batches in calls:
        pending = [batch for batch in batches if not all(one.key in rows for _, one in batch)]
        if not pending:
            continue
        if not prepared:
            prepare()
            prepared = True
        requested = [[_group_request(id_, one, config.seed) for id_, one in batch] for batch in pending]
        split = Split.OOD_EASY if cell == VALIDATION else Split(cell)
        limit = config.eval.max_new_tokens.get(split.value, config.rollout.max_new_tokens)
        pool.rollout(requested, Sampling(temperature=0.0, max_new_tokens=limit), on_batch=take)
    ordered = [rows[request.key] for request in asked]
    if list(rows.values()) != ordered:  # actors answer in any order
        log.replace(ordered)
    return ordered


_Numbered = tuple[int, Request]  # its group id: its place among the requests


def _calls(requests: Sequence[Request], size: int) -> list[tuple[str, list[list[_Numbered]]]]:
    """The requests by cell, in batches; cells have length limits of their own."""
    calls = []
    for cell, found in groupby(enumerate(requests), key=lambda one: one[1].cell):
        numbered = list(found)
        calls.append((cell, [numbered[at : at + size] for at in range(0, len(numbered), size)]))
    return calls


def _whole_batches(
    log: RowLog[AnswerRow], batches: Sequence[Sequence[_Numbered]]
) -> dict[tuple[str, int, int | None], AnswerRow]:
    """The answers that a file has of whole batches, in order; others are dropped from it."""
    log.path.parent.mkdir(parents=True, exist_ok=True)
    if not log.path.exists():
        return {}
    found = {row.key: row for row in log.read()}
    whole = [batch for batch in batches if all(request.key in found for _, request in batch)]
    rows = {request.key: found[request.key] for batch in whole for _, request in batch}
    log.replace(rows.values())
    return rows


def _group_request(group_id: int, request: Request, seed: int) -> GroupRequest:
    problem = request.problem
    return GroupRequest(
        group_id=group_id,
        split=problem.split,
        index=problem.index,
        budget=problem.budget,
        num_samples=1,
        seed=seed,
        evaluation=True,
        env=VALIDATION if request.cell == VALIDATION else "",
    )


def _row(request: Request, group: RolloutGroup, loop: IterateConfig, number: int, kind: ModelKind) -> AnswerRow:
    problem, sample = request.problem, group.samples[0] if group.samples else None
    steps = sample.trace.steps if sample else ()
    checked = sample is not None and sample.trace.steps_checked
    row = AnswerRow(
        round=number,
        model=kind,
        cell=request.cell,
        index=problem.index,
        bucket=request.bucket,
        fewer=request.fewer,
        asked=problem.budget,
        full_steps=problem.num_full_steps,
        steps=sum(step.kind is not StepKind.BACKTRACK for step in steps),
        outcome=sample.score.outcome if sample else None,
        steps_checked=checked,
        invalid=sum(step.verdict is Verdict.INVALID for step in steps) if checked else None,
        tokens=len(sample.completion.ids) if sample else 0,
        text=sample.text if sample else "",
        stated=sample.trace.answer if sample else None,
    )
    return replace(row, kept=request.cell == TRAIN and is_kept(row, loop))
