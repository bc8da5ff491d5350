r"""The value of a formula at a point, with mpmath.

In: a tree of `envs.maths.algebra` as JSON, a number for each letter, and a base for logarithms without one.
Out: its value in the current precision; how large and small its parts are, and whether they are real.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import mpmath
from mpmath import mp

_MAX_SIZE = 8000  # largest and smallest exponent of 2 of a value
_ROUNDING_BITS = 40
_MAX_ARGUMENT = 10**9
_MAX_GAMMA_BITS = 2000  # of precision; the gamma function is slow beyond


class Beyond(ValueError):
    """The formula has no value at this point, or one too large to compute."""


def walk(tree: Any, point: dict[str, Any], base: Any) -> tuple[Walk | None, Any]:
    """The value of a formula and how it was found; None for both if it has none."""
    found = Walk(point, base)
    try:
        return found, found.value(tree)
    except (Beyond, ZeroDivisionError, OverflowError, ValueError, NotImplementedError, mp.NoConvergence):
        return None, None


def draw(text: str) -> int:
    """A number that a name determines."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


FUNCTIONS = {
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "cot": mpmath.cot, "sec": mpmath.sec,
    "csc": mpmath.csc, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh, "coth": mpmath.coth,
    "arcsin": mpmath.asin, "arccos": mpmath.acos, "arctan": mpmath.atan, "arccot": mpmath.acot,
    "arcsec": mpmath.asec, "arccsc": mpmath.acsc, "arcsinh": mpmath.asinh, "arccosh": mpmath.acosh,
    "arctanh": mpmath.atanh, "ln": mpmath.ln, "abs": abs, "floor": mpmath.floor, "ceil": mpmath.ceil,
    "factorial": mpmath.factorial,
}  # fmt: skip


def _is_odd_root(exponent: Any) -> bool:
    """Whether an exponent is a fraction such as 2/3, so that the power of a negative number is real."""
    if exponent[0] != "/" or exponent[1][0] != "n" or exponent[2][0] != "n":
        return False
    return bool(exponent[1][2] == exponent[2][2] == 1 and exponent[2][1] % 2 == 1)


class Walk:
    """The value of a formula at a point; notes how large and small its parts are, and whether they are real."""

    def __init__(self, point: dict[str, Any], base: Any) -> None:
        self.point = point
        self.base = base
        self.high = 0
        self.low = 0
        self.is_real = True

    def value(self, tree: Any) -> Any:
        """The value of a part; of a relation, the differences of its sides.

        Raises:
            Beyond: It has none, or one too large.
        """
        value = self._value(tree)
        if isinstance(value, tuple):
            return value
        if mp.isnan(value) or mp.isinf(value):
            raise Beyond("no value")
        if isinstance(value, mpmath.mpc):
            if abs(value.imag) <= self.least(value.real):
                value = value.real
            else:
                self.is_real = False
        if value:
            size = int(mp.mag(value))
            if not -_MAX_SIZE < size < _MAX_SIZE:
                raise Beyond("too large or too small")
            self.low = min(self.low, size)
            self.high = max(self.high, size)
        return value

    def least(self, *parts: Any) -> Any:
        """What is left of a difference of equal values of this size."""
        size = max([0, *(int(mp.mag(part)) for part in parts if part)])
        return mp.ldexp(mp.mpf(1), size - mp.prec + _ROUNDING_BITS)

    def _cleaned(self, value: Any, *parts: Any) -> Any:
        return mp.mpf(0) if abs(value) <= self.least(*parts) else value

    def _value(self, tree: Any) -> Any:
        kind = tree[0]
        if kind == "n":
            return mp.mpf(tree[1]) / tree[2]
        if kind == "v":
            return +self.point[tree[1]]
        if kind == "c":
            return {"pi": +mp.pi, "e": +mp.e, "i": mp.mpc(0, 1)}[tree[1]]
        if kind == "rel":
            return self._relation(tree)
        if kind == "+":
            parts = [self.value(part) for part in tree[1:]]
            return self._cleaned(sum(parts, mp.mpf(0)), *parts)
        if kind == "*":
            product = mp.mpf(1)
            for part in tree[1:]:
                product *= self.value(part)
            return product
        if kind == "/":
            above, below = self.value(tree[1]), self.value(tree[2])
            return above / below
        if kind == "neg":
            return -self.value(tree[1])
        if kind == "^":
            base, exponent = self.value(tree[1]), self.value(tree[2])
            if _is_odd_root(tree[2]) and not isinstance(base, mpmath.mpc) and base < 0:
                return mp.power(-base, exponent) * (-1) ** int(tree[2][1][1])
            return self._power(base, exponent)
        if kind == "root":
            return self._root(self.value(tree[1]), self.value(tree[2]))
        if kind == "log":
            base = self.base if tree[1] is None else self.value(tree[1])
            argument = self.value(tree[2])
            if not argument or not base:
                raise Beyond("no logarithm")
            below = self._cleaned(mpmath.ln(base), base)
            return self._cleaned(mpmath.ln(argument), argument) / below
        if kind == "call":
            return self._unknown(tree[1], [self.value(part) for part in tree[2:]])
        if kind == "binom" and mp.prec > _MAX_GAMMA_BITS:
            raise Beyond("too large")
        if kind == "binom":
            return mpmath.binomial(self.value(tree[1]), self.value(tree[2]))
        argument = self.value(tree[2])
        if tree[1] in ("floor", "ceil"):
            nearest = mpmath.nint(mp.re(argument))
            if abs(argument - nearest) <= self.least(argument):
                return nearest
        if tree[1] == "ln" and not argument:
            raise Beyond("no logarithm")
        if tree[1] == "factorial" and (abs(argument) > 10_000 or mp.prec > _MAX_GAMMA_BITS):
            raise Beyond("too large")
        if abs(argument) > _MAX_ARGUMENT and tree[1] != "abs" and tree[1] not in ("floor", "ceil", "ln"):
            raise Beyond("too large")
        return self._cleaned(FUNCTIONS[tree[1]](argument), argument)

    def _power(self, base: Any, exponent: Any) -> Any:
        if not base:
            if mp.re(exponent) <= 0:
                raise Beyond("a power of zero")
            return mp.mpf(0)
        if abs(exponent) * max(1, abs(mp.mag(base))) > 2 * _MAX_SIZE:
            raise Beyond("too large")
        return mp.power(base, exponent)

    def _root(self, value: Any, index: Any) -> Any:
        if not index:
            raise Beyond("no root")
        if not value:
            return mp.mpf(0)
        is_odd = index == int(mp.re(index)) and int(mp.re(index)) % 2 == 1
        if is_odd and not isinstance(value, mpmath.mpc) and value < 0:
            return -mp.power(-value, 1 / index)
        return mp.power(value, 1 / index)

    def _unknown(self, name: str, arguments: Sequence[Any]) -> Any:
        value = mp.mpf(draw(name) % 1000 + 1) / 997
        for place, argument in enumerate(arguments):
            drawn = draw(f"{name} {place}")
            value += mpmath.sin(argument * (drawn % 1000 + 500) / 1009 + mp.mpf(drawn % 7919) / 7907)
            value += argument * (drawn % 641 + 100) / 643
        return value

    def _relation(self, tree: Any) -> tuple[Any, Any]:
        """The difference of the sides, and the same multiplied by the denominators."""
        sign, left, right = tree[1:]
        one, two = self.value(left), self.value(right)
        difference = self._cleaned(one - two, one, two)
        if sign not in ("=", "!="):
            return difference, difference
        (above, below), (other, other_below) = self._fraction(left), self._fraction(right)
        first, second = above * other_below, other * below
        return difference, self._cleaned(first - second, first, second)

    def _fraction(self, tree: Any) -> tuple[Any, Any]:
        """A formula as numerator and denominator; equal denominators are kept once."""
        kind = tree[0]
        if kind == "/":
            (above, below), (other, other_below) = self._fraction(tree[1]), self._fraction(tree[2])
            return above * other_below, below * other
        if kind == "neg":
            above, below = self._fraction(tree[1])
            return -above, below
        if kind == "*":
            above, below = mp.mpf(1), mp.mpf(1)
            for part in tree[1:]:
                one, other = self._fraction(part)
                above, below = above * one, below * other
            return above, below
        if kind == "+":
            above, below = self._fraction(tree[1])
            for part in tree[2:]:
                one, other = self._fraction(part)
                if abs(below - other) <= self.least(below, other):
                    above += one
                else:
                    above, below = above * other + one * below, below * other
            return above, below
        return self.value(tree), mp.mpf(1)
