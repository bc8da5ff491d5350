"""Where a trace goes wrong: the first line after which it can no longer be right, and what is right there.

In: a checked trace of a task that checks steps. Out: the place of a line, counted over all lines; the closing
line has the number of steps as its place. For the fault of a trace, lines that a backtrack took back do not
count: nothing of them stands. Its *wrong turns* are counted with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from envs.base import Env
from envs.line_facts import LineFacts
from envs.path import StepError, UncheckedStep
from envs.problem import Problem
from envs.trace import StepKind, Trace, Verdict


def standing(env: Env[Any], problem: Problem, trace: Trace) -> Iterator[tuple[int, Any, Any, bool]]:
    """The forward lines that stand: place, the state before and after each, and whether it is valid.

    An invalid line leaves the state as it is, unless the task says what stands after it.
    """
    state = env.start(problem)
    for place, step in enumerate(trace.steps):
        if step.kind is not StepKind.FORWARD or step.undone:
            continue
        before, valid = state, True
        try:
            state = env.advance(before, step.text)
        except StepError as error:
            valid = isinstance(error, UncheckedStep)
            state = before if error.after is None else error.after
        yield place, before, state, valid


def first_fault(env: Env[Any], problem: Problem, trace: Trace) -> int | None:
    """The first standing line that is invalid, or that puts the end out of reach.

    The closing line is the fault where every line is right and the answer is not, or where the lines stop
    before the end.

    Returns:
        Its place, `len(trace.steps)` for the closing line; None for a trace that passes.
    """
    if trace.passed:
        return None
    for place, _, after, valid in standing(env, problem, trace):
        if not valid or env.solvable(after) is False:
            return place
    return len(trace.steps)


def counterpart(env: Env[Any], problem: Problem, right: Trace, wrong: Trace) -> int | None:
    """The line of a right trace that stands for the first fault of a wrong one of the same problem.

    It is the line that leaves the last state which both traces have had up to the fault: the right way from
    where the wrong one was still right. Where the right trace has nothing left to do there, it is the closing
    line.

    Args:
        env: The task.
        problem: The problem.
        right: A checked trace that passes.
        wrong: A checked trace.

    Returns:
        Its place in `right`; None where `wrong` has no fault.
    """
    fault = first_fault(env, problem, wrong)
    if fault is None:
        return None
    leaves: dict[Any, int] = {}  # by state, the last line of the right trace that leaves it
    end = env.start(problem)
    for place, before, end, _ in standing(env, problem, right):
        if before != end:
            leaves[before] = place
    leaves[end] = len(right.steps)
    ours = [env.start(problem)]
    ours += [after for place, _, after, _ in standing(env, problem, wrong) if place < fault]
    return next(leaves[state] for state in reversed(ours) if state in leaves)


def wrong_lines_stand(trace: Trace) -> tuple[bool, ...]:
    """Whether an invalid line stands after each line, so that the trace can only pass if that is taken back.

    Example: after "right", "wrong", "right", "<backtrack> 1" and "right": no, yes, yes, no, no.
    """
    path, found = [False], []
    for step in trace.steps:
        if step.kind is not StepKind.BACKTRACK:
            path.append(path[-1] or step.verdict is Verdict.INVALID)
        elif step.verdict is Verdict.VALID:
            keep = len(path) - 2 if step.target is None else step.target
            del path[keep + 1 :]
        found.append(path[-1])
    return tuple(found)


def wrong_turns(trace: Trace, facts: Sequence[LineFacts]) -> tuple[int, ...]:
    """Places of the lines that left the way: before each the trace could still pass, after it no longer.

    They are invalid lines and valid ones into a dead end. What follows one is no other, until a backtrack has
    led back; the turn was taken back if its step is `undone`.

    Example: a line into a dead end, another move in there, the backtrack out of it and an invalid line: (0, 3).

    Args:
        trace: A checked trace.
        facts: Of its lines.
    """
    found, off = [], bool(facts) and facts[0].before == math.inf
    for place, (wrong, fact) in enumerate(zip(wrong_lines_stand(trace), facts, strict=True)):
        before, off = off, wrong or fact.after == math.inf
        if off and not before:
            found.append(place)
    return tuple(found)


def straight_backs(trace: Trace, facts: Sequence[LineFacts]) -> tuple[bool, ...]:
    """For each backtrack from a dead end, whether it led to a state from which the end is known to be in reach.

    Others try one more branch of what is a dead end all the same, or are invalid.

    Example: into a dead end, back to a state before it that is one too, and back to the start: (False, True).

    Args:
        trace: A checked trace.
        facts: Of its lines.
    """
    return tuple(
        [
            fact.after is not None and fact.after != math.inf
            for step, fact in zip(trace.steps, facts, strict=True)
            if step.kind is StepKind.BACKTRACK and fact.before == math.inf
        ]
    )
