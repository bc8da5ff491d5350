"""Evaluation: a policy on fixed problems of each split, decoded greedily, with k samples, or both.

In: a pool that holds the weights to judge. Out: a `SplitResult` for each split, and the groups behind it. The
same problems are used at every stage, so results can be compared problem by problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from configs.schema.config import Config
from envs import Env, GraderError, Problem, Split
from envs.own import draw_problem
from rl.runs.record import SplitResult
from rl.summarise import summarise
from rollout.pools.base import RolloutPool
from rollout.types import Batch, GroupRequest, RolloutGroup, Sampling
from rollout.ungraded_limit import UngradedLimit

Groups = dict[str, tuple[RolloutGroup, ...]]
"""Groups by split."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One stage's results by split, and the graded groups behind them.

    Attributes:
        results: Results.
        greedy: Groups of one greedy completion; none with `eval.greedy: false`.
        sampled: Groups of `eval.num_samples` samples; none where that is 0.
    """

    results: dict[str, SplitResult]
    greedy: Groups
    sampled: Groups

    def headline(self, split: str) -> tuple[RolloutGroup, ...]:
        """The groups behind the headline figures of a split: the greedy ones if there are any."""
        return self.greedy[split] or self.sampled[split]


def num_completions(config: Config) -> int:
    """Completions that an evaluation samples, of all splits."""
    evaluation = config.eval
    return len(evaluation.splits) * evaluation.num_problems * (evaluation.greedy + evaluation.num_samples)


def evaluate(
    pool: RolloutPool,
    config: Config,
    env: Env[Any],
    *,
    fits: Callable[[Problem], bool] = lambda problem: True,
    on_batch: Callable[[str, int], None] = lambda split, done: None,
) -> Evaluation:
    """Evaluate the weights a pool holds.

    Args:
        pool: Samples the completions.
        config: Its `eval`, `rollout` and `seed` are used.
        env: Makes the problems and names the errors.
        fits: Whether a problem is used.
        on_batch: Called after each engine call, with the split and the number of completions sampled so far.

    Raises:
        GraderError: Graders failed on more completions than allowed, or on all of a split.
    """
    settings = config.eval
    ungraded = UngradedLimit(config.rollout.max_ungraded)
    found = Evaluation(results={}, greedy={}, sampled={})
    num_done = 0

    knows = env.defines("remaining")

    def count(split: str, batch: Batch) -> None:
        nonlocal num_done
        num_done += sum(len(group.samples) + group.ungraded for group in batch.groups)
        on_batch(split, num_done)

    for name in settings.splits:
        limit = settings.max_new_tokens.get(name, config.rollout.max_new_tokens)
        greedy, sampled = list[RolloutGroup](), list[RolloutGroup]()
        used = [index for index in range(settings.num_problems) if fits(draw_problem(env, Split(name), index))]
        if settings.greedy:
            best = Sampling(temperature=0.0, max_new_tokens=limit)
            greedy = _sample(pool, config, name, used, 1, best, ungraded, count, facts=knows)
        if settings.num_samples:
            warm = Sampling(
                temperature=settings.temperature,
                top_p=settings.top_p,
                top_k=settings.top_k,
                max_new_tokens=limit,
            )
            num = settings.num_samples
            sampled = _sample(pool, config, name, used, num, warm, ungraded, count, facts=knows)
        found.greedy[name] = tuple([group for group in greedy if group.samples])
        found.sampled[name] = tuple([group for group in sampled if group.samples])
        found.results[name] = summarise(
            greedy,
            sampled,
            skipped=settings.num_problems - len(used),
            limits=length_limits(config, limit),
            first_error=lambda problem, trace: env.part_of(problem).first_error(trace),
            bucket=env.bucket,
            merges=lambda problem: getattr(env.part_of(problem).settings, "max_merge", 1) > 1,
        )
    return found


def length_limits(config: Config, limit: int) -> list[int]:
    """The length limits that accuracy is measured under, in tokens, up to the limit of the evaluation.

    Example: 256 -> [16, 32, 64, 128, 256] with `eval.length_limits: null`.
    """
    lower = config.eval.length_limits
    if lower is None:
        lower = [limit >> halvings for halvings in range(1, 5)]
    return sorted({max(1, one) for one in lower} | {limit}) if lower else []


def _sample(
    pool: RolloutPool,
    config: Config,
    split: str,
    indices: Sequence[int],
    num_samples: int,
    sampling: Sampling,
    ungraded: UngradedLimit,
    on_batch: Callable[[str, Batch], None],
    *,
    facts: bool,
) -> list[RolloutGroup]:
    requests = [
        GroupRequest(
            group_id=index,
            split=Split(split),
            index=index,
            budget=None,
            num_samples=num_samples,
            seed=config.seed,
            evaluation=True,
            facts=facts,
        )
        for index in indices
    ]
    size = config.eval.problems_per_batch
    batches = [requests[start : start + size] for start in range(0, len(requests), size)]
    done = pool.rollout(batches, sampling, on_batch=partial(on_batch, split))
    groups = [group for batch in done for group in batch.groups]
    for group in groups:
        ungraded.add(group)
    if not any(group.samples for group in groups):
        raise GraderError(f"no completion of {split} could be graded: {groups[-1].failure}")
    return groups
