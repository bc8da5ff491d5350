"""Updates without a signal: every group had equal rewards, so all advantages are 0.

In: the rollout batches of a run, in order. Out: a warning after a few such updates in a row, `StalledError`
after many. Both name the outcomes, because they point at the cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from rewards import Outcome
from rollout.source import RolloutBatch

WARN_EVERY = 5
STALLED_AFTER = 20

_MEANINGS = {
    Outcome.VERIFIED: "right answer and all steps valid",
    Outcome.CORRECT: "right answer",
    Outcome.WRONG: "wrong answer",
    Outcome.MALFORMED: "no closing line that states an answer",
    Outcome.TRUNCATED: "cut off at the length limit",
    Outcome.REFUSED: "answer over a limit",
    Outcome.TIMEOUT: "answer took too long to grade",
    Outcome.CRASH: "answer crashed its grader",
}


class StalledError(RuntimeError):
    """For many updates in a row, no group had rewards that differ."""

    exit_code: ClassVar[int] = 1


class ZeroSignalWatch:
    """Counts updates without a signal, in a row."""

    def __init__(self, warn: Callable[[str], None] = lambda line: None) -> None:
        """Start with none.

        Args:
            warn: Called with one line after every `WARN_EVERY` such updates in a row.
        """
        self._warn = warn
        self._updates = 0
        self._outcomes: Counter[Outcome] = Counter()

    def add(self, rollouts: RolloutBatch) -> None:
        """Take the rollout batch of the next update.

        Raises:
            StalledError: It is the last of `STALLED_AFTER` without a signal.
        """
        if rollouts.useful:
            self._updates = 0
            self._outcomes.clear()
            return
        self._updates += 1
        self._outcomes.update(sample.score.outcome for group in rollouts.sampled for sample in group.samples)
        outcomes = describe_outcomes(self._outcomes)
        if self._updates >= STALLED_AFTER:
            raise StalledError(
                f"no group of the last {STALLED_AFTER} updates had rewards that differ "
                f"({dict(rollouts.zero_signal)} in the last one; completions: {outcomes}): the task is too "
                "easy, too hard, or the reward does not distinguish samples; change env.settings, rewards or "
                "rollout.temperature"
            )
        if self._updates % WARN_EVERY == 0:
            self._warn(f"warning: {self._updates} updates without a signal: {outcomes}")


def describe_zero_signal(updates: Sequence[Mapping[str, float]]) -> str:
    """A line for the end of a run of which at least half had no signal; empty otherwise.

    Args:
        updates: The logged metrics of the GRPO updates; only updates that sampled count.
    """
    sampled = [metrics for metrics in updates if "groups/useful_frac" in metrics]
    silent = [metrics for metrics in sampled if metrics["groups/useful_frac"] == 0]
    if not silent or 2 * len(silent) < len(sampled):
        return ""
    counts = {outcome: sum(metrics.get(f"outcome/{outcome}", 0.0) for metrics in silent) for outcome in Outcome}
    return (
        f"warning: {len(silent)} of {len(sampled)} rollout batches had no signal, so nothing was learnt from "
        f"them: {describe_outcomes(counts)}; change env.settings, rewards or the warm start"
    )


def describe_outcomes(counts: Mapping[Outcome, float]) -> str:
    """Shares of the outcomes, the most frequent first, as `100 % truncated (cut off at the length limit)`.

    Args:
        counts: How often each outcome came, or its share.
    """
    total = sum(counts.values())
    shares = sorted(((count / total, outcome) for outcome, count in counts.items() if count), reverse=True)
    return ", ".join(f"{share * 100:.0f} % {outcome} ({_MEANINGS[outcome]})" for share, outcome in shares)
