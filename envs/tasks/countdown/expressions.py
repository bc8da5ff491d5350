"""The expressions of Countdown: drawing them, turning them into steps, and building them from steps.

An expression written here, such as ``10 * (45 - 39) + 2``, has only positive whole results, and the larger
operand of each operation is on the left. Parentheses keep the order of the steps, so 9 + (5 + 2) differs from
9 + 5 + 2. This module reads only such expressions; `envs.arithmetic` reads text from models.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from envs.operations import RANKS, SYMBOLS, Operation, divisors, outcome, postfix
from envs.tasks.countdown.search import operations, solution

_RANK = {**RANKS, "": 3}  # a number needs no parentheses
_TOKEN = re.compile(r"[0-9]+|[-+*/()]")
_MAX_DIVISOR = 10  # of drawn divisors; those from sums and products may be larger


class _Part(NamedTuple):
    """An expression: its value, its last operation (empty for a number) and its text."""

    value: int
    symbol: str
    text: str


# ---- drawing ----


def draw_expression(target: int, count: int, max_number: int, rng: random.Random) -> str | None:
    """Try once to draw an expression of `count` numbers up to `max_number` that equals `target`.

    It is drawn from the top down: one of the four operations, uniformly, then its operands. In a sum or
    difference, one operand is a random expression and the other is the rest. In a product or quotient, the
    operands are divisors or multiples. About one problem in three can be solved with + and - alone, as many as
    among solvable problems with uniform numbers.

    Returns:
        The expression, or None if the try failed, which happens about five times in six.
    """
    part = _aim(target, count, max_number, rng)
    return None if part is None else part.text


def draw_numbers(target: int, count: int, max_number: int, rng: random.Random) -> str | None:
    """Draw `count` numbers up to `max_number` uniformly, once; None if they do not reach `target`.

    Stream of Search (arXiv 2404.03683) draws its problems so.

    Returns:
        The expression of the first solution, in the order of `operations`.
    """
    numbers = tuple(sorted(1 + int(rng.random() * max_number) for _ in range(count)))
    steps = solution(target, numbers)
    return None if steps is None else expression_of(numbers, steps)


def _aim(target: int, count: int, max_number: int, rng: random.Random) -> _Part | None:
    if count == 1:
        return _number(target) if target <= max_number else None
    random_ = rng.random  # much faster than randint; drawing is most of the time a problem takes
    num_first = 1 + int(random_() * (count - 1))
    symbol = SYMBOLS[int(random_() * 4)]
    first: _Part | None
    if symbol == "+":
        first = _random(num_first, max_number, rng)
        rest = target - first.value
    elif symbol == "-":
        first = _random(num_first, max_number, rng)
        # The rest is the minuend or the subtrahend.
        rest = first.value + (target if random_() < 0.5 else -target)
    elif symbol == "*":
        factors = divisors(target)
        if not factors:
            return None
        factor = factors[int(random_() * len(factors))]
        first, rest = _aim(factor, num_first, max_number, rng), target // factor
    else:
        factor = 2 + int(random_() * (_MAX_DIVISOR - 1))
        first, rest = _aim(factor, num_first, max_number, rng), target * factor
    num_rest = count - num_first
    if first is None or not 0 < rest <= max_number**num_rest:
        return None
    second = _aim(rest, num_rest, max_number, rng)
    return None if second is None else _join(first, symbol, second)


def _random(count: int, max_number: int, rng: random.Random) -> _Part:
    """An expression of random numbers; each operation is drawn from the possible ones."""
    if count == 1:
        return _number(1 + int(rng.random() * max_number))
    num_first = 1 + int(rng.random() * (count - 1))
    one, two = _random(num_first, max_number, rng), _random(count - num_first, max_number, rng)
    ways = operations((min(one.value, two.value), max(one.value, two.value)))
    return _join(one, ways[int(rng.random() * len(ways))].symbol, two)


def _number(value: int) -> _Part:
    return _Part(value, "", str(value))


def _join(one: _Part, symbol: str, two: _Part, stated: int | None = None) -> _Part:
    """Combine two expressions by an operation, the larger one first; a stated result stands for its own."""
    if one.value < two.value:
        one, two = two, one
    value = outcome(one.value, symbol, two.value) if stated is None else stated
    assert value is not None
    rank = _RANK[symbol]
    left = one.text if _RANK[one.symbol] >= rank else f"({one.text})"
    right = two.text if _RANK[two.symbol] > rank else f"({two.text})"
    return _Part(value, symbol, f"{left} {symbol} {right}")


# ---- expressions to steps and back ----


def numbers_of(expression: str) -> list[int]:
    """The numbers of an expression written here, in order of appearance."""
    return [int(token) for token in _TOKEN.findall(expression) if token.isdigit()]


def steps_of(expression: str) -> tuple[Operation, ...]:
    """The operations of an expression written here, in order: from the inside out, left to right."""
    values: list[int] = []
    steps: list[Operation] = []
    for token in postfix(_TOKEN.findall(expression)):
        if token in SYMBOLS:
            right, left = values.pop(), values.pop()
            result = outcome(left, token, right)
            assert result is not None, expression
            steps.append(Operation(left, token, right, result))
            values.append(result)
        else:
            values.append(int(token))
    return tuple(steps)


def expression_of(numbers: Sequence[int], steps: Iterable[Operation]) -> str | None:
    """The expression that the steps compute from `numbers`, or None if they do not use all of them.

    A step whose stated result is wrong is taken at its word: the operands of later steps are stated results.
    """
    parts = [_number(number) for number in numbers]
    for step in steps:
        one = next(part for part in parts if part.value == step.left)
        parts.remove(one)
        two = next(part for part in parts if part.value == step.right)
        parts.remove(two)
        parts.append(_join(one, step.symbol, two, step.result))
    return parts[0].text if len(parts) == 1 else None
