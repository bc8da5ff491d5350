"""Bounded exact arithmetic: reads and evaluates arithmetic expressions that a model wrote.

In: untrusted text such as ``(1 + 2) * 3 / 4``. Out: an `Expression` with its exact value and the numbers it
uses, or an `ExpressionError`; no text raises anything else. The parser is operator-precedence parsing
(Dijkstra's shunting yard) with explicit stacks. It does not recurse, it evaluates nothing as code, and it
refuses an operation before doing it if the result could exceed a bound. The caller normalises signs such as −
and ×.

Grammar; spaces are allowed between and around tokens, and `Rules` sets which operators are allowed::

    sum     = product {(+ | -) product}
    product = factor {(* | /) factor}
    factor  = - factor | power
    power   = atom [(^ | **) factor]
    atom    = number | ( sum )
    number  = 0 | (1-9) {0-9}, and if decimals are allowed, one point between digits

So ``-2^2`` is -4, ``2^3^2`` is 2^9, ``2^-1`` is 1/2 and ``0^0`` is 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_FOREIGN = re.compile(r"[^0-9+\-*/^(). ]")
_TOKEN = re.compile(r"[0-9.]+|\*\*|[-+*/^()]")  # skips only spaces if there is no foreign character
_NEGATE = "negate"
_RANK = {"(": 0, "+": 1, "-": 1, "*": 2, "/": 2, _NEGATE: 3, "^": 4}
# Waiting operators of at least this rank are applied before the new one. For ^ there are none, since it binds
# tightest and is right-associative.
_APPLIES_FROM = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 5}


class ExpressionError(ValueError):
    """The text is not in the grammar or exceeds a bound; the message is a short reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """The grammar and the bounds of a task; each task has one instance.

    Example: `Rules(operators=frozenset("+-*/^"), negatives=False)`.

    Attributes:
        operators: The allowed binary operators, a subset of ``+ - * / ^``; ``**`` is read as ``^``.
        parentheses: Whether ``(`` and ``)`` are allowed.
        negatives: Whether unary minus is allowed. There is no unary plus.
        decimals: Whether literals such as 2.5 are allowed.
        max_chars: Largest number of characters in a text.
        max_tokens: Largest number of tokens in a text.
        max_depth: Largest nesting depth of parentheses.
        max_digits: Largest number of digits in a literal, from 1 to the smaller of `max_bits` / 4 and 640.
        max_bits: Largest number of bits in the numerator and in the denominator of every intermediate result.
            It is estimated from the operands, so a result that would cancel to fewer bits may be refused.
        max_exponent: Largest absolute value of an exponent.

    Raises:
        ValueError: An operator is unknown, or `max_digits` is out of range.
    """

    operators: frozenset[str] = frozenset("+-*/")
    parentheses: bool = True
    negatives: bool = True
    decimals: bool = False
    max_chars: int = 1000
    max_tokens: int = 400
    max_depth: int = 64
    max_digits: int = 40
    max_bits: int = 4096
    max_exponent: int = 64

    def __post_init__(self) -> None:
        if unknown := self.operators - _APPLIES_FROM.keys():
            raise ValueError(f"unknown operators {sorted(unknown)}; known: {' '.join(_APPLIES_FROM)}")
        most = min(
            self.max_bits // 4, 640
        )  # int() accepts 640 digits under every Python setting; a digit has under 4 bits
        if not 1 <= self.max_digits <= most:
            raise ValueError(
                f"max_digits is {self.max_digits}; with max_bits {self.max_bits} it must be from 1 to {most}"
            )


_DEFAULT = Rules()


@dataclass(frozen=True, kw_only=True, slots=True)
class Expression:
    """A parsed expression.

    Example: `evaluate("8 / (3 - 1) - 1")` is `Expression(value=Fraction(3), integers=(8, 3, 1, 1))`.

    Attributes:
        value: Its exact value.
        integers: The integer literals in order of appearance, without a unary minus. Decimal literals are left
            out, since a task that prescribes the numbers to use does not allow decimals.
    """

    value: Fraction
    integers: tuple[int, ...]


def evaluate(text: str, rules: Rules = _DEFAULT) -> Expression:
    """Read an expression and evaluate it.

    Args:
        text: Untrusted text.
        rules: The grammar and the bounds.

    Raises:
        ExpressionError: The text is outside the grammar, exceeds a bound, or divides by zero.
    """
    values: list[int | Fraction] = []
    waiting: list[str] = []  # operators and open parentheses
    integers: list[int] = []
    depth = 0
    wants_operand = True
    for token in _tokenize(text, rules):
        if wants_operand:
            if token[0] in "0123456789.":
                value = _read_literal(token, rules)
                if isinstance(value, int):
                    integers.append(value)
                values.append(value)
                wants_operand = False
            elif token == "(":
                if not rules.parentheses:
                    raise ExpressionError("parentheses are not allowed")
                depth += 1
                if depth > rules.max_depth:
                    raise ExpressionError(f"parentheses nested more than {rules.max_depth} deep")
                waiting.append("(")
            elif token == "-":
                if not rules.negatives:
                    raise ExpressionError("negative numbers are not allowed")
                waiting.append(_NEGATE)
            else:
                raise ExpressionError("a number is missing")
        elif token == ")":
            if not depth:
                raise ExpressionError("a parenthesis was not opened")
            depth -= 1
            while (operator := waiting.pop()) != "(":
                _apply(operator, values, rules)
        else:
            if token == "**":
                token = "^"
            applies_from = _APPLIES_FROM.get(token)
            if applies_from is None:
                raise ExpressionError("an operator is missing")
            if token not in rules.operators:
                raise ExpressionError(f"the operator {token} is not allowed")
            while waiting and _RANK[waiting[-1]] >= applies_from:
                _apply(waiting.pop(), values, rules)
            waiting.append(token)
            wants_operand = True
    if wants_operand:
        raise ExpressionError("a number is missing")
    if depth:
        raise ExpressionError("a parenthesis was not closed")
    while waiting:
        _apply(waiting.pop(), values, rules)
    return Expression(value=Fraction(values[0]), integers=tuple(integers))


def _tokenize(text: str, rules: Rules) -> list[str]:
    if len(text) > rules.max_chars:
        raise ExpressionError(f"more than {rules.max_chars} characters")
    if _FOREIGN.search(text):
        raise ExpressionError("a character outside the grammar")
    tokens: list[str] = _TOKEN.findall(text)
    if len(tokens) > rules.max_tokens:
        raise ExpressionError(f"more than {rules.max_tokens} tokens")
    return tokens


def _read_literal(token: str, rules: Rules) -> int | Fraction:
    whole, point, places = token.partition(".")
    if len(whole) + len(places) > rules.max_digits:
        raise ExpressionError(f"a number of more than {rules.max_digits} digits")
    if not whole or bool(point) != bool(places) or "." in places:
        raise ExpressionError("a point that is not between digits")
    if whole[0] == "0" and len(whole) > 1:
        raise ExpressionError("a number with leading zeros")
    if not point:
        return int(whole)
    if not rules.decimals:
        raise ExpressionError("decimal numbers are not allowed")
    return Fraction(int(whole + places), 10 ** len(places))


def _apply(operator: str, values: list[int | Fraction], rules: Rules) -> None:
    """Replace the last operands on the stack by the result; sums and products of integers stay integers."""
    right = values.pop()
    if operator == _NEGATE:
        values.append(-right)
        return
    left = values.pop()
    if operator == "^":
        values.append(_power(left, right, rules))
        return
    above, below = left.numerator.bit_length(), left.denominator.bit_length()
    right_above, right_below = right.numerator.bit_length(), right.denominator.bit_length()
    if operator == "/":
        if not right:
            raise ExpressionError("division by zero")
        bits = max(above + right_below, below + right_above)
    elif operator == "*":
        bits = max(above + right_above, below + right_below)
    else:
        bits = max(above + right_below + 1, right_above + below + 1, below + right_below)
    if bits > rules.max_bits:
        raise ExpressionError(f"a result of more than {rules.max_bits} bits")
    if operator == "+":
        values.append(left + right)
    elif operator == "-":
        values.append(left - right)
    elif operator == "*":
        values.append(left * right)
    else:
        values.append(Fraction(left) / right)


def _power(base: int | Fraction, exponent: int | Fraction, rules: Rules) -> int | Fraction:
    if exponent.denominator != 1:
        raise ExpressionError("an exponent that is not a whole number")
    times = exponent.numerator
    if abs(times) > rules.max_exponent:
        raise ExpressionError(f"an exponent over {rules.max_exponent}")
    if not base and times < 0:
        raise ExpressionError("division by zero")
    if max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(times) > rules.max_bits:
        raise ExpressionError(f"a result of more than {rules.max_bits} bits")
    power: int | Fraction = base**times if times >= 0 else Fraction(base) ** times
    return power
