"""Operations of Countdown, reachability of the target, and the depth-first search.

In: the numbers left, in ascending order, and the target. Out: the possible `operations`, whether the target
`can_be_reached`, and the lines of a depth-first `search`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations

from envs.operations import SYMBOLS, Operation, outcome
from envs.trace import BACKTRACK

Numbers = tuple[int, ...]


def operations(numbers: Numbers) -> list[Operation]:
    """Every operation with a distinct outcome, the larger number first, in a fixed order.

    Operations that leave the same numbers as an earlier one are left out: the smaller number first, division
    by 1, 2 * 2 after 2 + 2.
    """
    found = []
    for small, large in sorted(set(combinations(numbers, 2))):
        results: set[int] = set()
        for symbol in SYMBOLS:
            result = outcome(large, symbol, small)
            if result is not None and result not in results:
                results.add(result)
                found.append(Operation(large, symbol, small, result))
    return found


def after(numbers: Numbers, operation: Operation) -> Numbers:
    """The numbers left after an operation.

    Raises:
        ValueError: An operand is not among the numbers.
    """
    left = list(numbers)
    left.remove(operation.left)
    left.remove(operation.right)
    left.append(operation.result)
    left.sort()
    return tuple(left)


def can_be_reached(target: int, numbers: Numbers) -> bool:
    """Whether operations lead from `numbers` to `target`, a positive number, alone; exact.

    With four numbers, the last operation joins what three of them make with the fourth, or what two pairs make.
    """
    if len(numbers) <= 3:
        return target in _values(numbers)
    if len(numbers) > 4:
        return _can_be_reached(target, numbers)
    a, b, c, d = numbers
    for one, others in ((a, (b, c, d)), (b, (a, c, d)), (c, (a, b, d)), (d, (a, b, c))):
        if not _values(others).isdisjoint(_before(target, one)):
            return True
    for pair, other in (((a, b), (c, d)), ((a, c), (b, d)), ((a, d), (b, c))):
        results = _values(other)
        if any(not results.isdisjoint(_before(target, one)) for one in _values(pair)):
            return True
    return False


@lru_cache(maxsize=1 << 16)
def _can_be_reached(target: int, numbers: Numbers) -> bool:
    return any(can_be_reached(target, after(numbers, operation)) for operation in operations(numbers))


def _values(numbers: Numbers) -> set[int]:
    """What all of up to three numbers can make."""
    if len(numbers) == 1:
        return {*numbers}
    found: set[int] = set()
    if len(numbers) == 2:
        pairs: tuple[tuple[int, Iterable[int]], ...] = ((numbers[0], numbers[1:]),)
    else:
        a, b, c = numbers
        pairs = ((a, _values((b, c))), (b, _values((a, c))), (c, _values((a, b))))
    for one, others in pairs:
        for other in others:
            found |= {one + other, one * other, abs(one - other)}
            if one % other == 0:
                found.add(one // other)
            if other % one == 0:
                found.add(other // one)
    found.discard(0)
    return found


def _before(target: int, number: int) -> list[int]:
    """The numbers that one operation with `number` turns into the target, and perhaps 0, which is none."""
    found = [target + number, target * number, abs(target - number)]
    if target % number == 0:
        found.append(target // number)
    if number % target == 0:
        found.append(number // target)
    return found


def solution(target: int, numbers: Numbers) -> list[Operation] | None:
    """The first operations, in the order of `operations`, that lead to the target; None if none do."""
    if not can_be_reached(target, numbers):
        return None
    steps: list[Operation] = []
    while len(numbers) > 1:
        ways = ((way, after(numbers, way)) for way in operations(numbers))
        step, numbers = next(way for way in ways if can_be_reached(target, way[1]))
        steps.append(step)
    return steps


def search(target: int, numbers: Numbers, max_lines: int) -> tuple[str, ...] | None:
    """Search for the target depth first and write down every step.

    The operation that leaves the smallest sum is tried first. With two numbers left, only the operation that
    comes nearest to the target is tried; if it misses, all do. Numbers that have failed are not visited again.
    From a dead end `<backtrack> j` returns to the deepest state with an untried operation. The branch it leaves
    has been searched completely, so every backtrack is needed.

    Returns:
        The lines, or None if there would be more than `max_lines` or if there is no solution.
    """
    lines: list[str] = []
    depth = 0  # steps on the path
    untried = [_ranked(target, numbers)]  # untried[j]: operations left to try after the first j steps
    tried: set[Numbers] = set()
    while untried:
        at = len(untried) - 1
        reached = next((way for way in untried[at] if way[1] not in tried), None)
        if reached is None:
            untried.pop()
            continue
        operation, left = reached
        if depth > at:
            lines.append(f"{BACKTRACK} {at}")
        lines.append(operation.line)
        if len(lines) > max_lines:
            return None
        if left == (target,):
            return tuple(lines)
        depth = at + 1
        if len(left) > 1:
            tried.add(left)
            untried.append(_ranked(target, left))
    return None


def _ranked(target: int, numbers: Numbers) -> Iterator[tuple[Operation, Numbers]]:
    """The operations to try and the numbers each leaves, best first; ties keep the order of `operations`."""
    ways = [(operation, after(numbers, operation)) for operation in operations(numbers)]
    if len(numbers) == 2:
        return iter([min(ways, key=lambda way: abs(way[1][0] - target))])
    return iter(sorted(ways, key=lambda way: sum(way[1])))
