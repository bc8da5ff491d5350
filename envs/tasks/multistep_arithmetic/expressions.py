"""Expressions as trees: reading, writing, their operations in order, and one part replaced by its value.

In: text such as ``10 * (45 - 39) + 2``, which may be a model's. Out: a `Tree`, immutable, of positive whole
numbers. A text of more than `MAX_CHARS` characters or `MAX_NUMBERS` numbers is refused, so trees are small.
Numbers and results have at most 16 digits, so every expression that is left can be written and read again.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from envs.operations import RANKS, Operation, outcome, postfix

MAX_NUMBERS = 12
MAX_CHARS = 250
MAX_VALUE = 10**16 - 1
_TOKEN = re.compile(r"[0-9]+|[-+*/()]")
_NUMBER = re.compile(r"[1-9][0-9]{0,15}")
_COMMUTE = "+*"

Tree: TypeAlias = "int | Part"


class Part(NamedTuple):
    """An operation on two expressions.

    Example: `Part(10, "*", Part(45, "-", 39))` is 10 * (45 - 39).
    """

    left: Tree
    symbol: str
    right: Tree


class ExpressionError(ValueError):
    """The text is no expression as this module writes them, or a result in it is refused."""


# ---- text ----


def read(text: str) -> Tree:
    """Read an expression; the inverse of `write`.

    Raises:
        ExpressionError: The text is longer than allowed, or it is not what `write` makes of any tree: single
            spaces around operators, no parentheses without need, no zero.
    """
    if len(text) > MAX_CHARS:
        raise ExpressionError(f"more than {MAX_CHARS} characters")
    tree = read_tokens(_TOKEN.findall(text))
    if write(tree) != text:
        raise ExpressionError("not an expression")
    return tree


def read_tokens(tokens: list[str]) -> Tree:
    """The tree of an expression in tokens, by operator precedence, equal ranks from the left.

    Raises:
        ExpressionError: They are too many numbers, or operators lack operands. Other faults pass: `read` finds
            them by writing the tree.
    """
    values: list[Tree] = []
    try:
        for token in postfix(tokens):
            if token in RANKS:
                right, left = values.pop(), values.pop()
                values.append(Part(left, token, right))
            elif not _NUMBER.fullmatch(token) or len(values) == MAX_NUMBERS:
                raise ExpressionError("not an expression")
            else:
                values.append(int(token))
        (tree,) = values
    except (IndexError, ValueError):
        raise ExpressionError("not an expression") from None
    if num_operations(tree) >= MAX_NUMBERS:
        raise ExpressionError(f"more than {MAX_NUMBERS} numbers")
    return tree


def tokens_of(tree: Tree) -> list[str]:
    """Numbers, operators and parentheses in order."""
    return _TOKEN.findall(write(tree))


def write(tree: Tree) -> str:
    """The expression as text. Parentheses keep its order, so 9 + (5 + 2) differs from 9 + 5 + 2."""
    if isinstance(tree, int):
        return str(tree)
    left, right = write(tree.left), write(tree.right)
    if _rank(tree.left) < RANKS[tree.symbol]:
        left = f"({left})"
    if _rank(tree.right) <= RANKS[tree.symbol]:
        right = f"({right})"
    return f"{left} {tree.symbol} {right}"


def _rank(tree: Tree) -> int:
    return 3 if isinstance(tree, int) else RANKS[tree.symbol]


# ---- values ----


def num_operations(tree: Tree) -> int:
    """How many operations an expression has."""
    return 0 if isinstance(tree, int) else 1 + num_operations(tree.left) + num_operations(tree.right)


def result_of(left: int, symbol: str, right: int) -> int | None:
    """The result of an operation, or None if it is not a positive whole number up to `MAX_VALUE`."""
    result = outcome(left, symbol, right)
    return None if result is None or result > MAX_VALUE else result


def value_of(tree: Tree) -> int:
    """The value of an expression.

    Raises:
        ExpressionError: A result is not a positive whole number of at most 16 digits.
    """
    if isinstance(tree, int):
        return tree
    left, right = value_of(tree.left), value_of(tree.right)
    value = result_of(left, tree.symbol, right)
    if value is None:
        raise ExpressionError(
            f"{left} {tree.symbol} {right} is not a positive whole number of at most 16 digits"
        )
    return value


def innermost(tree: Part) -> tuple[Part, Part | None]:
    """The first operation on two numbers, from the left, and the operation that uses its result, if any."""
    part, parent = tree, None
    while True:
        if isinstance(part.left, Part):
            part, parent = part.left, part
        elif isinstance(part.right, Part):
            part, parent = part.right, part
        else:
            return part, parent


def steps_of(tree: Tree) -> list[tuple[Tree, Operation]]:
    """The operations of an expression, innermost first, from the left, each with the expression before it.

    Raises:
        ExpressionError: A result is not a positive whole number of at most 16 digits.
    """
    steps: list[tuple[Tree, Operation]] = []
    while isinstance(tree, Part):
        part, _ = innermost(tree)
        value = value_of(part)
        assert isinstance(part.left, int) and isinstance(part.right, int)
        steps.append((tree, Operation(part.left, part.symbol, part.right, value)))
        after = replaced(tree, part, value)
        assert after is not None
        tree = after
    return steps


def replaced(tree: Tree, part: Tree, value: int) -> Tree | None:
    """The expression with a value in place of a part, the leftmost such; None if it has no such part.

    The operands of a sum and of a product may be in either order.
    """
    if isinstance(tree, int):
        return None
    if _same(tree, part):
        return value
    left = replaced(tree.left, part, value)
    if left is not None:
        return Part(left, tree.symbol, tree.right)
    right = replaced(tree.right, part, value)
    return None if right is None else Part(tree.left, tree.symbol, right)


def _same(one: Tree, two: Tree) -> bool:
    if isinstance(one, int) or isinstance(two, int):
        return one == two
    if one.symbol != two.symbol:
        return False
    if _same(one.left, two.left) and _same(one.right, two.right):
        return True
    return one.symbol in _COMMUTE and _same(one.left, two.right) and _same(one.right, two.left)
