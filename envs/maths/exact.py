"""The exact value of a formula that is a rational number, and whether it is left to compute.

In: a tree of `envs.maths.algebra`. Out: its value, within a bound on all the bits that are made.
"""

from __future__ import annotations

from fractions import Fraction

from envs.maths.numerals import Tree, Unreadable

_MAX_BITS = 60_000
_MAX_EXPONENT = 10_000


def rational(tree: Tree) -> Fraction | None:
    """The value of a tree that is a rational number made by arithmetic; None for others, and for large ones."""
    try:
        return _Exact().value(tree)
    except (Unreadable, ZeroDivisionError):
        return None


class _Exact:
    def __init__(self) -> None:
        self.bits = 0

    def value(self, tree: Tree) -> Fraction:
        kind = tree[0]
        if kind == "n":
            value = Fraction(tree[1], tree[2])
        elif kind == "+":
            value = Fraction(0)
            for part in tree[1:]:
                value = self.checked(value + self.value(part))
        elif kind == "*":
            value = Fraction(1)
            for part in tree[1:]:
                value = self.checked(value * self.value(part))
        elif kind == "/":
            value = self.value(tree[1]) / self.value(tree[2])
        elif kind == "neg":
            value = -self.value(tree[1])
        elif kind == "^":
            value = self.power(self.value(tree[1]), self.value(tree[2]))
        elif kind == "f" and tree[1] == "factorial":
            value = self.factorial(self.value(tree[2]))
        elif kind == "binom":
            value = self.binomial(self.value(tree[1]), self.value(tree[2]))
        else:
            raise Unreadable(kind)
        return self.checked(value)

    def checked(self, value: Fraction) -> Fraction:
        self.bits += value.numerator.bit_length() + value.denominator.bit_length()
        if self.bits > _MAX_BITS:
            raise Unreadable("too many bits")
        return value

    def power(self, base: Fraction, exponent: Fraction) -> Fraction:
        times = exponent.numerator
        if exponent.denominator != 1 or abs(times) > _MAX_EXPONENT:
            raise Unreadable("an exponent")
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits * abs(times) > _MAX_BITS // 2:
            raise Unreadable("too many bits")
        return base**times

    def factorial(self, number: Fraction) -> Fraction:
        if number.denominator != 1 or not 0 <= number <= 500:
            raise Unreadable("a factorial")
        value = 1
        for factor in range(2, number.numerator + 1):
            value *= factor
        return Fraction(value)

    def binomial(self, above: Fraction, below: Fraction) -> Fraction:
        if above.denominator != 1 or below.denominator != 1 or not 0 <= below <= above <= 500:
            raise Unreadable("a binomial")
        value = 1
        for step in range(1, below.numerator + 1):
            value = value * (above.numerator - step + 1) // step
        return Fraction(value)


def is_computed(tree: Tree) -> bool:
    """Whether arithmetic is left to do; not in a number, a proper result as ``-3/4``, or ``2*10^3``."""
    while tree[0] == "neg":
        tree = tree[1]
        if tree[0] == "neg":
            return True
    if tree[0] == "n":
        return False
    if tree[0] == "/":
        above, below = _unsigned(tree[1]), _unsigned(tree[2])
        whole = above is not None and below is not None
        return not whole or below == 0 or (above or 0) % (below or 1) == 0
    if tree[0] == "*" and len(tree) == 3 and tree[1][0] == "n":
        tree = tree[2]
    return not (tree[0] == "^" and tree[1] == ("n", 10, 1) and _unsigned(tree[2]) is not None)


def _unsigned(tree: Tree) -> int | None:
    tree = tree[1] if tree[0] == "neg" else tree
    return int(tree[1]) if tree[0] == "n" and tree[2] == 1 else None
