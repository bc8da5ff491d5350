"""Solutions of the algebra task with one slip: a sign or an operation that should have changed, or the reverse.

In: the lines of the right solution. Out: the same lines up to a wrong one, and the fixed procedure from there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from envs.base import Demonstration
from envs.tasks.algebra.equation import (
    ARROW,
    MINUS,
    OPEN,
    OVER,
    PLUS,
    TIMES,
    Equation,
    parse_equation,
    render_equation,
    solve,
)

SIGN, INVERSE = MISTAKE_KINDS = ("sign", "inverse")
_OPERATORS = {SIGN: (PLUS, MINUS), INVERSE: (TIMES, OVER)}


def write_mistake(
    lines: Sequence[str],
    constants: frozenset[str],
    is_right: Callable[[Equation], bool],
    kind: str,
    rng: random.Random,
) -> Demonstration | None:
    """The solution with one wrong line, solved on from there.

    Args:
        lines: The right solution.
        constants: Those of the problem.
        is_right: Whether an equation has the problem's solution.
        kind: One of `MISTAKE_KINDS`.
        rng: Draws the line.

    Returns:
        The trace; None if no line has such an operator, or if another one there makes no difference.
    """
    slips: list[tuple[int, Equation]] = []
    for at, line in enumerate(lines):
        slip = _flip_last(line, _OPERATORS[kind])
        if slip is not None and not is_right(equation := parse_equation(slip, constants)):
            slips.append((at, equation))
    if not slips:
        return None
    at, equation = rng.choice(slips)
    wrong = [render_equation(one) for one in (equation, *solve(equation))]
    return Demonstration(lines=(*lines[:at], *wrong), wrong=frozenset([at]), answer=wrong[-1])


def _flip_last(line: str, operators: tuple[str, str]) -> str | None:
    """The line with the last of two operators on the right side replaced by the other one.

    The last one is that of the term or factor that was moved there last. A minus at the start is left out.
    """
    tokens = line.split(" ")
    places = [at for at in range(tokens.index(ARROW) + 1, len(tokens)) if tokens[at] in operators]
    if not places:
        return None
    at = places[-1]
    at_start = tokens[at] == MINUS and tokens[at - 1] in (ARROW, OPEN)
    other = operators[tokens[at] == operators[0]]
    return " ".join([*tokens[:at], *([] if at_start else [other]), *tokens[at + 1 :]])
