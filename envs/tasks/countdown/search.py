"""Which operations a Countdown state allows, what it can still reach, and the search that writes its steps.

In: the numbers left, in ascending order, and the target. Out: `operations` from there, whether the target
`can_be_reached`, and the lines of a depth-first `search`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from envs.trace import BACKTRACK

Numbers = tuple[int, ...]
SYMBOLS = "+-*/"


class Operation(NamedTuple):
    """One operation and what it gives.

    Example: `Operation(45, "-", 39, 6).line` is `"45 - 39 = 6"`.
    """

    left: int
    symbol: str
    right: int
    result: int

    @property
    def line(self) -> str:
        """The step as a trace writes it."""
        return f"{self.left} {self.symbol} {self.right} = {self.result}"


def outcome(left: int, symbol: str, right: int) -> int | None:
    """The result of an operation on two positive numbers, or None where it is not a positive whole number."""
    if symbol == "+":
        return left + right
    if symbol == "-":
        return left - right if left > right else None
    if symbol == "*":
        return left * right
    return left // right if left % right == 0 else None


def operations(numbers: Numbers) -> list[Operation]:
    """Every operation that leads somewhere of its own, the larger number first, in a fixed order.

    Left out are those that lead where an earlier one does: the smaller number first, division by 1, 2 * 2 after
    2 + 2.
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
    """What is left once an operation is done.

    Raises:
        ValueError: A number it takes is not there.
    """
    left = list(numbers)
    left.remove(operation.left)
    left.remove(operation.right)
    left.append(operation.result)
    left.sort()
    return tuple(left)


def can_be_reached(target: int, numbers: Numbers) -> bool:
    """Whether operations lead from `numbers` to `target` alone, a positive number; every way is tried."""
    if len(numbers) == 1:
        return numbers[0] == target
    if len(numbers) == 2:
        small, large = numbers
        return target in (large + small, large - small, large * small) or target * small == large
    return _can_be_reached(target, numbers)


@lru_cache(maxsize=1 << 16)
def _can_be_reached(target: int, numbers: Numbers) -> bool:
    return any(can_be_reached(target, after(numbers, operation)) for operation in operations(numbers))


def search(target: int, numbers: Numbers, max_lines: int) -> tuple[str, ...] | None:
    """Look for the target depth first and write down every step.

    What leaves the smallest sum is tried first. Of two numbers only the operation that comes nearest to the
    target is tried: where it misses, all do. Numbers that have failed are not gone to again. From a dead end
    `<backtrack> j` goes to the deepest state with something left to try. What it leaves has been tried in
    full, so no backtrack leaves a way to the target.

    Returns:
        The lines, or None where they would be more than `max_lines` or there is no solution.
    """
    lines: list[str] = []
    depth = 0  # steps on the path
    untried = [_ranked(target, numbers)]  # untried[j]: what else to try after the first j of them
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
    """What to try from some numbers, and what it leaves; the order of `operations` settles ties."""
    ways = [(operation, after(numbers, operation)) for operation in operations(numbers)]
    if len(numbers) == 2:
        return iter([min(ways, key=lambda way: abs(way[1][0] - target))])
    return iter(sorted(ways, key=lambda way: sum(way[1])))
