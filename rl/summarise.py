"""The figures of one split from its completions.

In: groups of greedy completions and of samples. Out: a `SplitResult`. Its figures are those of the greedy
completions, or of all samples where nothing was decoded greedily.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean

from envs import Problem, Status, StepKind, Trace
from envs.faults import straight_backs
from envs.line_facts import LineUse
from rl.runs.record import BucketResult, LengthResult, SplitResult
from rl.stats.intervals import clustered_interval, pass_at_k
from rollout.types import RolloutGroup, Sample


def summarise(
    greedy: Sequence[RolloutGroup],
    sampled: Sequence[RolloutGroup] = (),
    *,
    skipped: int = 0,
    limits: Sequence[int] = (),
    first_error: Callable[[Problem, Trace], str | None] = lambda problem, trace: None,
    bucket: Callable[[Problem], str | None] = lambda problem: None,
    merges: Callable[[Problem], bool] = lambda problem: False,
) -> SplitResult:
    """Figures of one split from its groups.

    Args:
        greedy: One-sample groups; none where nothing was decoded greedily.
        sampled: k-sample groups of the same problems; may be empty if `greedy` is not.
        skipped: Problems that were left out.
        limits: Length limits in tokens to judge the same completions under.
        first_error: Names what first went wrong in a trace of a problem.
        bucket: Names the difficulty of a problem.
        merges: Whether a line may do more than one elementary step of a problem.

    Raises:
        ValueError: No completion was graded.
    """
    groups = [group for group in greedy or sampled if group.samples]
    pairs = [(group.problem, sample) for group in groups for sample in group.samples]
    traces = [sample.trace for _, sample in pairs]
    checked = [trace for trace in traces if trace.steps_checked]
    right = [(problem, sample.trace) for problem, sample in pairs if sample.trace.correct]
    low, high = _interval(groups, _is_right)
    samples = [sample for group in sampled for sample in group.samples]
    right_samples = [sample.trace for sample in samples if sample.trace.correct]
    return SplitResult(
        greedy=bool(greedy),
        num_problems=len(groups),
        skipped=skipped,
        ungraded=sum(group.ungraded for group in (*greedy, *sampled)),
        accuracy=len(right) / len(pairs),
        accuracy_low=low,
        accuracy_high=high,
        verified=_mean([trace.verified for trace in checked]),
        steps_per_correct=_mean([trace.num_steps for _, trace in right]),
        full_steps_per_correct=_mean([problem.num_full_steps for problem, _ in right]),
        full_steps=fmean(problem.num_full_steps for problem, _ in pairs),
        steps_saved=_mean([1.0 - t.num_steps / p.num_full_steps for p, t in right if t.steps_checked]),
        invalid_steps=_mean([trace.num_invalid for trace in checked]),
        backtracks=fmean(trace.num_backtracks for trace in traces),
        real_backtracks=_mean([trace.real_backtracks for trace in checked]),
        fake_backtracks=_mean([trace.fake_backtracks for trace in checked]),
        needed_backtracks=_mean([sum(back.needed is True for back in trace.backtracks) for trace in checked]),
        needless_backtracks=_mean([trace.needless_backtracks for trace in checked]),
        backtrack_depth=_mean([back.num_undone for trace in checked for back in trace.backtracks]),
        wasted_steps=_mean([trace.num_wasted for trace in checked]),
        tokens=fmean(len(sample.completion.ids) for _, sample in pairs),
        truncated=fmean(trace.status is Status.TRUNCATED for trace in traces),
        sampled_accuracy=len(right_samples) / len(samples) if samples else None,
        sampled_steps_per_correct=_mean([trace.num_steps for trace in right_samples]),
        pass_at_k=_pass_curve(sampled),
        errors=_errors(groups, first_error),
        buckets=_buckets(groups, first_error, bucket),
        by_length={str(limit): _within(groups, limit) for limit in limits},
        strict_accuracy=fmean(trace.strictly_correct for trace in traces),
        merged_lines=_merged_lines([sample for problem, sample in pairs if merges(problem)]),
        **_line_uses([sample for _, sample in pairs]),
        straight_back=_straight_back([sample for _, sample in pairs]),
        empty_thoughts=fmean(_is_empty(sample) for _, sample in pairs),
        empty_by_difficulty=_empty_by_difficulty(pairs, bucket),
    )


def _is_right(sample: Sample) -> bool:
    return bool(sample.trace.correct)


def _merged_lines(samples: Sequence[Sample]) -> float | None:
    """The share of merged lines among the lines of all verified traces."""
    return _mean(
        [
            fact.is_merged
            for sample in samples
            if sample.trace.verified
            for step, fact in zip(sample.trace.steps, sample.facts or (), strict=sample.facts is not None)
            if step.kind is StepKind.FORWARD and not step.undone and fact.progress is not None
        ]
    )


def _line_uses(samples: Sequence[Sample]) -> dict[str, float | None]:
    """The share of each use among all lines whose use is known, by the name of its figure.

    Traces of tasks that do not say what remains are left out: of their lines, wrong ones alone are known.
    """
    known = [sample.facts for sample in samples if sample.facts and sample.facts[0].before is not None]
    found = Counter([fact.use for facts in known for fact in facts])
    del found[LineUse.UNKNOWN]
    names = {use: f"{use.value}_lines" for use in LineUse if use is not LineUse.UNKNOWN}
    return {name: found[use] / found.total() if found else None for use, name in names.items()}


def _straight_back(samples: Sequence[Sample]) -> float | None:
    """The share of the backtracks from a dead end that led out of it."""
    return _mean(
        [out for sample in samples if sample.facts for out in straight_backs(sample.trace, sample.facts)]
    )


def _is_empty(sample: Sample) -> bool:
    """Whether a completion states an answer without a step before it."""
    return sample.trace.answer is not None and not sample.trace.steps


def _empty_by_difficulty(
    pairs: Sequence[tuple[Problem, Sample]], bucket: Callable[[Problem], str | None]
) -> dict[str, float] | None:
    """The share of empty thoughts of each difficulty, the easiest first; None where no thought is empty."""
    if not any(_is_empty(sample) for _, sample in pairs):
        return None
    found: dict[str, list[bool]] = {}
    for problem, sample in sorted(pairs, key=lambda pair: pair[0].difficulty):
        found.setdefault(bucket(problem) or str(problem.difficulty), []).append(_is_empty(sample))
    return {name: fmean(empty) for name, empty in found.items()} if len(found) > 1 else None


def _interval(groups: Sequence[RolloutGroup], counts: Callable[[Sample], bool]) -> tuple[float, float]:
    return clustered_interval([(sum(map(counts, group.samples)), len(group.samples)) for group in groups])


def _within(groups: Sequence[RolloutGroup], limit: int) -> LengthResult:
    """The result under a lower length limit.

    The seeds fix the tokens of a completion whatever its limit, so a lower one gives the beginning of the same
    completion. Cut off, it has no answer; so nothing needs to be sampled or graded again.
    """

    def is_right(sample: Sample) -> bool:
        return _is_right(sample) and len(sample.completion.ids) <= limit

    samples = [sample for group in groups for sample in group.samples]
    lengths = [len(sample.completion.ids) for sample in samples]
    low, high = _interval(groups, is_right)
    return LengthResult(
        accuracy=fmean(map(is_right, samples)),
        accuracy_low=low,
        accuracy_high=high,
        tokens=fmean(min(length, limit) for length in lengths),
        truncated=fmean(
            length > limit or sample.trace.status is Status.TRUNCATED
            for length, sample in zip(lengths, samples, strict=True)
        ),
    )


def _errors(
    groups: Sequence[RolloutGroup], first_error: Callable[[Problem, Trace], str | None]
) -> dict[str, float]:
    errors = [first_error(group.problem, sample.trace) for group in groups for sample in group.samples]
    found = Counter([str(error) for error in errors if error is not None])
    return {name: count / len(errors) for name, count in sorted(found.items())}


def _buckets(
    groups: Sequence[RolloutGroup],
    first_error: Callable[[Problem, Trace], str | None],
    bucket: Callable[[Problem], str | None],
) -> dict[str, BucketResult]:
    buckets: dict[str, list[RolloutGroup]] = {}
    for group in groups:
        if (name := bucket(group.problem)) is not None:
            buckets.setdefault(name, []).append(group)
    if len(buckets) < 2:
        return {}
    results = {}
    for name in sorted(buckets, key=_by_number):
        found = buckets[name]
        samples = [sample for group in found for sample in group.samples]
        low, high = _interval(found, _is_right)
        results[name] = BucketResult(
            num_problems=len(found),
            accuracy=fmean(map(_is_right, samples)),
            accuracy_low=low,
            accuracy_high=high,
            errors=_errors(found, first_error),
            steps_per_correct=_mean([one.trace.num_steps for one in samples if one.trace.correct]),
            backtracks_per_correct=_mean([one.trace.num_backtracks for one in samples if one.trace.correct]),
            straight_back=_straight_back(samples),
        )
    return results


def _by_number(name: str) -> list[str | int]:
    """Sorts "9" before "10" and "3_2" before "12_1"."""
    return [int(part) if number % 2 else part for number, part in enumerate(re.split(r"([0-9]+)", name))]


def _pass_curve(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    counts = [(len(group.samples), sum(map(_is_right, group.samples))) for group in groups]
    most = max([size for size, _ in counts], default=0)
    ks = sorted({2**power for power in range(most.bit_length())} | {most} - {0})
    return {
        str(k): fmean(pass_at_k(size, right, k) for size, right in counts if size >= k) for k in ks if k <= most
    }


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
