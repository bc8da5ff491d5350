"""Replacements and stricter checks for reasoning-gym scorers that cannot be trusted.

In: the facts of a problem, and one stated answer that has passed the text gate. Out: from `OWN`, a `Grade` in
place of a scorer that evaluates the answer as code; from `STRICTER`, whether an answer can be right at all,
checked before a scorer that is known to accept wrong answers. Nothing here evaluates text, recurses or raises,
and every reader is bounded by the 2,000 characters of the gate.

Each entry of `STRICTER` names the flaw of the scorer (reasoning-gym 0.1.25).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from envs.arithmetic import ExpressionError, Rules, evaluate
from envs.grading import Grade

Facts = Mapping[str, Any]
Own = Callable[[str, Facts, str], Grade]
Stricter = Callable[[str, str], bool]

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_FRACTION = re.compile(r"(-?[0-9]{1,40})/([0-9]{1,40})")
_DIGITS = re.compile("[0-9]+")
_POINT = re.compile(r"\(? *(-?[0-9.]+) *, *(-?[0-9.]+) *\)?")
_SUM_TOKEN = re.compile(r"[0-9]+|[A-Za-z]|\*\*|[-+*/^]| +|.")
_MAX_DIGITS = 40
_MAX_EXPONENT = 999

Monomial = tuple[tuple[str, int], ...]


# ---- replacements of scorers that evaluate the answer ----


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
    return Grade.CORRECT if _rows(answer) == _rows(gold) else Grade.WRONG


def _rows(text: str) -> list[list[str]]:
    return [row.split() for row in text.split("\n")]


def _queens(gold: str, facts: Facts, answer: str) -> Grade:
    """A board with the given queens and one queen in every row, none of which attacks another."""
    given: list[list[str]] = facts["puzzle"]
    board = _rows(answer)
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
    "n_queens": (_queens, ("puzzle",)),
    "polynomial_multiplication": (_polynomial, ()),
    "puzzle24": (_puzzle24, ("numbers", "operators")),
    "simple_integration": (_antiderivative, ()),
    "spiral_matrix": (_same_rows, ()),
    "string_insertion": (_same_rows, ()),
}


# ---- checks before scorers that accept wrong answers ----


def _number(text: str) -> Fraction | None:
    text = text.strip()
    return Fraction(text) if _NUMBER.fullmatch(text) else None


def _ratio(text: str) -> Fraction | None:
    match = _FRACTION.fullmatch(text.strip())
    if match is None:
        return _number(text)
    return Fraction(int(match[1]), int(match[2])) if int(match[2]) else None


def _items(text: str) -> list[Fraction | None]:
    inside = text.strip().removeprefix("[").removesuffix("]")
    return [_number(item.strip().strip("'\"")) for item in inside.split(",")]


def _same_text(gold: str, answer: str) -> bool:
    return answer.casefold().split() == gold.casefold().split()


def _same_without_spaces(gold: str, answer: str) -> bool:
    return "".join(answer.split()) == "".join(gold.split())


def _same_number(gold: str, answer: str) -> bool:
    found = _number(answer)
    return found is not None and found == _number(gold)


def _same_numbers(gold: str, answer: str) -> bool:
    found = _items(answer)
    return None not in found and found == _items(gold)


def _close_ratio(gold: str, answer: str) -> bool:
    found, right = _ratio(answer), _ratio(gold)
    return found is not None and right is not None and abs(found - right) <= abs(right) / 10**6


def _close_cells(gold: str, answer: str) -> bool:
    found, right = ([[_number(cell) for cell in row] for row in _rows(text)] for text in (answer, gold))
    if [len(row) for row in found] != [len(row) for row in right]:
        return False
    pairs = [(a, b) for one, other in zip(found, right, strict=True) for a, b in zip(one, other, strict=True)]
    return all(a is not None and b is not None and abs(a - b) <= Fraction(5, 1000) for a, b in pairs)


def _all_numbers(gold: str, answer: str) -> bool:
    return None not in _items(answer) and len(_items(answer)) == len(_items(gold))


def _finite_complex(gold: str, answer: str) -> bool:
    return set(answer.lower()) <= set("0123456789+-.()ij ")


def _one_measure(gold: str, answer: str) -> bool:
    """An angle is one number, a point is two; a radius is compared as text."""
    if gold.endswith("°"):
        found, right = _number(answer.removesuffix("°")), _number(gold.removesuffix("°"))
        return found is not None and right is not None and abs(found - right) <= Fraction(1, 100)
    if not gold.startswith("("):
        return answer == gold
    one, other = _POINT.fullmatch(answer.strip()), _POINT.fullmatch(gold)
    if one is None or other is None:
        return False
    pairs = [(_number(one[i]), _number(other[i])) for i in (1, 2)]
    return all(a is not None and b is not None and abs(a - b) <= Fraction(1, 1000) for a, b in pairs)


def _as_many_numbers(gold: str, answer: str) -> bool:
    return len(_DIGITS.findall(answer)) == len(_DIGITS.findall(gold))


def _letters_once(gold: str, answer: str) -> bool:
    letters = [pair.split("=")[0].strip() for pair in answer.split(",")]
    return len(set(letters)) == len(letters)


def _same_cells(gold: str, answer: str) -> bool:
    return _rows(answer) == _rows(gold)


def _same_list(gold: str, answer: str) -> bool:
    return [item.strip() for item in answer.split(",")] == [item.strip() for item in gold.split(",")]


def _only(allowed: str) -> Stricter:
    permitted = frozenset(allowed)
    return lambda gold, answer: permitted.issuperset(answer)


STRICTER: dict[str, Stricter] = {
    "advanced_geometry": _one_measure,  # ignores text after the first two numbers
    "coin_flip": _close_ratio,  # accepts 1e-4 off, so 0 often passes; Fraction("1e999999999") hangs
    "complex_arithmetic": _finite_complex,  # min(1.0, nan) is 1.0
    "cryptarithm": _letters_once,  # of several digits for one letter the last counts
    "decimal_arithmetic": _same_number,  # accepts one unit of the last place off
    "figlet_font": _same_text,  # accepts ten right letters
    "fraction_simplification": _as_many_numbers,  # ignores text after the fraction
    "game_of_life": _same_without_spaces,  # ignores extra rows and cells
    "game_of_life_halting": _same_text,  # takes any text as true
    "gsm_symbolic": _same_number,  # takes the first number in the text, without its sign
    "kakurasu": _only("01 \n"),  # ignores other characters
    "letter_jumble": _same_text,  # ignores text after the answer
    "number_sorting": _same_numbers,  # accepts numbers 1 off, and NaN anywhere
    "polynomial_equations": _all_numbers,  # ignores text that is no number
    "pool_matrix": _close_cells,  # accepts 1 % off
    "quantum_lock": _only("ABCabc→->, "),  # ignores other letters
    "rectangle_count": _same_number,
    "sokoban": _only("UDLRudlr"),  # ignores other letters
    "spell_backward": _same_text,  # adds rounded fractions, and some sums exceed 1
    "survo": _same_cells,  # ignores text that is no number
    "time_intervals": _as_many_numbers,  # ignores text after the first number
    "word_sorting": _same_list,  # ignores text after the answer
}
