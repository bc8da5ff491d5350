"""Replacements of reasoning-gym scorers that cannot be used.

In: the facts of a problem, and one stated answer that has passed the text gate. Out: a `Grade` in place of a
scorer that evaluates the answer as code, or that refuses a right one. Nothing here evaluates text, recurses
or raises, and every reader is bounded by the 2,000 characters of the gate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from envs.arithmetic import ExpressionError, Rules, evaluate
from envs.grading import Grade
from envs.tasks.reasoning_gym.layout import rows_of

Facts = Mapping[str, Any]
Own = Callable[[str, Facts, str], Grade]

_SUM_TOKEN = re.compile(r"[0-9]+|[A-Za-z]|\*\*|[-+*/^]| +|.")
_FUTOSHIKI = frozenset("123456789 \n<>∧∨^v")
_MAX_DIGITS = 40
_MAX_EXPONENT = 999

Monomial = tuple[tuple[str, int], ...]


def _countdown(gold: str, facts: Facts, answer: str) -> Grade:
    """An expression that uses the given numbers exactly as often as given and equals the target."""
    return _uses(answer, facts["numbers"], facts["target"], frozenset("+-*/"))


def _puzzle24(gold: str, facts: Facts, answer: str) -> Grade:
    return _uses(answer, facts["numbers"], 24, frozenset(facts["operators"]))


def _uses(answer: str, numbers: list[int], target: int, operators: frozenset[str]) -> Grade:
    try:
        found = evaluate(answer, Rules(operators=operators))
    except ExpressionError:
        return Grade.MALFORMED
    right = found.value == target and sorted(found.integers) == sorted(numbers)
    return Grade.CORRECT if right else Grade.WRONG


def _same_rows(gold: str, facts: Facts, answer: str) -> Grade:
    """The same rows of cells, with any spaces between the cells."""
    return Grade.CORRECT if rows_of(answer) == rows_of(gold) else Grade.WRONG


def _futoshiki(gold: str, facts: Facts, answer: str) -> Grade:
    """The digits of the solution, with or without the signs between them."""
    if not set(answer) <= _FUTOSHIKI:
        return Grade.MALFORMED
    one, other = ([row for row in map(_digits_of, text.split("\n")) if row] for text in (answer, gold))
    return Grade.CORRECT if one == other else Grade.WRONG


def _digits_of(row: str) -> str:
    return "".join(character for character in row if character.isdecimal())


def _queens(gold: str, facts: Facts, answer: str) -> Grade:
    """A board with the given queens and one queen in every row, none of which attacks another."""
    given: list[list[str]] = facts["puzzle"]
    board = rows_of(answer)
    size = len(given)
    if len(board) != size or any(len(row) != size or not set(row) <= {"_", "Q"} for row in board):
        return Grade.MALFORMED
    columns = [row.index("Q") for row in board if row.count("Q") == 1]
    kept = all(
        new == "Q"
        for row, old in zip(board, given, strict=True)
        for new, was in zip(row, old, strict=True)
        if was == "Q"
    )
    lines = (columns, [c - r for r, c in enumerate(columns)], [c + r for r, c in enumerate(columns)])
    return Grade.CORRECT if kept and all(len(set(line)) == size for line in lines) else Grade.WRONG


def _polynomial(gold: str, facts: Facts, answer: str) -> Grade:
    """The expanded polynomial: a sum of distinct monomials, in any order."""
    found = read_sum(answer)
    if found is None:
        return Grade.MALFORMED
    return Grade.CORRECT if found == read_sum(gold) else Grade.WRONG


def _antiderivative(gold: str, facts: Facts, answer: str) -> Grade:
    """The same antiderivative up to a constant, as a sum of distinct monomials."""
    found, right = read_sum(answer), read_sum(gold)
    if found is None or right is None:
        return Grade.MALFORMED
    constants = {(), (("C", 1),)}
    differ = any(found.get(monomial, 0) != right.get(monomial, 0) for monomial in {*found, *right} - constants)
    return Grade.WRONG if differ else Grade.CORRECT


def read_sum(text: str) -> dict[Monomial, Fraction] | None:
    """Read a sum of monomials such as ``3*x**2/2 - x*y + 1``; None for anything else.

    A monomial has at most one coefficient, which may be a fraction; then variables of one letter, which may
    have ``**`` or ``^`` and a whole exponent; and at most one whole divisor. Each monomial occurs once in the
    sum, and each variable once in its monomial, so no terms are left to collect. There are no brackets.
    """
    tokens = [token for token in _SUM_TOKEN.findall(text) if token[0] != " "]
    if any(len(token) > _MAX_DIGITS for token in tokens):
        return None
    found: dict[Monomial, Fraction] = {}
    at = 0
    while at < len(tokens):
        sign = 1
        if tokens[at] in "+-" and (at or tokens[at] == "-"):
            sign = -1 if tokens[at] == "-" else 1
            at += 1
        elif at:
            return None
        end = next((i for i in range(at, len(tokens)) if tokens[i] in ("+", "-")), len(tokens))
        term = _read_term(tokens[at:end])
        if term is None or term[0] in found:
            return None
        found[term[0]] = sign * term[1]
        at = end
        if at == len(tokens) - 1:
            return None
    return {monomial: value for monomial, value in found.items() if value} if found else None


def _read_term(tokens: list[str]) -> tuple[Monomial, Fraction] | None:
    powers: dict[str, int] = {}
    value = Fraction(1)
    num_integers = num_divisors = 0
    at, operator = 0, "*"
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token[0] in "0123456789":
            if operator == "/":
                num_divisors += 1
                if num_divisors > 1 or not int(token):
                    return None
                value /= int(token)
            else:
                num_integers += 1
                if num_integers > 1 or powers:
                    return None
                value *= int(token)
        elif token.isalpha() and operator == "*" and token not in powers:
            powers[token] = 1
            if tokens[at : at + 1] in (["**"], ["^"]):
                exponent = tokens[at + 1] if at + 1 < len(tokens) else ""
                if not exponent or exponent[0] not in "0123456789" or int(exponent) > _MAX_EXPONENT:
                    return None
                powers[token] = int(exponent)
                at += 2
        else:
            return None
        if at < len(tokens):
            operator = tokens[at]
            at += 1
            if operator not in ("*", "/") or at == len(tokens):
                return None
    if not tokens:
        return None
    return tuple(sorted((name, power) for name, power in powers.items() if power)), value


# For each task, the replacement and the facts it needs.
OWN: dict[str, tuple[Own, tuple[str, ...]]] = {
    "binary_matrix": (_same_rows, ()),
    "countdown": (_countdown, ("numbers", "target")),
    "futoshiki": (_futoshiki, ()),
    "n_queens": (_queens, ("puzzle",)),
    "polynomial_multiplication": (_polynomial, ()),
    "puzzle24": (_puzzle24, ("numbers", "operators")),
    "simple_integration": (_antiderivative, ()),
    "spiral_matrix": (_same_rows, ()),
    "string_insertion": (_same_rows, ()),
}
