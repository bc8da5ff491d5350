"""Worked solutions from an equation alone, as data sets of short word problems have it (SVAMP, MAWPS).

In: ``( ( 80.0 + 54.0 ) - 36.0 )``. Out: the full solution, an operation a line, and a skipped one in a line::

    80 + 54 = 134                        (80 + 54) - 36 = 98
    134 - 36 = 98

Each operation stands in parentheses of its own. Results that are neither whole nor short decimals are refused:
a model would have to round them.
"""

from __future__ import annotations

import re
from fractions import Fraction

from envs.arithmetic import ExpressionError, Rules, evaluate

_NUMBER = r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?"
_INNERMOST = re.compile(rf"\( *({_NUMBER}) *([-+*/]) *({_NUMBER}) *\)")
_WHOLE = re.compile(r"\.0+(?![0-9])")
_RULES = Rules(decimals=True)
_MAX_CHARS = 300
_MAX_OPERATIONS = 20
_MAX_PLACES = 4


def work_out(equation: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The lines of the full and of the skipped solution; the latter is empty where one operation is all.

    None: the text is no equation of this form, divides by zero, or has a result with many decimal places.
    """
    text = _WHOLE.sub("", equation.strip()[: _MAX_CHARS + 1])
    if len(text) > _MAX_CHARS:
        return None
    lines: list[str] = []
    left = text
    while (match := _INNERMOST.search(left)) and len(lines) < _MAX_OPERATIONS:
        first, operator, second = match.groups()
        result = _value(f"{_in_parentheses(first)} {operator} {_in_parentheses(second)}")
        if result is None:
            return None
        lines.append(f"{first} {operator} {second} = {result}")
        left = f"{left[: match.start()]}{result}{left[match.end() :]}"
    if not lines or not re.fullmatch(_NUMBER, left.strip()):
        return None
    whole = re.sub(r"\( *| *\)", lambda bracket: bracket[0].strip(), text)[1:-1].strip()
    return tuple(lines), (f"{whole} = {left.strip()}",) if len(lines) > 1 else ()


def _in_parentheses(number: str) -> str:
    return f"({number})" if number.startswith("-") else number


def _value(expression: str) -> str | None:
    try:
        value = evaluate(expression, _RULES).value
    except ExpressionError:
        return None
    return _decimal(value)


def _decimal(value: Fraction) -> str | None:
    """A number as written by hand; None: it has no short decimal form."""
    scaled = value * 10**_MAX_PLACES
    if scaled.denominator != 1:
        return None
    whole, places = divmod(abs(scaled.numerator), 10**_MAX_PLACES)
    digits = f"{places:0{_MAX_PLACES}}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if digits else ''}{digits}"
