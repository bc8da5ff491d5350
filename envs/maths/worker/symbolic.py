r"""Solutions of conditions on one letter, with sympy.

In: trees of `envs.maths.algebra` as JSON, or coefficients. Out: whether two inequalities have the same real
solutions, and how many real roots two polynomials share. This is the only module that imports sympy. It builds
sympy's objects from trees with their constructors: sympy is never given a text, not even the name of a letter,
since it would evaluate it. Only trees whose parts have values of bounded size get here, and sympy's solutions
of an inequality are tried at points before they count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import sympy
from mpmath import mp

from .formulas import MAX_WEIGHT, bits_of
from .walk import walk

MAX_DEGREE = 12
MAX_SPANS = 12
_DIGITS = 120
_SAME = sympy.Rational(1, 10**100)
_SHARES = tuple(sympy.Rational(share, 1000) for share in (1, 317, 500, 743, 999))  # of an interval
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "ln": sympy.log, "abs": sympy.Abs,
}  # fmt: skip
_RELATIONS: dict[str, Callable[..., Any]] = {"<": sympy.StrictLessThan, "<=": sympy.LessThan}


class Unsolvable(ValueError):
    """Not a condition that is solved here."""


class Span(NamedTuple):
    """All numbers between two ends; a point is an interval from it to itself."""

    low: Any
    high: Any
    low_open: bool
    high_open: bool


def same_solutions(gold: Any, answer: Any) -> bool:
    """Whether two conditions on one letter have the same real solutions.

    Args:
        gold: Inequalities in the letter, also joined by `("and", …)` and `("or", …)`.
        answer: The same.

    Returns:
        False also where they cannot be solved, have no solution, or hold for all numbers.
    """
    names = {name for tree in (gold, answer) for name in _letters(tree)}
    if len(names) != 1:
        return False
    (name,) = names
    try:
        first, second = _solutions(gold, name), _solutions(answer, name)
    except (Unsolvable, NotImplementedError):
        return False
    if not first or len(first) != len(second) or (first[0].low, first[0].high) == (-sympy.oo, sympy.oo):
        return False
    return all(
        (one.low_open, one.high_open) == (other.low_open, other.high_open)
        and _same(one.low, other.low)
        and _same(one.high, other.high)
        for one, other in zip(first, second, strict=True)
    )


def shared_roots(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> list[int]:
    """The number of distinct real roots of a polynomial, of another, and of both.

    Args:
        one: Its coefficients from the constant up, as numerator and denominator.
        other: The same.
    """
    letter = sympy.Dummy()
    first, second = (
        sympy.Poly.from_list([sympy.Rational(*pair) for pair in reversed(coefficients)], letter).sqf_part()
        for coefficients in (one, other)
    )
    return [int(poly.count_roots()) for poly in (first, second, first.gcd(second))]


# ---- solutions ----


def _solutions(tree: Any, name: str) -> list[Span]:
    """The real solutions of a condition as intervals in order, tried at points.

    Raises:
        Unsolvable: It is not of a kind that is solved here, or a trial fails.
    """
    if not all(bits_of(side) <= MAX_WEIGHT for relation in _relations(tree) for side in relation[2:]):
        raise Unsolvable("large numbers")
    if not any(_holds(tree, name, sympy.Rational(point, 7)) is not None for point in range(-9, 9, 2)):
        raise Unsolvable("no values")  # or none of bounded size
    letter = sympy.Dummy(real=True)
    spans = _spans(_solve(tree, name, letter))
    ends = sorted({end for span in spans for end in span[:2] if end.is_finite}, key=_number)
    places = [-sympy.oo, *ends, sympy.oo]
    for low, high in pairwise(places):
        inside = any(
            _number(span.low) <= _number(low) and _number(high) <= _number(span.high) for span in spans
        )
        for point in _between(low, high):
            if bool(_holds(tree, name, point)) is not inside:
                raise Unsolvable("a trial fails")
    return spans


def _solve(tree: Any, name: str, letter: Any) -> Any:
    """The solutions of a condition as a set of sympy."""
    if tree[0] in ("and", "or"):
        parts = [_solve(part, name, letter) for part in tree[1:]]
        return sympy.Intersection(*parts) if tree[0] == "and" else sympy.Union(*parts)
    _, sign, left, right = tree
    if sign not in _RELATIONS:
        raise Unsolvable(sign)
    difference = _expression(left, name, letter) - _expression(right, name, letter)
    if not difference.has(letter):
        raise Unsolvable("no letter")
    return sympy.solveset(_RELATIONS[sign](difference, 0), letter, sympy.S.Reals)


def _spans(found: Any) -> list[Span]:
    """The intervals of a set in order; those that touch are one."""
    if found is sympy.S.Reals:
        return [Span(-sympy.oo, sympy.oo, True, True)]
    spans: list[Span] = []
    for part in found.args if isinstance(found, sympy.Union) else (found,):
        if isinstance(part, sympy.FiniteSet):
            spans += [Span(point, point, False, False) for point in part]
        elif isinstance(part, sympy.Interval):
            spans.append(Span(part.start, part.end, bool(part.left_open), bool(part.right_open)))
        elif part is not sympy.S.EmptySet:
            raise Unsolvable("a set without intervals")
    if len(spans) > MAX_SPANS or not all(end.is_number for span in spans for end in span[:2]):
        raise Unsolvable("too many intervals, or ends that are no numbers")
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (_number(span.low), span.low_open)):
        last = merged[-1] if merged else None
        if last and _same(last.high, span.low) and not (last.high_open and span.low_open):
            merged[-1] = Span(last.low, span.high, last.low_open, span.high_open)
        else:
            merged.append(span)
    return merged


def _number(end: Any) -> Any:
    value = sympy.N(end, _DIGITS)
    if not (value.is_Float or value.is_Rational or value.is_infinite):
        raise Unsolvable("an end that is not real")
    return value


def _same(one: Any, other: Any) -> bool:
    if one.is_infinite or other.is_infinite:
        return bool(one == other)
    first, second = _number(one), _number(other)
    return bool(abs(first - second) <= _SAME * max(1, abs(first)))


def _between(low: Any, high: Any) -> Iterator[Any]:
    """Points inside an interval that may have no end."""
    first, last = _number(low), _number(high)
    if first.is_infinite and last.is_infinite:
        first, last = sympy.Integer(-50), sympy.Integer(50)
    elif first.is_infinite:
        first = last - 10 - abs(last)
    elif last.is_infinite:
        last = first + 10 + abs(first)
    for share in _SHARES:
        yield first + (last - first) * share


def _holds(tree: Any, name: str, point: Any) -> bool | None:
    """Whether a condition holds at a point; None where a side has no real value."""
    if tree[0] in ("and", "or"):
        parts = [_holds(part, name, point) for part in tree[1:]]
        if None in parts and tree[0] == "and":
            return None
        return all(parts) if tree[0] == "and" else any(parts)
    with mp.workdps(_DIGITS):
        sides = [walk(side, {name: mp.mpf(sympy.Float(point, _DIGITS)._mpf_)}, mp.e) for side in tree[2:]]
        if any(walked is None or not walked.is_real for walked, _ in sides):
            return None
        difference = sides[0][1] - sides[1][1]
        return bool(difference < 0 if tree[1] == "<" else difference <= 0)


# ---- trees ----


def _relations(tree: Any) -> list[Any]:
    return [tree] if tree[0] == "rel" else [part for inner in tree[1:] for part in _relations(inner)]


def _letters(tree: Any) -> set[str]:
    if tree[0] in ("v", "call"):
        return {tree[1]}
    return {name for part in tree[1:] if isinstance(part, list) for name in _letters(part)}


def _expression(tree: Any, name: str, letter: Any) -> Any:
    """A tree as an expression of sympy, made by its constructors.

    Raises:
        Unsolvable: It has a part that is not translated.
    """
    kind = tree[0]
    if kind == "n":
        return sympy.Rational(int(tree[1]), int(tree[2]))
    if kind == "v":
        return letter
    if kind == "c" and tree[1] in ("pi", "e"):
        return sympy.pi if tree[1] == "pi" else sympy.E
    parts = [_expression(part, name, letter) for part in tree[1:] if isinstance(part, list)]
    if kind == "+":
        return sympy.Add(*parts)
    if kind == "*":
        return sympy.Mul(*parts)
    if kind == "/":
        return sympy.Mul(parts[0], sympy.Pow(parts[1], -1))
    if kind == "neg":
        return sympy.Mul(-1, parts[0])
    if kind == "^" and (parts[1].is_Integer or parts[0].is_positive):
        if parts[1].is_Integer and abs(parts[1]) > MAX_DEGREE and parts[0].has(letter):
            raise Unsolvable("a high degree")
        return sympy.Pow(*parts)
    if kind == "root" and parts[1] == 2:
        return sympy.sqrt(parts[0])
    if kind == "log":
        return sympy.log(parts[-1]) / (sympy.log(parts[0]) if tree[1] is not None else 1)
    if kind == "f" and tree[1] in _FUNCTIONS:
        return _FUNCTIONS[tree[1]](*parts)
    raise Unsolvable(kind)
