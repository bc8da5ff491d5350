"""Solutions of Countdown with one mistake that nothing takes back, and the wrong answers they lead to.

In: a solution, as operations, and the kind of mistake. Out: the steps before the mistake, the wrong one, and
steps from there: to the target where the numbers that seem to be left allow it, else random ones. The answer is
the expression that the lines make up.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from envs.base import Demonstration, check_error_kinds
from envs.operations import Operation, slipped
from envs.tasks.countdown.detours import (
    COMPUTATION,
    ERROR_KINDS,
    EXPLORATION,
    break_the_rule,
    draw_dead_ends,
    walk,
)
from envs.tasks.countdown.expressions import expression_of
from envs.tasks.countdown.search import Numbers, after, solution


def write_mistake(
    target: int,
    numbers: Numbers,
    steps: Sequence[Operation],
    kind: str,
    max_number: int,
    rng: random.Random,
) -> Demonstration | None:
    """The solution with one mistake.

    Args:
        target: The target.
        numbers: The numbers, in ascending order.
        steps: Operations that lead from the numbers to the target.
        kind: One of the kinds of wrong turns, `ERROR_KINDS`.
        max_number: Largest number that may be made up.
        rng: Draws the place, the mistake and random steps after it.

    Returns:
        The trace; None where no wrong turn of this kind exists.

    Raises:
        ValueError: The kind is unknown.
    """
    check_error_kinds([kind], ERROR_KINDS)
    states = [numbers]  # before each step
    for step in steps[:-1]:
        states.append(after(states[-1], step))
    if kind == EXPLORATION:
        turns = draw_dead_ends(target, states, 1, rng)
        if turns is None:
            return None
        at = next(place for place, found in enumerate(turns) if found)
        wrong, used = turns[at][0], numbers
        left = after(states[at], wrong)
    elif kind == COMPUTATION:
        at = rng.randrange(len(steps))
        wrong, used = slipped(steps[at], rng), numbers
        left = after(states[at], wrong)
    else:
        at = rng.randrange(len(steps))
        wrong = break_the_rule(states[: at + 1], max_number, rng)
        extra = wrong.left if wrong.right in states[at] else wrong.right
        used = (*numbers, extra)
        left = after((*states[at], extra), wrong)
    rest = solution(target, left) or walk(left, rng)
    written = [*steps[:at], wrong, *rest]
    answer = expression_of(used, written)
    lines = tuple([step.line for step in written])
    return Demonstration(lines=lines, wrong=frozenset([at]), answer=answer)
