"""Results on the problems that all cases share, where some were evaluated on more.

In: a case and, by split, the number of shared problems. Out: the same case, its results computed again from the
completions of those problems. Figures of samples, kinds of backtracks, errors and difficulty buckets cannot be
computed from the completions and stay unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from rewards import Outcome
from rl.compare.results import CaseRecord, StageRecord, TraceFacts
from rl.runs.record import SplitResult
from rl.stats.intervals import wilson_interval


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
        split: result_of(list(traces[split].values()))
        for split in stage.results
        if split in shared and traces.get(split)
    }
    order = [split for split in stage.results if split in kept or split in again]
    return replace(stage, traces=traces, results={split: (kept | again)[split] for split in order})


def result_of(traces: Sequence[TraceFacts]) -> SplitResult:
    """The result of at least one greedy completion, with the figures that can be computed from completions."""
    right = [trace for trace in traces if trace.correct]
    low, high = wilson_interval(len(right), len(traces))
    return SplitResult(
        num_problems=len(traces),
        ungraded=0,
        accuracy=len(right) / len(traces),
        accuracy_low=low,
        accuracy_high=high,
        verified=fmean(trace.outcome is Outcome.VERIFIED for trace in traces),
        steps_per_correct=_mean([trace.steps for trace in right]),
        full_steps_per_correct=_mean([trace.full_steps for trace in right]),
        full_steps=fmean(trace.full_steps for trace in traces),
        steps_saved=_mean([1.0 - trace.steps / trace.full_steps for trace in right]),
        invalid_steps=fmean(trace.invalid for trace in traces),
        backtracks=fmean(trace.backtracks for trace in traces),
        real_backtracks=None,
        fake_backtracks=None,
        needed_backtracks=None,
        needless_backtracks=None,
        backtrack_depth=None,
        wasted_steps=fmean(trace.wasted for trace in traces),
        tokens=fmean(trace.tokens for trace in traces),
        truncated=fmean(trace.outcome is Outcome.TRUNCATED for trace in traces),
        sampled_accuracy=None,
        sampled_steps_per_correct=None,
        pass_at_k={},
        errors={},
        buckets={},
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
