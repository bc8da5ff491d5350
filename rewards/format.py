"""Reward for ending as asked."""

from __future__ import annotations

from envs import Problem, Status, Trace


def format(problem: Problem, trace: Trace) -> float:
    """1 where exactly one closing line ends the text, else 0."""
    return float(trace.status is Status.COMPLETE)
