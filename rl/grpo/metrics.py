"""The metrics of one rollout batch.

In: a `RolloutBatch`. Out: numbers by name. Means are over all sampled completions, zero-variance groups
included, so that dynamic sampling does not bias them.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev

from envs import Problem, Verdict
from envs.faults import straight_backs, wrong_turns
from rewards import Outcome
from rollout.source import RolloutBatch
from rollout.types import Sample


def rollout_metrics(rollouts: RolloutBatch, num_groups: int) -> dict[str, float]:
    """Metrics of one rollout batch.

    Args:
        rollouts: The groups.
        num_groups: P, the number of useful groups requested.

    Returns:
        `reward` and `reward/<part>`; `reward/group_std` (mean within-group deviation); `outcome/<name>`
        shares; `accuracy` and `accuracy/strict_form`, which counts answers in the closing line alone;
        `ungraded` (completions left out because their grader failed); `steps` and, over correct completions,
        `steps_per_correct`; `backtracks` per completion; `groups/sampled`,
        `groups/useful_frac`, `groups/filled_frac` (useful groups over P) and `groups/<cause>` shares;
        `tokens/mean`, `tokens/max` per completion; `tokens/sampled`, all of them, continuations included;
        `prompts/skipped`, problems whose prompts are too long. Of a mixture, for each part with completions,
        `part/<label>/reward`, `/accuracy` and, if any are right, `/steps_per_correct`. With continuations
        `credit/extra_tokens`, sampled for values beside completions, `credit/extra_frac`, as a multiple of the
        tokens of the completions, and `credit/extra_ungraded`, continuations whose grader failed. Only where
        steps are checked: `outcome/verified`, and of the completions with checked steps `steps_saved` over the
        correct ones, `steps/invalid`, `steps/wasted` and `backtracks/real`, `/fake` and `/needless`. Only where
        the task knows how far lines lead (`LineFacts`): `wrong_turns` per completion, and if there are any
        `wrong_turns/taken_back`, the share of them that a backtrack took back (`wrong_turns` in
        `envs/faults.py`), and with `/invalid` and `/dead_end` that of wrong lines and of valid ones into a dead
        end; of the backtracks from a dead end `backtracks/straight_back`, the share that led out
        of it (`straight_backs` there).
    """
    samples = [(group.problem, sample) for group in rollouts.sampled for sample in group.samples]
    traces = [sample.trace for _, sample in samples]
    checked = [trace for trace in traces if trace.steps_checked]
    lengths = [len(sample.completion.ids) for _, sample in samples]
    correct = [(problem, sample.trace) for problem, sample in samples if sample.trace.correct]
    num = len(samples)
    extra = sum(group.extra_tokens for group in rollouts.sampled)
    metrics = {
        "reward": fmean(sample.score.total for _, sample in samples),
        "reward/group_std": fmean(pstdev(group.rewards) for group in rollouts.sampled if group.samples),
        "accuracy": len(correct) / num,
        "accuracy/strict_form": sum(trace.strictly_correct for trace in traces) / num,
        "ungraded": float(sum(group.ungraded for group in rollouts.sampled)),
        "steps": fmean(trace.num_steps for trace in traces),
        "backtracks": fmean(trace.num_backtracks for trace in traces),
        "groups/sampled": float(len(rollouts.sampled)),
        "groups/useful_frac": 1.0 - rollouts.zero_signal.total() / len(rollouts.sampled),
        "groups/filled_frac": len(rollouts.useful) / num_groups,
        "tokens/mean": fmean(lengths),
        "tokens/max": float(max(lengths)),
        "tokens/sampled": float(sum(lengths) + extra),
        "prompts/skipped": float(rollouts.num_skipped),
    }
    if correct:
        metrics["steps_per_correct"] = fmean(trace.num_steps for _, trace in correct)
    if checked:
        metrics["steps/invalid"] = fmean(trace.num_invalid for trace in checked)
        metrics["steps/wasted"] = fmean(trace.num_wasted for trace in checked)
        metrics["backtracks/real"] = fmean(trace.real_backtracks for trace in checked)
        metrics["backtracks/fake"] = fmean(trace.fake_backtracks for trace in checked)
        metrics["backtracks/needless"] = fmean(trace.needless_backtracks for trace in checked)
    metrics |= _wrong_turns([sample for _, sample in samples])
    saved = [1.0 - t.num_steps / p.num_full_steps for p, t in correct if t.steps_checked]
    if saved:
        metrics["steps_saved"] = fmean(saved)
    extra_ungraded = sum(group.extra_ungraded for group in rollouts.sampled)
    if extra or extra_ungraded:
        metrics["credit/extra_tokens"] = float(extra)
        metrics["credit/extra_frac"] = extra / sum(lengths)
        metrics["credit/extra_ungraded"] = float(extra_ungraded)
    for name in samples[0][1].score.parts:
        metrics[f"reward/{name}"] = fmean(sample.score.parts[name] for _, sample in samples)
    for outcome in [outcome for outcome in Outcome if checked or outcome is not Outcome.VERIFIED]:
        metrics[f"outcome/{outcome}"] = sum(sample.score.outcome is outcome for _, sample in samples) / num
    for cause, count in sorted(rollouts.zero_signal.items()):
        metrics[f"groups/{cause}"] = count / len(rollouts.sampled)
    return metrics | _by_part(samples)


def _wrong_turns(samples: Sequence[Sample]) -> dict[str, float]:
    """How often samples left the way, and how often they came back; nothing where dead ends are unknown."""
    known = [(sample.trace, sample.facts) for sample in samples if sample.facts is not None]
    if not any(fact.before is not None for _, facts in known for fact in facts):
        return {}
    turns = [trace.steps[place] for trace, facts in known for place in wrong_turns(trace, facts)]
    metrics = {"wrong_turns": len(turns) / len(known)}
    if turns:
        metrics["wrong_turns/taken_back"] = fmean(step.undone for step in turns)
    for kind, invalid in (("invalid", True), ("dead_end", False)):
        if of_kind := [step.undone for step in turns if (step.verdict is Verdict.INVALID) is invalid]:
            metrics[f"wrong_turns/taken_back/{kind}"] = fmean(of_kind)
    if led_out := [out for trace, facts in known for out in straight_backs(trace, facts)]:
        metrics["backtracks/straight_back"] = fmean(led_out)
    return metrics


def _by_part(samples: Sequence[tuple[Problem, Sample]]) -> dict[str, float]:
    """The figures of each part of a mixture; none for another task."""
    parts: dict[str, list[Sample]] = {}
    for problem, sample in samples:
        if problem.part:
            parts.setdefault(problem.part, []).append(sample)
    metrics = {}
    for label, found in sorted(parts.items()):
        right = [sample.trace for sample in found if sample.trace.correct]
        metrics[f"part/{label}/reward"] = fmean(sample.score.total for sample in found)
        metrics[f"part/{label}/accuracy"] = len(right) / len(found)
        if right:
            metrics[f"part/{label}/steps_per_correct"] = fmean(trace.num_steps for trace in right)
    return metrics
