"""Results on the problems that all cases share, where some were evaluated on more.

In: a case and, by split, the number of shared problems. Out: the same case, its results computed again from the
completions of those problems. Figures of samples beside greedy completions, kinds of backtracks, errors,
difficulty buckets, merged lines, uses of lines and empty thoughts are not computed from the completions and
stay unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from rewards import Outcome
from rl.compare.results import CaseRecord, StageRecord, TraceFacts
from rl.runs.record import LengthResult, SplitResult
from rl.stats.intervals import clustered_interval


def on_shared_problems(case: CaseRecord, shared: Mapping[str, int]) -> CaseRecord:
    """A case whose results and completions are those of the first problems of some splits.

    Args:
        case: The case.
        shared: Number of problems by split; other splits stay as they are.
    """
    seeds = {
        seed: replace(record, stages=tuple(_restricted(stage, shared) for stage in record.stages))
        for seed, record in case.seeds.items()
    }
    return replace(case, seeds=seeds)


def _restricted(stage: StageRecord, shared: Mapping[str, int]) -> StageRecord:
    traces = {
        split: {index: facts for index, facts in found.items() if split not in shared or index < shared[split]}
        for split, found in stage.traces.items()
    }
    kept = {split: result for split, result in stage.results.items() if split not in shared}
    again = {
        split: result_of(list(traces[split].values()), like=result)
        for split, result in stage.results.items()
        if split in shared and traces.get(split)
    }
    order = [split for split in stage.results if split in kept or split in again]
    return replace(stage, traces=traces, results={split: (kept | again)[split] for split in order})


def result_of(problems: Sequence[Sequence[TraceFacts]], *, like: SplitResult) -> SplitResult:
    """The result of at least one problem, with the figures that can be computed from completions.

    Args:
        problems: The completions of each problem.
        like: The result on more problems: says how they were decoded, and under which length limits they were
            judged.
    """
    traces = [trace for problem in problems for trace in problem]
    right = [trace for trace in traces if trace.correct]
    checked = [trace for trace in traces if trace.steps_checked]
    low, high = _interval(problems, lambda trace: trace.correct)
    steps = _mean([trace.steps for trace in right])
    return SplitResult(
        greedy=like.greedy,
        num_problems=len(problems),
        skipped=0,
        ungraded=0,
        accuracy=len(right) / len(traces),
        accuracy_low=low,
        accuracy_high=high,
        verified=_mean([trace.outcome is Outcome.VERIFIED for trace in checked]),
        steps_per_correct=steps,
        full_steps_per_correct=_mean([trace.full_steps for trace in right]),
        full_steps=fmean(trace.full_steps for trace in traces),
        steps_saved=_mean([1.0 - one.steps / one.full_steps for one in right if one.steps_checked]),
        invalid_steps=_mean([trace.invalid for trace in checked]),
        backtracks=fmean(trace.backtracks for trace in traces),
        real_backtracks=None,
        fake_backtracks=None,
        needed_backtracks=None,
        needless_backtracks=None,
        backtrack_depth=None,
        wasted_steps=_mean([trace.wasted for trace in checked]),
        tokens=fmean(trace.tokens for trace in traces),
        truncated=fmean(trace.outcome is Outcome.TRUNCATED for trace in traces),
        sampled_accuracy=None if like.greedy else len(right) / len(traces),
        sampled_steps_per_correct=None if like.greedy else steps,
        pass_at_k={},
        errors={},
        buckets={},
        by_length={limit: _within(problems, int(limit)) for limit in like.by_length},
        strict_accuracy=_mean([bool(trace.strict) for trace in traces])
        if all(trace.strict is not None for trace in traces)
        else None,
    )


def _within(problems: Sequence[Sequence[TraceFacts]], limit: int) -> LengthResult:
    def is_right(trace: TraceFacts) -> bool:
        return trace.correct and trace.tokens <= limit

    traces = [trace for problem in problems for trace in problem]
    low, high = _interval(problems, is_right)
    return LengthResult(
        accuracy=fmean(map(is_right, traces)),
        accuracy_low=low,
        accuracy_high=high,
        tokens=fmean(min(trace.tokens, limit) for trace in traces),
        truncated=fmean(trace.tokens > limit or trace.outcome is Outcome.TRUNCATED for trace in traces),
    )


def _interval(
    problems: Sequence[Sequence[TraceFacts]], counts: Callable[[TraceFacts], bool]
) -> tuple[float, float]:
    return clustered_interval([(sum(map(counts, problem)), len(problem)) for problem in problems])


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
