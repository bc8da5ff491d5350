r"""Exact normal forms of formulas that are quotients of polynomials.

In: trees of `envs.maths.algebra`. Out: numerator and denominator, each a sum of monomials with rational
coefficients. What is no arithmetic, such as ``\sqrt{x}`` or ``\pi``, is an atom like a letter. Bounded in
terms, degree and bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache

from envs.maths.algebra import has_letters
from envs.maths.numerals import Tree

Monomial = tuple[tuple[Tree, int], ...]
Polynomial = Mapping[Monomial, Fraction]
MAX_TERMS = 150
MAX_DEGREE = 12
MAX_BITS = 2000
_ONE: Polynomial = {(): Fraction(1)}


class TooLarge(ValueError):
    """A polynomial exceeds a limit, or a denominator is zero."""


@lru_cache(maxsize=512)
def difference(left: Tree, right: Tree) -> Polynomial | None:
    """The numerator of a difference: empty if two formulas are equal; None if they are beyond the limits."""
    try:
        (above, below), (other, other_below) = _quotient(left), _quotient(right)
        return _sum(_product(above, other_below), _scaled(_product(other, below), Fraction(-1)))
    except TooLarge:
        return None


def is_rational(polynomial: Polynomial) -> bool:
    """Whether its atoms are all letters, so that it is zero only if it has no terms."""
    return all(atom[0] == "v" for monomial in polynomial for atom, _ in monomial)


def letters(polynomial: Polynomial) -> frozenset[str]:
    """The letters of its monomials; those inside other atoms are not counted."""
    return frozenset(atom[1] for monomial in polynomial for atom, _ in monomial if atom[0] == "v")


def coefficients(polynomial: Polynomial, name: str) -> list[list[int]] | None:
    """The coefficients of a polynomial in one letter from the constant up; None if it has other atoms."""
    if any(atom != ("v", name) for monomial in polynomial for atom, _ in monomial):
        return None
    degree = max((power for monomial in polynomial for _, power in monomial), default=0)
    found = [[0, 1] for _ in range(degree + 1)]
    for monomial, factor in polynomial.items():
        found[monomial[0][1] if monomial else 0] = list(factor.as_integer_ratio())
    return found


def remainder(claim: Polynomial, known: Iterable[Polynomial]) -> Polynomial | None:
    """A polynomial without a sum of multiples of others, as far as that shortens it.

    Where the others are zero, so is the claim if nothing remains, and it is not if a number remains. None if
    the others cannot all be zero, and would prove anything.
    """
    rows: list[tuple[Monomial, dict[Monomial, Fraction]]] = []
    for polynomial in known:
        rest = _reduced(polynomial, rows)
        if rest.keys() == {()}:
            return None
        if rest:
            pivot = max(rest, key=_order)
            factor = rest[pivot]
            rows.append((pivot, {monomial: value / factor for monomial, value in rest.items()}))
    return _reduced(claim, rows)


def _order(monomial: Monomial) -> tuple[int, str]:
    return sum(power for _, power in monomial), repr(monomial)


def _reduced(
    polynomial: Polynomial, rows: Iterable[tuple[Monomial, dict[Monomial, Fraction]]]
) -> dict[Monomial, Fraction]:
    rest = dict(polynomial)
    for pivot, row in rows:
        factor = rest.get(pivot)
        if factor:
            for monomial, value in row.items():
                left = rest.get(monomial, Fraction(0)) - factor * value
                if left:
                    rest[monomial] = left
                else:
                    rest.pop(monomial, None)
    return rest


# ---- arithmetic ----


def _quotient(tree: Tree) -> tuple[Polynomial, Polynomial]:
    kind = tree[0]
    if kind == "n":
        return ({(): Fraction(tree[1], tree[2])} if tree[1] else {}), _ONE
    if kind == "+":
        above, below = _quotient(tree[1])
        for part in tree[2:]:
            one, other = _quotient(part)
            if below == other:
                above = _sum(above, one)
            else:
                above, below = _sum(_product(above, other), _product(one, below)), _product(below, other)
        return above, below
    if kind == "neg":
        above, below = _quotient(tree[1])
        return _scaled(above, Fraction(-1)), below
    if kind == "*":
        above, below = _ONE, _ONE
        for part in tree[1:]:
            one, other = _quotient(part)
            above, below = _product(above, one), _product(below, other)
        return above, below
    if kind == "/":
        (above, below), (other, other_below) = _quotient(tree[1]), _quotient(tree[2])
        if not other:
            raise TooLarge("division by zero")
        return _product(above, other_below), _product(below, other)
    if kind == "^" and (exponent := _whole(tree[2])) is not None:
        above, below = _quotient(tree[1])
        if exponent < 0:
            if not above:
                raise TooLarge("division by zero")
            above, below, exponent = below, above, -exponent
        return _power(above, exponent), _power(below, exponent)
    return {((tree, 1),): Fraction(1)}, _ONE


def _whole(tree: Tree) -> int | None:
    sign, tree = (-1, tree[1]) if tree[0] == "neg" else (1, tree)
    if tree[0] != "n" or tree[2] != 1:
        return None
    if abs(tree[1]) > MAX_DEGREE:
        raise TooLarge("a high power")
    return sign * int(tree[1])


def _checked(found: dict[Monomial, Fraction]) -> Polynomial:
    kept = {monomial: value for monomial, value in found.items() if value}
    if len(kept) > MAX_TERMS:
        raise TooLarge("terms")
    for monomial, value in kept.items():
        if value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
            raise TooLarge("bits")
        if sum(power for _, power in monomial) > MAX_DEGREE:
            raise TooLarge("degree")
    return kept


def _sum(one: Polynomial, other: Polynomial) -> Polynomial:
    found = dict(one)
    for monomial, value in other.items():
        found[monomial] = found.get(monomial, Fraction(0)) + value
    return _checked(found)


def _scaled(one: Polynomial, factor: Fraction) -> Polynomial:
    return {monomial: value * factor for monomial, value in one.items()}


def _product(one: Polynomial, other: Polynomial) -> Polynomial:
    if other == _ONE:
        return one
    if len(one) * len(other) > 4 * MAX_TERMS:
        raise TooLarge("terms")
    found: dict[Monomial, Fraction] = {}
    for left, first in one.items():
        for right, second in other.items():
            monomial = _joined(left, right)
            found[monomial] = found.get(monomial, Fraction(0)) + first * second
    return _checked(found)


def _joined(one: Monomial, other: Monomial) -> Monomial:
    if not one or not other:
        return one or other
    powers = dict(one)
    for atom, power in other:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=repr))


def _power(one: Polynomial, exponent: int) -> Polynomial:
    found = _ONE
    for _ in range(exponent):
        found = _product(found, one)
    return found


def has_unknowns(polynomial: Polynomial) -> bool:
    """Whether it has letters, also inside other atoms."""
    return any(has_letters(atom) for monomial in polynomial for atom, _ in monomial)
