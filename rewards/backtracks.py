"""Rewards on backtracks, each a share in [0, 1]; `docs/architecture.md` says which are real, fake, needless."""

from __future__ import annotations

from envs import Problem, Trace
from rewards.declare import reward


@reward(lines="backtracks")
def backtrack_count(problem: Problem, trace: Trace, *, cap: int = 4) -> float:
    """min(1, backtracks / `cap`), whether they are real or fake.

    Range: [0, 1]. Example: 1 backtrack with cap 4: 0.25.
    """
    return min(1.0, trace.num_backtracks / cap)


@reward(checked_backtracks=True, lines="fake_backtracks")
def fake_backtracks(problem: Problem, trace: Trace, *, cap: int = 4) -> float:
    """min(1, fake backtracks / `cap`): those that restore no earlier state or take the same branch again.

    Range: [0, 1]. Example: 3 backtracks, 1 of them real, cap 4: 0.5.
    """
    return min(1.0, trace.fake_backtracks / cap)


@reward(checked_backtracks=True, lines="needless_backtracks")
def needless_backtracks(problem: Problem, trace: Trace, *, cap: int = 4) -> float:
    """min(1, needless backtracks / `cap`): those that leave a branch from which the end could be reached.

    0 where the environment cannot tell.

    Range: [0, 1]. Example: 3 backtracks, 1 of them out of a dead end, cap 4: 0.5.
    """
    return min(1.0, trace.needless_backtracks / cap)


@reward(lines="backtracks")
def backtracks_over_budget(problem: Problem, trace: Trace, *, allowed: int = 1, cap: int = 4) -> float:
    """min(1, max(0, backtracks - `allowed`) / `cap`).

    Range: [0, 1]. Example: 3 backtracks, 1 allowed, cap 4: 0.5.
    """
    return min(1.0, max(0, trace.num_backtracks - allowed) / cap)


@reward(ascending=("floor", "ceiling"))
def backtracks_off_density(
    problem: Problem, trace: Trace, *, floor: float = 0.0, ceiling: float = 0.2
) -> float:
    """Distance of the density D, backtracks per line, from the range `floor` to `ceiling`, at most 1.

    Below the floor 1 - D / floor, above the ceiling D / ceiling - 1. The first is the cost of REA-RL's
    reflection reward min(0, D / D_0.2 - 1), where D counts reflecting words and D_0.2 is a quantile of the
    training data.

    Range: [0, 1]. Example: 1 backtrack in 10 lines, floor 0.2: 0.5; 3 in 10, ceiling 0.2: 0.5.
    """
    lines = len(trace.steps)
    density = trace.num_backtracks / lines if lines else 0.0
    if density < floor:
        return 1.0 - density / floor
    if density <= ceiling:
        return 0.0
    return min(1.0, density / ceiling - 1.0) if ceiling else 1.0


@reward(checked_backtracks=True, lines="wasted_steps")
def wasted_steps(problem: Problem, trace: Trace) -> float:
    """Steps that were taken back, as a share of all steps; 1 where an invalid line stands.

    Invalid lines would only thin the share out.

    Range: [0, 1]. Example: 6 valid steps, 2 of them taken back: 1/3.
    """
    if not trace.is_clean:
        return 1.0
    return trace.num_wasted / trace.num_steps if trace.num_steps else 0.0
