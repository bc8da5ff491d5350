"""Detours of Countdown: wrong turns that are taken back.

In: a solution, as operations, and the kinds of errors to insert. Out: a `Demonstration` whose backtracks are
all real and needed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from envs.base import Demonstration, check_error_kinds
from envs.operations import SYMBOLS, Operation, outcome, slipped
from envs.tasks.countdown.search import Numbers, after, can_be_reached, operations
from envs.trace import BACKTRACK

EXPLORATION, COMPUTATION, RULE = ERROR_KINDS = ("exploration", "computation", "rule")


def write_detours(
    target: int,
    numbers: Numbers,
    steps: Sequence[Operation],
    errors: Sequence[str],
    max_number: int,
    rng: random.Random,
    *,
    target_slips: float = 0.0,
) -> Demonstration | None:
    """Write a solution with one detour for each error.

    An invalid line starts no branch, so a backtrack followed by one would not be real. Therefore each point of
    the solution has at most one computation or rule error, and that error comes before the explorations.

    Args:
        target: The target.
        numbers: The numbers, in ascending order.
        steps: Operations that lead from the numbers to the target.
        errors: One of `ERROR_KINDS` for each detour.
        max_number: Largest number that a rule error may make up.
        rng: Draws the places and the wrong turns.
        target_slips: Share of the computation errors in the last line that state the target, of those whose
            operation does not make it.

    Returns:
        The demonstration, or None if the solution has too few points or too few dead ends next to it.

    Raises:
        ValueError: An error kind is unknown.
    """
    check_error_kinds(errors, ERROR_KINDS)
    states = [numbers]  # before each step, and at the end
    for step in steps:
        states.append(after(states[-1], step))
    invalid = [kind for kind in errors if kind != EXPLORATION]
    if len(invalid) > len(steps):
        return None
    slips = dict(zip(rng.sample(range(len(steps)), len(invalid)), invalid, strict=True))
    turns = draw_dead_ends(target, states[:-1], len(errors) - len(invalid), rng)
    if turns is None:
        return None

    lines: list[str] = []
    wrong: set[int] = set()
    for at, step in enumerate(steps):
        if at in slips:
            wrong.add(len(lines))
            if slips[at] == COMPUTATION:
                chosen = rng.choice(operations(states[at]))
                can = target_slips > 0 and at == len(steps) - 1 and chosen.result != target
                slip = (
                    chosen._replace(result=target)
                    if can and rng.random() < target_slips
                    else slipped(chosen, rng)
                )
                lines.append(slip.line)
            else:
                lines.append(break_the_rule(states[: at + 1], max_number, rng).line)
            lines.append(BACKTRACK)
        for turn in turns[at]:
            wrong.add(len(lines))
            lines += [step.line for step in (turn, *walk(after(states[at], turn), rng))]
            lines.append(f"{BACKTRACK} {at}")
        lines.append(step.line)
    return Demonstration(lines=tuple(lines), wrong=frozenset(wrong))


def draw_dead_ends(
    target: int, states: Sequence[Numbers], count: int, rng: random.Random
) -> list[list[Operation]] | None:
    """For each state, operations that put the target out of reach; `count` in all, None if there are fewer."""
    turns: list[list[Operation]] = [[] for _ in states]
    open_to: dict[int, list[Operation]] = {}
    places = list(range(len(states)))
    while count:
        if not places:
            return None
        at = rng.choice(places)
        if at not in open_to:
            ways = operations(states[at])
            rng.shuffle(ways)
            different = {after(states[at], way): way for way in ways}  # 4 - 2 and 4 / 2 leave the same numbers
            open_to[at] = [way for left, way in different.items() if not can_be_reached(target, left)]
        if open_to[at]:
            turns[at].append(open_to[at].pop())
            count -= 1
        else:
            places.remove(at)
    return turns


def walk(numbers: Numbers, rng: random.Random) -> list[Operation]:
    """Random operations until one number is left."""
    steps = []
    while len(numbers) > 1:
        steps.append(rng.choice(operations(numbers)))
        numbers = after(numbers, steps[-1])
    return steps


def break_the_rule(states: Sequence[Numbers], max_number: int, rng: random.Random) -> Operation:
    """An operation that uses a number already used up, or at the start a made-up one."""
    here = states[-1]
    missing = sorted({number for state in states for number in state} - set(here))
    if not missing:
        missing = [number for number in range(1, max_number + 1) if number not in here]
    one, two = rng.choice(missing), rng.choice(here)
    large, small = max(one, two), min(one, two)
    results = [(symbol, outcome(large, symbol, small)) for symbol in SYMBOLS]
    symbol, result = rng.choice([(symbol, result) for symbol, result in results if result is not None])
    return Operation(large, symbol, small, result)
