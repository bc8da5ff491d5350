"""Drawing expressions with positive whole results, the larger operand of each operation on the left.

An expression is drawn from the top down: the operation by its weight, its operands as uniformly as the bounds
allow, then an expression for each operand. The operands of the last operation are at most `max_number`, as the
numbers are, so most operands have as many digits as they; other operands and all results may be as large as
`max_result`.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Mapping
from itertools import accumulate
from math import isqrt

from envs.operations import divisors, outcome
from envs.tasks.multistep_arithmetic.expressions import Part, Tree

_MAX_DIVISOR = 10  # of quotients that are operands
_OPERATIONS_TRIED = 12  # for each operation; most values have a sum and a difference, few have factors


class Drawing:
    """How expressions are drawn: the bounds, and the operators with their weights."""

    def __init__(self, max_number: int, max_result: int, operators: Mapping[str, float]) -> None:
        self._max_number = max_number
        self._max_result = max_result
        self._symbols = list(operators)
        self._cumulative = list(accumulate(operators.values()))

    def draw(self, count: int, rng: random.Random) -> tuple[Tree, int] | None:
        """Try once to draw an expression of `count` numbers, at least two.

        Returns:
            The expression and its value, or None if the try failed. No operation occurs twice in it, so a line
            says which one it does.
        """
        num_left = 1 + int(rng.random() * (count - 1))
        seen: set[Part] = set()
        for _ in range(_OPERATIONS_TRIED):
            symbol = self._symbol(rng)
            found = self._operands(symbol, rng)
            if found is not None:
                break
        else:
            return None
        tree = self._join(found, symbol, (num_left, count - num_left), seen, rng)
        if tree is None or len(seen) < count - 1:
            return None
        left, right = found
        value = outcome(left, symbol, right)
        assert value is not None
        return tree, value

    def _symbol(self, rng: random.Random) -> str:
        at = bisect(self._cumulative, rng.random() * self._cumulative[-1])
        return self._symbols[min(at, len(self._symbols) - 1)]

    def _operands(self, symbol: str, rng: random.Random) -> tuple[int, int] | None:
        """Operands of the last operation, up to `max_number`; the larger one first where it matters."""
        uniform, most = rng.random, self._max_number
        if symbol in "+-":
            one = 1 + int(uniform() * most)
            two = 1 + int(uniform() * most)
            if symbol == "+":
                return (one, two) if one + two <= self._max_result else None
            return (max(one, two), min(one, two)) if one != two else None
        limit = self._max_result if symbol == "*" else most
        if limit < 4:  # no two factors above 1
            return None
        low = 2 + int(uniform() * (min(isqrt(limit), most) - 1))
        high = low + int(uniform() * (min(limit // low, most) - low + 1))
        one, two = (low, high) if uniform() < 0.5 else (high, low)
        return (one, two) if symbol == "*" else (one * two, two)

    def _of_value(self, value: int, count: int, seen: set[Part], rng: random.Random) -> Tree | None:
        """An expression of `count` numbers with this value, or None if the try failed."""
        if count == 1:
            return value
        num_left = 1 + int(rng.random() * (count - 1))
        sizes = num_left, count - num_left
        for _ in range(_OPERATIONS_TRIED):
            symbol = self._symbol(rng)
            found = self._split(value, symbol, self._most(sizes[0]), self._most(sizes[1]), rng)
            if found is not None:
                return self._join(found, symbol, sizes, seen, rng)
        return None

    def _most(self, count: int) -> int:
        """The largest value of so many numbers: their sum can reach it."""
        return self._max_number if count == 1 else min(self._max_result, count * self._max_number)

    def _split(
        self, value: int, symbol: str, most_left: int, most_right: int, rng: random.Random
    ) -> tuple[int, int] | None:
        """Operands whose result is `value`, drawn uniformly by the second one; None if there are none."""
        if symbol == "*":
            factors = [f for f in divisors(value) if f <= most_right and value <= f * most_left]
            if not factors:
                return None
            factor = factors[int(rng.random() * len(factors))]
            return value // factor, factor
        if symbol == "+":
            low, high = max(1, value - most_left), min(value - 1, most_right)
        elif symbol == "-":
            low, high = 1, min(most_right, most_left - value)
        else:
            low, high = 2, min(most_right, most_left // value, _MAX_DIVISOR)
        if high < low:
            return None
        right = low + int(rng.random() * (high - low + 1))
        return (value - right if symbol == "+" else value + right if symbol == "-" else value * right), right

    def _join(
        self,
        values: tuple[int, int],
        symbol: str,
        sizes: tuple[int, int],
        seen: set[Part],
        rng: random.Random,
    ) -> Tree | None:
        """The operation on an expression for each operand, the larger operand first."""
        one = self._of_value(values[0], sizes[0], seen, rng)
        two = self._of_value(values[1], sizes[1], seen, rng) if one is not None else None
        if one is None or two is None:
            return None
        seen.add(Part(max(values), symbol, min(values)))
        return Part(one, symbol, two) if values[0] >= values[1] else Part(two, symbol, one)
