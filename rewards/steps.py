"""Rewards on the number of reasoning steps, each a share in [0, 1].

Every forward step counts, also one that was taken back later: the model has spent it. A trace that has not
passed the checks of its task gains nothing by being short: a penalty on steps is 1 for it, a bonus for saved
steps 0. The exception is `steps_off_budget`, which charges wrong answers for their distance, as its paper does.

To pass, a trace must be verified. A task that checks no steps (`Env.checks_steps`) only counts them: there a
trace passes if its answer is right, so a bare answer has the fewest steps, and a run is refused rewards that
judge steps.

n is the number of steps of a trace, N the number of steps of the problem's full trace, b the step budget stated
in the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from envs import Problem, Status, Trace, Verdict
from rewards.declare import reward


@reward(when_wrong=(1, 1), lines="steps")
def step_count(problem: Problem, trace: Trace) -> float:
    """min(1, n / N); 1 where the trace has not passed.

    Range: [0, 1], wrong 1. Example: 3 valid steps where the full trace has 4: 0.75.
    """
    if not trace.passed:
        return 1.0
    return min(1.0, trace.num_steps / problem.num_full_steps)


@reward(when_wrong=(0, 0), lines="steps")
def steps_saved(problem: Problem, trace: Trace) -> float:
    """max(0, 1 - n / N); 0 where the trace has not passed.

    Range: [0, 1], wrong 0. Example: 3 valid steps where the full trace has 4: 0.25.
    """
    if not trace.passed:
        return 0.0
    return max(0.0, 1.0 - trace.num_steps / problem.num_full_steps)


@reward(budget=True, lines="steps")
def steps_over_budget(problem: Problem, trace: Trace) -> float:
    """Steps over the budget, (n - b) / b, within [0, 1]; 1 where the trace has not passed.

    0 where the prompt states no budget. Staying below the budget costs nothing.

    Range: [0, 1]. Example: 5 steps with a budget of 4: 0.25.
    """
    if problem.budget is None:
        return 0.0
    if not trace.passed:
        return 1.0
    return min(1.0, max(0.0, trace.num_steps / problem.budget - 1.0))


@reward(budget=True)
def steps_off_budget(problem: Problem, trace: Trace) -> float:
    """Distance from the budget, |n - b| / b, at most 1; 1 for a right answer whose trace has not passed.

    0 where the prompt states no budget. L1-Exact (arXiv 2503.04697): r = c - alpha |N - L| for right and wrong
    answers alike, with tokens where this has steps.

    Range: [0, 1]. Example: 3 or 5 steps with a budget of 4: 0.25.
    """
    if problem.budget is None:
        return 0.0
    if trace.correct and not trace.passed:
        return 1.0
    return min(1.0, abs(trace.num_steps / problem.budget - 1.0))


@reward(group=True, lines="steps")
def steps_over_shortest(problem: Problem, traces: Sequence[Trace]) -> list[float]:
    """(n - m) / m, at most 1, where m is the group's shortest sample that passed; 1 for those that did not.

    After ShorterBetter (arXiv 2504.21370), which does this with tokens: the target is one of the policy's own
    samples, so it can be reached. If none passed, the value is 0 for the whole group.

    Range: [0, 1]. Example: samples that passed with 4, 5 and 6 steps: 0, 0.25, 0.5.
    """
    shortest = min([max(1, trace.num_steps) for trace in traces if trace.passed], default=None)
    if shortest is None:
        return [0.0] * len(traces)
    return [min(1.0, max(0.0, t.num_steps / shortest - 1.0)) if t.passed else 1.0 for t in traces]


@reward(budget=True, when_wrong=(0, 0.5), lines="steps")
def budget_margin(problem: Problem, trace: Trace, *, slope: float = 1.0) -> float:
    """0.5 + `slope` (b - n) / b, within [0, 1]; 0 where the trace has not passed.

    0.5 where the prompt states no budget. L1-Max (arXiv 2503.04697): r = c clip(alpha (N - L) + 0.5, 0, 1),
    where the prompt asks for N tokens; this has steps, and the distance is a share of the budget.

    Range: right [0, 1], wrong [0, 0.5]. Example: 3, 4, 5 and 6 steps with a budget of 4, slope 1: 0.75, 0.5,
    0.25, 0.
    """
    if problem.budget is None:
        return 0.5
    if not trace.passed:
        return 0.0
    return min(1.0, max(0.0, 0.5 + slope * (1.0 - trace.num_steps / problem.budget)))


@reward(when_wrong=(1, 1))
def steps_off_target(problem: Problem, trace: Trace, *, share: float = 1.0, tolerance: int = 1) -> float:
    """max(0, |n - t| - `tolerance`) / t, at most 1; 1 where the trace has not passed.

    The target t is the step budget in the prompt or, where none is stated, `share` * N rounded up. CoSMo (arXiv
    2602.03141) allows a deviation of one segment from the target.

    Range: [0, 1], wrong 1. Example: target 4, tolerance 1: 0 for 3 to 5 steps, 0.25 for 6.
    """
    if not trace.passed:
        return 1.0
    target = problem.budget or max(1, ceil(share * problem.num_full_steps))
    return min(1.0, max(0, abs(trace.num_steps - target) - tolerance) / target)


@reward(when_wrong=(0, 0.8), when_right=(0.8, 1), checked_steps=True)
def skip_score(problem: Problem, trace: Trace) -> float:
    """1 if answer and steps are right, 0.8 if one of them is, 0.3 if neither is, 0 if the text is malformed.

    LM_skip (`get_skip_rewards` in the code of arXiv 2411.01855). The steps are right if they are all valid and
    as many as asked for: the budget, or N where none is stated. A text is malformed without exactly one closing
    line at its end.

    Range: right [0.8, 1], wrong [0, 0.8]. Example: a right answer in 3 valid steps where 4 were asked for: 0.8.
    """
    if trace.status is not Status.COMPLETE:
        return 0.0
    wanted = problem.budget or problem.num_full_steps
    as_asked = trace.num_steps == wanted and trace.steps_checked and trace.is_clean
    if trace.correct:
        return 1.0 if as_asked else 0.8
    return 0.8 if as_asked else 0.3


@reward(checked_steps=True)
def process_match(problem: Problem, trace: Trace) -> float:
    """1 - (invalid + missing + extra lines + 1 for a wrong answer) / N, at least 0.

    The process reward of "On the Interplay of Pre-Training, Mid-Training, and RL" (arXiv 2512.07783), which
    compares a parsed dependency graph with the true one; here the environment checks every line. Missing lines
    are the full steps that the valid ones leave open, if they do not reach the end. Extra lines are those
    beyond N, at most N. 0 where steps are not checked.

    Range: [0, 1]. Example: N = 4; 3 lines, 1 of them invalid, end not reached, wrong answer: 1 - (1 + 2 + 0 +
    1) / 4 = 0.
    """
    if not trace.steps_checked:
        return 0.0
    full = problem.num_full_steps
    invalid = sum(step.verdict is Verdict.INVALID and not step.undone for step in trace.steps)
    valid = trace.num_steps - trace.num_wasted - invalid
    missing = 0 if trace.finished else max(1, full - valid)
    extra = min(full, max(0, trace.num_steps - full))
    return max(0.0, 1.0 - (invalid + missing + extra + (not trace.correct)) / full)
