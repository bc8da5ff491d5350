"""Rewards that count reasoning steps.

All count forward steps, undone ones included: what the model spent. A trace with an invalid step cannot buy
anything with its short form: where steps are a cost it costs 1, the most there is, and where savings pay it
earns 0. All values are in [0, 1]. Tasks whose steps are free text (`math`, `reasoning_gym`) check no step:
there every right answer counts as verified, and a bare one has the fewest steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from envs import Problem, Status, Trace, Verdict
from rewards.declare import reward


@reward(when_wrong=(1, 1))
def step_count(problem: Problem, trace: Trace) -> float:
    """Steps as a share of the full trace's, at most 1.

    Example: 3 valid steps where the full trace has 4: 0.75.
    """
    if not trace.verified:
        return 1.0
    return min(1.0, trace.num_steps / problem.num_full_steps)


@reward(when_wrong=(0, 0))
def steps_saved(problem: Problem, trace: Trace) -> float:
    """1 - steps / full steps, at least 0; 0 without verification.

    Example: 3 valid steps where the full trace has 4: 0.25.
    """
    if not trace.verified:
        return 0.0
    return max(0.0, 1.0 - trace.num_steps / problem.num_full_steps)


@reward(budget=True)
def steps_over_budget(problem: Problem, trace: Trace) -> float:
    """Steps beyond the prompt's budget, as a share of the budget, at most 1; 0 where no budget is stated.

    Example: 5 steps on a budget of 4: 0.25. Going below the budget is free.
    """
    if problem.budget is None:
        return 0.0
    if not trace.verified:
        return 1.0
    return min(1.0, max(0.0, trace.num_steps / problem.budget - 1.0))


@reward(budget=True)
def steps_off_budget(problem: Problem, trace: Trace) -> float:
    """Distance from the prompt's budget either way, as a share of it, at most 1; 0 where none is stated.

    Example: 3 or 5 steps on a budget of 4: 0.25.
    """
    if problem.budget is None:
        return 0.0
    if not trace.verified:
        return 1.0
    return min(1.0, abs(trace.num_steps / problem.budget - 1.0))


@reward(group=True)
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


@reward(budget=True, when_wrong=(0, 0.5))
def budget_margin(problem: Problem, trace: Trace, *, slope: float = 1.0) -> float:
    """0.5 + `slope` * (budget - steps) / budget, within [0, 1]; 0.5 where no budget is stated.

    L1-Max (arXiv 2503.04697): r = c clip(alpha (N - L) + 0.5, 0, 1), with N tokens asked for; here N
    steps, and the distance as a share of them. It is 0 without verification.

    Example: 3, 4, 5 and 6 steps on a budget of 4, slope 1: 0.75, 0.5, 0.25, 0.
    """
    if problem.budget is None:
        return 0.5
    if not trace.verified:
        return 0.0
    return min(1.0, max(0.0, 0.5 + slope * (1.0 - trace.num_steps / problem.budget)))


@reward(when_wrong=(1, 1))
def steps_off_target(problem: Problem, trace: Trace, *, share: float = 1.0, tolerance: int = 1) -> float:
    """Steps beyond `tolerance` from the target either way, as a share of the target, at most 1.

    The target is the prompt's budget; where none is stated, `share` of the full trace's steps, rounded up.
    CoSMo (arXiv 2602.03141) pays no attention to a deviation of one segment from its target.

    Example: target 4, tolerance 1: 3 to 5 steps 0, 6 steps 0.25.
    """
    if not trace.verified:
        return 1.0
    target = problem.budget or max(1, ceil(share * problem.num_full_steps))
    return min(1.0, max(0, abs(trace.num_steps - target) - tolerance) / target)


@reward(when_wrong=(0, 0.8), when_right=(0.8, 1))
def skip_score(problem: Problem, trace: Trace) -> float:
    """1 with the answer, the number of steps and every line right; 0.8 with one half, 0.3 with none, else 0.

    LM_skip (`get_skip_rewards` in the code of arXiv 2411.01855): the halves are the answer, and steps that
    are as many as asked for (here: the budget, or without one the full trace's) and all valid. 0 where no
    single closing line ends the text.
    """
    if trace.status is not Status.COMPLETE:
        return 0.0
    wanted = problem.budget or problem.num_full_steps
    as_asked = trace.num_steps == wanted and trace.is_clean
    if trace.correct:
        return 1.0 if as_asked else 0.8
    return 0.8 if as_asked else 0.3


@reward()
def process_match(problem: Problem, trace: Trace) -> float:
    """1 - (invalid + missing + extra lines + 1 for a wrong answer) / full steps, at least 0.

    The process reward of "On the Interplay of Pre-Training, Mid-Training, and RL" (arXiv 2512.07783): there a
    parsed dependency graph is compared with the true one, here every line is checked by the environment.
    Missing are the full steps that are not there, if the valid ones do not lead to the end; extra those
    beyond the full trace, at most as many as it has.

    Example: full trace of 4; 3 lines, 1 of them invalid, not finished, wrong: 1 - (1 + 2 + 0 + 1) / 4 = 0.
    """
    full = problem.num_full_steps
    invalid = sum(step.verdict is Verdict.INVALID and not step.undone for step in trace.steps)
    valid = trace.num_steps - trace.num_wasted - invalid
    missing = 0 if trace.finished else max(1, full - valid)
    extra = min(full, max(0, trace.num_steps - full))
    return max(0.0, 1.0 - (invalid + missing + extra + (not trace.correct)) / full)
