"""Wrong turns in the evaluation of an expression: taken back as detours, or followed as mistakes.

In: an expression and the kinds of errors. Out: a `Demonstration`. Wrong turns are invalid lines, which start no
branch: there is at most one at each point of the solution, and after its backtrack comes the right line.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from envs.base import Demonstration, check_error_kinds
from envs.operations import Operation, slipped
from envs.tasks.multistep_arithmetic.expressions import (
    MAX_VALUE,
    ExpressionError,
    Part,
    Tree,
    read_tokens,
    replaced,
    result_of,
    steps_of,
    tokens_of,
)
from envs.trace import BACKTRACK

COMPUTATION, ORDER = ERROR_KINDS = ("computation", "order")
_SLIPS_TRIED = 8


def write_detours(tree: Tree, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
    """The solution with one detour for each of `errors`, each before a different line.

    Args:
        tree: The expression.
        errors: One of `ERROR_KINDS` for each detour.
        rng: Draws the places and the wrong turns.

    Returns:
        The demonstration, or None where the expression has too few places for them.

    Raises:
        ValueError: An error kind is unknown.
    """
    check_error_kinds(errors, ERROR_KINDS)
    steps = steps_of(tree)
    turns: dict[int, Operation] = {}
    free = list(range(len(steps)))
    for kind in sorted(errors, reverse=True):  # order first: it has fewer places
        rng.shuffle(free)
        for at in free:
            before, step = steps[at]
            ways = [slipped(step, rng)] if kind == COMPUTATION else [way for way, _ in out_of_order(before)]
            ways = [way for way in ways if way not in turns.values()]
            if ways:
                turns[at] = rng.choice(ways)
                free.remove(at)
                break
        else:
            return None
    lines: list[str] = []
    wrong: set[int] = set()
    for at, (_, step) in enumerate(steps):
        if at in turns:
            wrong.add(len(lines))
            lines += [turns[at].line, BACKTRACK]
        lines.append(step.line)
    return Demonstration(lines=tuple(lines), wrong=frozenset(wrong))


def write_mistake(tree: Tree, kind: str, rng: random.Random) -> Demonstration | None:
    """The solution with one mistake, evaluated on to a wrong value.

    Args:
        tree: The expression.
        kind: One of `ERROR_KINDS`.
        rng: Draws the place and the mistake.

    Returns:
        The trace; None where no mistake of this kind was found after which all results are positive whole
        numbers of at most 16 digits and the value is wrong.

    Raises:
        ValueError: The kind is unknown.
    """
    check_error_kinds([kind], ERROR_KINDS)
    steps = steps_of(tree)
    value = steps[-1][1].result
    if kind == ORDER:
        ways = [(at, *way) for at, (before, _) in enumerate(steps) for way in out_of_order(before)]
        rng.shuffle(ways)
    else:
        ways = [_slip(steps, rng) for _ in range(_SLIPS_TRIED)]
    for at, turn, after in ways:
        try:
            rest = [step for _, step in steps_of(after)]
        except ExpressionError:
            continue
        written = [*[step for _, step in steps[:at]], turn, *rest]
        if written[-1].result != value and turn.result <= MAX_VALUE:
            return Demonstration(
                lines=tuple([step.line for step in written]),
                wrong=frozenset([at]),
                answer=str(written[-1].result),
            )
    return None


def _slip(steps: Sequence[tuple[Tree, Operation]], rng: random.Random) -> tuple[int, Operation, Tree]:
    """A place, its operation with a wrong result, and the expression that leaves."""
    at = rng.randrange(len(steps))
    before, step = steps[at]
    turn = slipped(step, rng)
    after = replaced(before, Part(step.left, step.symbol, step.right), turn.result)
    assert after is not None
    return at, turn, after


def out_of_order(tree: Tree) -> list[tuple[Operation, Tree]]:
    """Operations on neighbouring numbers whose turn has not come, and the expression each seems to leave.

    Example: from 20 - 4 * 3 it is 20 - 4 = 16, which seems to leave 16 * 3.
    """
    tokens = tokens_of(tree)
    found: list[tuple[Operation, Tree]] = []
    for at in range(len(tokens) - 2):
        one, symbol, two = tokens[at : at + 3]
        if not (one.isdigit() and two.isdigit()):
            continue
        left, right = int(one), int(two)
        result = result_of(left, symbol, right)
        if result is None or replaced(tree, Part(left, symbol, right), result) is not None:
            continue
        after = read_tokens([*tokens[:at], str(result), *tokens[at + 3 :]])
        found.append((Operation(left, symbol, right, result), after))
    return found
