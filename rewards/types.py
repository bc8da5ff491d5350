"""Outcomes, scores, and the protocol of whatever gives scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from envs import Problem, Status, Trace
from rewards.history import History


class Outcome(StrEnum):
    """The outcome of a completion: verified, correct, truncated, or the `Grade` of its answer.

    A task that checks no steps has no verified completions.
    """

    VERIFIED = "verified"
    """Answer right, every step valid and none missing."""
    CORRECT = "correct"
    """Answer right; where the task checks steps, some step is invalid or missing."""
    WRONG = "wrong"
    """A complete text with a wrong answer."""
    MALFORMED = "malformed"
    """No single closing line at the end, or one that states no answer of this task."""
    TRUNCATED = "truncated"
    """Cut off by the length limit."""
    REFUSED = "refused"
    """An answer over a size limit, or with characters that no answer has."""
    TIMEOUT = "timeout"
    """An answer that took too long to grade."""
    CRASH = "crash"
    """An answer that crashed the grader's process."""

    @staticmethod
    def of(trace: Trace) -> Outcome:
        """The outcome of a checked trace."""
        if trace.verified:
            return Outcome.VERIFIED
        if trace.correct:
            return Outcome.CORRECT
        if trace.status is Status.TRUNCATED:
            return Outcome.TRUNCATED
        if trace.grade is None:
            raise ValueError("the trace has not been checked")
        return Outcome(trace.grade.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The reward of one completion.

    Example::

        Score(total=0.8, parts={"correct": 1.0, "step_count": -0.2}, outcome=Outcome.VERIFIED)

    Attributes:
        total: Sum of the parts, finite.
        parts: Weighted and gated value of every term, by name.
        outcome: Outcome of the completion.
    """

    total: float
    parts: Mapping[str, float]
    outcome: Outcome


class Scorer(Protocol):
    """Scores the samples of one group. `RewardSum` is the one that runs use."""

    def __call__(
        self,
        problem: Problem,
        traces: Sequence[Trace],
        history: History | None = None,
        *,
        user_rewards: bool = True,
    ) -> list[Score]:
        """Score the checked traces of one group.

        Args:
            problem: The problem they solve.
            traces: G traces.
            history: The run so far; None outside of training.
            user_rewards: False leaves out users' own rewards, which may fail on a sample.

        Returns:
            G scores, in the order of the traces.

        Raises:
            UnscoredError: A user's own reward failed on some of them.
        """
        ...

    def close(self) -> None:
        """Free whatever scoring has started, such as processes. Closing twice is fine."""
        ...
