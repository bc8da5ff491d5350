"""Operations on positive whole numbers, with such results only, and the order that an expression does them in.

Lines of Countdown and of multi-step arithmetic are such operations.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

SYMBOLS = "+-*/"
RANKS = {"+": 1, "-": 1, "*": 2, "/": 2}
"""Precedence of the operators: the higher one comes first."""
_MAX_FACTORED = 10_000
_SLIPS = (-10, -2, -1, 1, 2, 10)


class Operation(NamedTuple):
    """One operation and its result.

    Example: `Operation(45, "-", 39, 6).line` is `"45 - 39 = 6"`.
    """

    left: int
    symbol: str
    right: int
    result: int

    @property
    def line(self) -> str:
        """The operation as a line of a trace."""
        return f"{self.left} {self.symbol} {self.right} = {self.result}"


def outcome(left: int, symbol: str, right: int) -> int | None:
    """The result of an operation on two positive numbers, or None if it is not a positive whole number."""
    if symbol == "+":
        return left + right
    if symbol == "-":
        return left - right if left > right else None
    if symbol == "*":
        return left * right
    return left // right if left % right == 0 else None


def postfix(tokens: Iterable[str]) -> list[str]:
    """The numbers and operators of an expression, each operator after its operands (the shunting yard).

    Example: `["9", "+", "5", "*", "2"]` gives `["9", "5", "2", "*", "+"]`. Equal ranks go from the left.

    Raises:
        ValueError: A parenthesis has no partner.
    """
    found: list[str] = []
    waiting: list[str] = []  # operators and open parentheses
    for token in tokens:
        if token == "(":
            waiting.append(token)
        elif token == ")":
            if "(" not in waiting:
                raise ValueError("a parenthesis is closed that was not opened")
            while (symbol := waiting.pop()) != "(":
                found.append(symbol)
        elif token in RANKS:
            while waiting and RANKS.get(waiting[-1], 0) >= RANKS[token]:
                found.append(waiting.pop())
            waiting.append(token)
        else:
            found.append(token)
    if "(" in waiting:
        raise ValueError("a parenthesis is not closed")
    return found + waiting[::-1]


@lru_cache(maxsize=_MAX_FACTORED)
def divisors(number: int) -> tuple[int, ...]:
    """Divisors except 1 and the number itself; none for a number above `_MAX_FACTORED`."""
    if number > _MAX_FACTORED:
        return ()
    low = [d for d in range(2, isqrt(number) + 1) if number % d == 0]
    return tuple(sorted({*low, *(number // d for d in low)}))


def slipped(step: Operation, rng: random.Random) -> Operation:
    """An operation with a slightly wrong result."""
    slips = [slip for slip in _SLIPS if step.result + slip > 0]
    return step._replace(result=step.result + rng.choice(slips))
