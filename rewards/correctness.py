"""Rewards for right answers, and the accuracy of a group."""

from __future__ import annotations

from collections.abc import Sequence

from envs import Problem, Trace
from rewards.declare import reward


@reward(when_wrong=(0, 0), when_right=(1, 1))
def correct(problem: Problem, trace: Trace) -> float:
    """1 where the text is complete and its answer right, else 0.

    Example: all steps skipped, right answer: 1.
    """
    return float(bool(trace.correct))


@reward(when_wrong=(0, 0), checked_steps=True)
def verified(problem: Problem, trace: Trace) -> float:
    """1 where the answer is right, every step valid and none missing, else 0.

    Example: all steps skipped, right answer: 0.
    """
    return float(trace.verified)


def group_accuracy(traces: Sequence[Trace]) -> float:
    """Share of a group's samples whose answer is right; 0 for an empty group.

    Example: 3 of 8 right: 0.375.
    """
    return sum(bool(trace.correct) for trace in traces) / max(1, len(traces))
