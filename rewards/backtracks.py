"""Rewards that count backtracks."""

from __future__ import annotations

from envs import Problem, Trace


def backtrack_count(problem: Problem, trace: Trace, *, cap: int = 4) -> float:
    """Backtrack lines, real or not, as a share of `cap`, at most 1.

    Example: 1 backtrack with cap 4: 0.25.
    """
    return min(1.0, trace.num_backtracks / cap)


def fake_backtracks(problem: Problem, trace: Trace, *, cap: int = 4) -> float:
    """Backtracks that restore no earlier state or take the same branch again, as a share of `cap`.

    Example: 3 backtrack lines, 1 of them real, cap 4: 0.5.
    """
    return min(1.0, (trace.num_backtracks - trace.real_backtracks) / cap)


def wasted_steps(problem: Problem, trace: Trace) -> float:
    """Steps later taken back, as a share of all steps written; 1 where a line is invalid.

    Example: 6 valid steps, 2 of them undone: 1/3. Invalid lines would only thin the share out.
    """
    if trace.num_invalid:
        return 1.0
    return trace.num_wasted / trace.num_steps if trace.num_steps else 0.0
