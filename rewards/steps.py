"""Rewards that count reasoning steps.

All count forward steps, undone ones included: what the model spent. A trace with an invalid step cannot buy
anything with its short form: where steps are a cost it costs 1, the most there is, and where savings pay it
earns 0. All values are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

from envs import Problem, Trace


def step_count(problem: Problem, trace: Trace) -> float:
    """Steps as a share of the full trace's, at most 1.

    Example: 3 valid steps where the full trace has 4: 0.75.
    """
    if not trace.verified:
        return 1.0
    return min(1.0, trace.num_steps / problem.num_full_steps)


def steps_saved(problem: Problem, trace: Trace) -> float:
    """1 - steps / full steps, at least 0; 0 without verification.

    Example: 3 valid steps where the full trace has 4: 0.25.
    """
    if not trace.verified:
        return 0.0
    return max(0.0, 1.0 - trace.num_steps / problem.num_full_steps)


def steps_over_budget(problem: Problem, trace: Trace) -> float:
    """Steps beyond the prompt's budget, as a share of the budget, at most 1; 0 where no budget is stated.

    Example: 5 steps on a budget of 4: 0.25. Going below the budget is free.
    """
    if problem.budget is None:
        return 0.0
    if not trace.verified:
        return 1.0
    return min(1.0, max(0.0, trace.num_steps / problem.budget - 1.0))


def steps_off_budget(problem: Problem, trace: Trace) -> float:
    """Distance from the prompt's budget either way, as a share of it, at most 1; 0 where none is stated.

    Example: 3 or 5 steps on a budget of 4: 0.25.
    """
    if problem.budget is None:
        return 0.0
    if not trace.verified:
        return 1.0
    return min(1.0, abs(trace.num_steps / problem.budget - 1.0))


def steps_over_shortest(problem: Problem, traces: Sequence[Trace]) -> list[float]:
    """Steps beyond the group's shortest verified sample, as a share of it, at most 1.

    The target is the model's own, so it can always be met (after ShorterBetter, arXiv 2504.21370, which
    does this with tokens). Without a verified sample there is no target and the value is 0 for all.

    Example: verified samples with 4, 5 and 6 steps: 0, 0.25, 0.5.
    """
    shortest = min([max(1, trace.num_steps) for trace in traces if trace.verified], default=None)
    if shortest is None:
        return [0.0] * len(traces)
    return [min(1.0, max(0.0, t.num_steps / shortest - 1.0)) if t.verified else 1.0 for t in traces]
