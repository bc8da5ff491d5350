"""Rewards for being right."""

from __future__ import annotations

from envs import Problem, Trace


def correct(problem: Problem, trace: Trace) -> float:
    """1 where the text is complete and its answer right, else 0."""
    return float(bool(trace.correct))


def verified(problem: Problem, trace: Trace) -> float:
    """1 where the answer is right and every step valid, else 0."""
    return float(trace.verified)
