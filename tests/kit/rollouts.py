"""Samples, groups and rollout batches by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from envs import Problem, Status, Trace, parse_trace
from rewards import Outcome, RewardSum, Score
from rollout.source import RolloutBatch, zero_signal_cause
from rollout.types import Completion, FinishReason, RolloutGroup, Sample

EMPTY = parse_trace("")


def make_score(total: float, outcome: Outcome = Outcome.WRONG) -> Score:
    """A score of one term."""
    return Score(total=total, parts={"correct": total}, outcome=outcome)


def make_sample(
    score: Score,
    *,
    trace: Trace = EMPTY,
    text: str = "",
    ids: Sequence[int] = (1,),
    logprobs: Sequence[float] | None = None,
    version: int = 0,
) -> Sample:
    """A scored completion, cut off if its trace is; `logprobs` None: 0 for each token."""
    reason = FinishReason.LENGTH if trace.status is Status.TRUNCATED else FinishReason.STOP
    completion = Completion(
        ids=tuple(ids),
        logprobs=tuple([0.0] * len(ids) if logprobs is None else logprobs),
        finish_reason=reason,
        weight_version=version,
    )
    return Sample(completion=completion, text=text, trace=trace, score=score)


def make_group(
    problem: Problem, samples: Sequence[Sample], *, number: int = 0, prompt_ids: tuple[int, ...] = (3, 4)
) -> RolloutGroup:
    """The samples of a problem as group `number`."""
    return RolloutGroup(group_id=number, problem=problem, prompt_ids=prompt_ids, samples=tuple(samples))


def score_texts(
    problem: Problem, traces: Sequence[Trace], texts: Sequence[str], lengths: Sequence[int], rewards: RewardSum
) -> list[Sample]:
    """Completions with these traces, texts and numbers of tokens, scored as a group."""
    scores = rewards(problem, traces)
    return [
        make_sample(score, trace=trace, text=text, ids=(1,) * length)
        for score, trace, text, length in zip(scores, traces, texts, lengths, strict=True)
    ]


def without_graded(group: RolloutGroup, num_lost: int) -> RolloutGroup:
    """The group after graders failed on its first `num_lost` samples."""
    failure = "no grader" if num_lost else ""
    return replace(group, samples=group.samples[num_lost:], ungraded=num_lost, failure=failure)


def make_batch(
    *groups: RolloutGroup, decoupled: bool = False, sample_s: float = 1.0, score_s: float = 0.25
) -> RolloutBatch:
    """The groups of an update, sorted into those with and those without a signal."""
    causes = [zero_signal_cause(group, decoupled=decoupled) for group in groups]
    return RolloutBatch(
        useful=tuple(group for group, cause in zip(groups, causes, strict=True) if cause is None),
        sampled=groups,
        zero_signal=Counter(cause for cause in causes if cause is not None),
        sample_s=sample_s,
        score_s=score_s,
    )
