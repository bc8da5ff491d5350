"""What a reward is, and what a score is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from envs import Status, Trace


class Outcome(StrEnum):
    """What became of a completion, from best to worst."""

    VERIFIED = "verified"
    """Answer right, every step valid and none missing."""
    CORRECT = "correct"
    """Answer right, but some step is invalid or missing."""
    WRONG = "wrong"
    """A complete text with a wrong answer."""
    MALFORMED = "malformed"
    """No single closing line at the end."""
    TRUNCATED = "truncated"
    """Cut off at the length limit."""

    @staticmethod
    def of(trace: Trace) -> Outcome:
        """The outcome of a checked trace."""
        if trace.verified:
            return Outcome.VERIFIED
        if trace.correct:
            return Outcome.CORRECT
        if trace.status is Status.TRUNCATED:
            return Outcome.TRUNCATED
        return Outcome.WRONG if trace.status is Status.COMPLETE else Outcome.MALFORMED


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The reward of one completion.

    Example::

        Score(total=0.8, parts={"correct": 1.0, "step_count": -0.2}, outcome=Outcome.VERIFIED)

    Attributes:
        total: Sum of the parts, finite.
        parts: Weighted and gated value of every term, by name.
        outcome: What became of the completion.
    """

    total: float
    parts: Mapping[str, float]
    outcome: Outcome
