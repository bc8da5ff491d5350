"""Evaluation: a policy on fixed problems of each split, greedy and with k samples.

In: a pool that holds the weights to judge. Out: a `SplitResult` for each split, and the greedy groups for the
report. The same problems are used at every stage, so results can be compared problem by problem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from configs.schema.config import Config
from envs import Env, GraderError, Problem, Split, Status, Trace
from rl.runs.record import BucketResult, SplitResult
from rl.stats.intervals import pass_at_k, wilson_interval
from rollout.pools.base import RolloutPool
from rollout.types import Batch, GroupRequest, RolloutGroup, Sampling
from rollout.ungraded_limit import UngradedLimit


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One stage's results and the greedy groups behind them, by split."""

    results: dict[str, SplitResult]
    greedy: dict[str, tuple[RolloutGroup, ...]]


def num_completions(config: Config) -> int:
    """Completions that an evaluation samples, of all splits."""
    return len(config.eval.splits) * config.eval.num_problems * (1 + config.eval.num_samples)


def evaluate(
    pool: RolloutPool,
    config: Config,
    env: Env[Any],
    *,
    on_batch: Callable[[str, int], None] = lambda split, done: None,
) -> Evaluation:
    """Evaluate the weights a pool holds.

    Args:
        pool: Samples the completions.
        config: Its `eval`, `rollout` and `seed` are used.
        env: Names the errors.
        on_batch: Called after each engine call, with the split and the number of completions sampled so far.

    Raises:
        GraderError: Graders failed on more completions than allowed, or on all of a split.
    """
    ungraded = UngradedLimit(config.rollout.max_ungraded)
    results: dict[str, SplitResult] = {}
    greedy: dict[str, tuple[RolloutGroup, ...]] = {}
    num_done = 0

    def count(split: str, batch: Batch) -> None:
        nonlocal num_done
        num_done += sum(len(group.samples) + group.ungraded for group in batch.groups)
        on_batch(split, num_done)

    for name in config.eval.splits:
        limit = config.eval.max_new_tokens.get(name, config.rollout.max_new_tokens)
        best = _sample(pool, config, name, 1, Sampling(temperature=0.0, max_new_tokens=limit), ungraded, count)
        sampled: Sequence[RolloutGroup] = ()
        if config.eval.num_samples:
            warm = Sampling(temperature=config.eval.temperature, top_p=config.eval.top_p, max_new_tokens=limit)
            sampled = _sample(pool, config, name, config.eval.num_samples, warm, ungraded, count)
        greedy[name] = tuple([group for group in best if group.samples])
        results[name] = summarise(best, sampled, first_error=env.first_error, bucket=env.bucket)
    return Evaluation(results=results, greedy=greedy)


def _sample(
    pool: RolloutPool,
    config: Config,
    split: str,
    num_samples: int,
    sampling: Sampling,
    ungraded: UngradedLimit,
    on_batch: Callable[[str, Batch], None],
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
        )
        for index in range(config.eval.num_problems)
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


def summarise(
    greedy: Sequence[RolloutGroup],
    sampled: Sequence[RolloutGroup] = (),
    *,
    first_error: Callable[[Trace], str | None] = lambda trace: None,
    bucket: Callable[[Problem], str | None] = lambda problem: None,
) -> SplitResult:
    """Figures of one split from its groups.

    Args:
        greedy: One-sample groups, at least one of them graded; the others count as `ungraded` only.
        sampled: k-sample groups of the same problems; may be empty.
        first_error: Names what first went wrong in a trace.
        bucket: Names the difficulty of a problem.
    """
    pairs = [(group.problem, sample) for group in greedy for sample in group.samples]
    traces = [sample.trace for _, sample in pairs]
    right = [(problem, sample.trace) for problem, sample in pairs if sample.trace.correct]
    low, high = wilson_interval(len(right), len(pairs))
    samples = [sample for group in sampled for sample in group.samples]
    right_samples = [sample.trace for sample in samples if sample.trace.correct]
    return SplitResult(
        num_problems=len(pairs),
        ungraded=sum(group.ungraded for group in (*greedy, *sampled)),
        accuracy=len(right) / len(pairs),
        accuracy_low=low,
        accuracy_high=high,
        verified=fmean(trace.verified for trace in traces),
        steps_per_correct=_mean([trace.num_steps for _, trace in right]),
        full_steps_per_correct=_mean([problem.num_full_steps for problem, _ in right]),
        full_steps=fmean(problem.num_full_steps for problem, _ in pairs),
        steps_saved=_mean([1.0 - t.num_steps / p.num_full_steps for p, t in right]),
        invalid_steps=fmean(trace.num_invalid for trace in traces),
        backtracks=fmean(trace.num_backtracks for trace in traces),
        real_backtracks=fmean(trace.real_backtracks for trace in traces),
        fake_backtracks=fmean(trace.fake_backtracks for trace in traces),
        needed_backtracks=fmean(sum(back.needed is True for back in trace.backtracks) for trace in traces),
        needless_backtracks=fmean(trace.needless_backtracks for trace in traces),
        backtrack_depth=_mean([back.num_undone for trace in traces for back in trace.backtracks]),
        wasted_steps=fmean(trace.num_wasted for trace in traces),
        tokens=fmean(len(sample.completion.ids) for _, sample in pairs),
        truncated=fmean(trace.status is Status.TRUNCATED for trace in traces),
        sampled_accuracy=len(right_samples) / len(samples) if samples else None,
        sampled_steps_per_correct=_mean([trace.num_steps for trace in right_samples]),
        pass_at_k=_pass_curve(sampled),
        errors=_errors(traces, first_error),
        buckets=_buckets([(bucket(problem), sample.trace) for problem, sample in pairs], first_error),
    )


def _errors(traces: Sequence[Trace], first_error: Callable[[Trace], str | None]) -> dict[str, float]:
    found = Counter([str(error) for error in map(first_error, traces) if error is not None])
    return {name: count / len(traces) for name, count in sorted(found.items())}


def _buckets(
    named: Sequence[tuple[str | None, Trace]], first_error: Callable[[Trace], str | None]
) -> dict[str, BucketResult]:
    buckets: dict[str, list[Trace]] = {}
    for name, trace in named:
        if name is not None:
            buckets.setdefault(name, []).append(trace)
    if len(buckets) < 2:
        return {}
    results = {}
    for name, traces in sorted(buckets.items()):
        num_right = sum(bool(trace.correct) for trace in traces)
        low, high = wilson_interval(num_right, len(traces))
        results[name] = BucketResult(
            num_problems=len(traces),
            accuracy=num_right / len(traces),
            accuracy_low=low,
            accuracy_high=high,
            errors=_errors(traces, first_error),
        )
    return results


def _pass_curve(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    counts = [
        (len(group.samples), sum(bool(sample.trace.correct) for sample in group.samples)) for group in groups
    ]
    most = max([size for size, _ in counts], default=0)
    ks = sorted({2**power for power in range(most.bit_length())} | {most} - {0})
    return {
        str(k): fmean(pass_at_k(size, right, k) for size, right in counts if size >= k) for k in ks if k <= most
    }


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
