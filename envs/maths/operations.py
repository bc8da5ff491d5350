r"""The worker's part of the grader: which formulas are equal.

In: trees of `envs.maths.algebra` as JSON. Out: a class for each formula, the same for equal ones.
`envs.sandbox` loads this file by its path; no other module imports it, and it imports no other module of
Stride. The sandbox limits time and memory.

Two formulas are equal if they have the same value wherever both have one: at `_NUM_POINTS` points if they have
letters. All values are computed with mpmath to so many digits that the smallest part of a formula counts: the
bits of its numbers, and the ratio of the largest to the smallest intermediate value, plus 200 bits. A letter is
a real number, so points at which a part of both is not real are left out, unless ``i`` is written or no other
points are there. A logarithm without a base is natural in both formulas or decimal in both. Unknown functions
get values that no identity relates.

Two equations are equal if one is a constant multiple of the other, also after their denominators are multiplied
out; two inequalities, if it is a positive multiple.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import mpmath
from mpmath import mp

_NUM_POINTS = 8
_TRIES = 32
_ENOUGH = 3  # common points of two formulas with letters
_MAX_WEIGHT = 8000  # bits of the numbers of a formula
_MAX_SIZE = 8000  # largest and smallest exponent of 2 of a value
_SPARE_BITS = 200
_EQUAL_BITS = 100
_ROUNDING_BITS = 40
_MAX_ARGUMENT = 10**9
_MAX_GAMMA_BITS = 2000  # of precision; the gamma function is slow beyond
_REPLY_BITS = 200


def warm_up() -> None:
    """Use everything once, before any worker is forked."""
    x = ["v", "x"]
    trees = [["f", name, x] for name in _FUNCTIONS] + [["root", x, ["n", 2, 1]], ["log", None, x]]
    compare([*trees, ["rel", "=", x, ["n", 1, 1]], ["^", ["c", "e"], ["c", "pi"]]])


class Beyond(ValueError):
    """The formula has no value at this point, or one too large to compute."""


def compare(trees: Sequence[Any]) -> list[list[list[Any]]]:
    """For each formula its class, and its real value if it is a real constant.

    Args:
        trees: Formulas and relations.

    Returns:
        For each formula `[class, mantissa, exponent]`. Equal formulas have the same class; it is -1 for a
        formula without a value. The value is mantissa times a power of 2; the mantissa is None for anything but
        a real constant. All this once, or twice if a logarithm has no base: as if it were natural, and as if it
        were decimal.
    """
    bases = [mp.e, mp.mpf(10)] if any(_has_free_log(tree) for tree in trees) else [mp.e]
    found = []
    for base in bases:
        formulas, bits = _evaluate(trees, base)
        with mp.workprec(2 * bits):
            found.append(_classes(formulas))
    return found


def _classes(formulas: Sequence[_Formula]) -> list[list[Any]]:
    heads: list[_Formula] = []
    found: list[list[Any]] = []
    for formula in formulas:
        number = -1
        if formula.has_value:
            number = next((at for at, head in enumerate(heads) if formula.equals(head)), len(heads))
            if number == len(heads):
                heads.append(formula)
        found.append([number, *formula.constant()])
    return found


def _has_free_log(tree: Any) -> bool:
    return tree[:2] == ["log", None] or any(_has_free_log(part) for part in tree[1:] if isinstance(part, list))


def _evaluate(trees: Sequence[Any], base: Any) -> tuple[list[_Formula], int]:
    """The values of all formulas at common points, with the same precision, and the largest one in bits."""
    formulas = [_Formula(tree) for tree in trees]
    weight = max([formula.weight for formula in formulas if formula.weight <= _MAX_WEIGHT], default=0)
    most = bits = weight + _SPARE_BITS + 64
    for number, point in enumerate(_points(_letters(trees))):
        waiting = [formula for formula in formulas if formula.wants(number)]
        if not waiting:
            break
        bits = weight + _SPARE_BITS + 64
        for _ in range(3):
            with mp.workprec(bits):
                walks = [_walk(formula.tree, point, base) for formula in waiting]
            found = [walk for walk, _ in walks if walk is not None]
            low = min([0, *(walk.low for walk in found)])
            spread = max([0, *(walk.high for walk in found)]) - low
            if weight + spread + _SPARE_BITS <= bits:
                break
            bits = weight + spread + _SPARE_BITS + 64
        most = max(most, bits)
        with mp.workprec(64):
            least = mp.ldexp(mp.mpf(1), low - _EQUAL_BITS - weight)
        for formula, (walk, value) in zip(waiting, walks, strict=True):
            if walk is not None:
                formula.add(number, value, least, walk.is_real)
    for formula in formulas:
        formula.finish(weight)
    return formulas, most


def _walk(tree: Any, point: dict[str, Any], base: Any) -> tuple[_Walk | None, Any]:
    walk = _Walk(point, base)
    try:
        return walk, walk.value(tree)
    except (Beyond, ZeroDivisionError, OverflowError, ValueError, NotImplementedError, mp.NoConvergence):
        return None, None


def _has(tree: Any, kinds: Sequence[str]) -> bool:
    return tree[0] in kinds or any(_has(part, kinds) for part in tree[1:] if isinstance(part, list))


def _letters(trees: Sequence[Any]) -> list[str]:
    found: set[str] = set()
    waiting = list(trees)
    while waiting:
        tree = waiting.pop()
        if tree[0] == "v":
            found.add(tree[1])
        waiting += [part for part in tree[1:] if isinstance(part, list)]
    return sorted(found)


def _points(names: Sequence[str]) -> list[dict[str, Any]]:
    """Points for the letters: large and small, positive at first, then of both signs."""
    points = []
    for number in range(_TRIES):
        point = {}
        for name in names:
            draw = _draw(f"{name} {number}")
            size = mp.mpf(draw % 10**12) / 10**12  # in [0, 1), never an integer in practice
            value = size * (1, 3, 7, 200)[number % 4] + mp.mpf(1) / 97
            point[name] = -value if number % 2 and draw & (1 << 70) else value
        points.append(point)
    return points


def _draw(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


class _Formula:
    """A formula with its values at points, each with the smallest difference that counts."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.has_letters = _has(tree, ("v", "call"))
        self.is_relation = tree[0] == "rel"
        self.is_complex = _has_i(tree)
        self.weight = _bits_of(tree)
        self.values: dict[int, tuple[Any, Any]] = {}
        self.ratio_bits = 0  # to which equal ratios of values agree
        self.others: dict[int, tuple[Any, Any]] = {}  # where a part is not real

    def wants(self, number: int) -> bool:
        """Whether it needs a value at the next point."""
        if self.weight > _MAX_WEIGHT:
            return False
        if not self.has_letters:
            return number == 0
        return len(self.values) < _NUM_POINTS or number < 2 * _NUM_POINTS

    def add(self, number: int, value: Any, least: Any, is_real: bool) -> None:
        """Keep the value at a point."""
        (self.values if is_real or self.is_complex else self.others)[number] = value, least

    def finish(self, weight: int) -> None:
        """If too few points are real, take the others too; `weight` is the largest of all formulas."""
        self.ratio_bits = _EQUAL_BITS + weight
        if len(self.values) < (_ENOUGH if self.has_letters else 1):
            self.values, self.others = {**self.others, **self.values}, {}

    @property
    def has_value(self) -> bool:
        if self.is_relation:
            return len(self.values) >= _ENOUGH and not any(_is_zero(value) for value in self.values.values())
        return bool(self.values)

    def equals(self, other: _Formula) -> bool:
        if self.is_relation or other.is_relation:
            return self.is_relation and other.is_relation and self._same_relation(other)
        if not self.has_letters and not other.has_letters:
            return _near(self.values[0], other.values[0])
        if not self.has_letters or not other.has_letters:
            letters, constant = (self, other) if self.has_letters else (other, self)
            return all(_near(value, constant.values[0]) for value in letters.values.values())
        common = self.values.keys() & other.values.keys()
        if len(common) < _ENOUGH:
            return False
        return all(_near(self.values[at], other.values[at]) for at in common) and not (
            self._differs_where_one_is_real(other) or other._differs_where_one_is_real(self)
        )

    def _differs_where_one_is_real(self, other: _Formula) -> bool:
        """Whether the values differ by more than a sign where a part of the other formula is not real."""
        at_both = self.values.keys() & (other.others.keys() - other.values.keys())
        return not all(_near_up_to_sign(self.values[at], other.others[at]) for at in at_both)

    def _same_relation(self, other: _Formula) -> bool:
        if self.tree[1] != other.tree[1]:
            return False
        common = sorted(self.values.keys() & other.values.keys())
        for which in (0, 1) if self.tree[1] in ("=", "!=") else (0,):
            ratios = []
            for at in common:
                (mine, low), (its, other_low) = self.values[at], other.values[at]
                if _is_zero((mine[which], low)) or _is_zero((its[which], other_low)):
                    break
                ratios.append(mine[which] / its[which])
            else:
                first = ratios[0] if len(ratios) >= _ENOUGH else None
                if first is None:
                    continue
                if self.tree[1] not in ("=", "!=") and not (abs(mp.im(first)) == 0 and mp.re(first) > 0):
                    continue
                if all(abs(ratio / first - 1) < mp.ldexp(mp.mpf(1), -self.ratio_bits) for ratio in ratios):
                    return True
        return False

    def constant(self) -> tuple[Any, int]:
        """The real value of a constant as a mantissa and an exponent of 2, or None."""
        if self.has_letters or self.is_relation or not self.values:
            return None, 0
        value, low = self.values[0]
        if abs(mp.im(value)) > low:
            return None, 0
        with mp.workprec(_REPLY_BITS):
            real = +mp.re(value)
        if abs(real) < low:
            return 0, 0
        sign, mantissa, exponent, _ = real._mpf_
        return int(-mantissa if sign else mantissa), int(exponent)


def _near(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return bool(abs(one[0] - other[0]) <= min(one[1], other[1]))


def _near_up_to_sign(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return _near(one, other) or bool(abs(one[0] + other[0]) <= min(one[1], other[1]))


def _is_zero(value: tuple[Any, Any]) -> bool:
    number = value[0][0] if isinstance(value[0], tuple) else value[0]
    return bool(abs(number) <= value[1])


def _has_i(tree: Any) -> bool:
    return tree == ["c", "i"] or any(_has_i(part) for part in tree[1:] if isinstance(part, list))


def _is_odd_root(exponent: Any) -> bool:
    """Whether an exponent is a fraction such as 2/3, so that the power of a negative number is real."""
    if exponent[0] != "/" or exponent[1][0] != "n" or exponent[2][0] != "n":
        return False
    return bool(exponent[1][2] == exponent[2][2] == 1 and exponent[2][1] % 2 == 1)


def _bits_of(tree: Any) -> int:
    if tree[0] == "n":
        return int(tree[1]).bit_length() + int(tree[2]).bit_length()
    if tree[0] in ("v", "c"):
        return 0
    parts = sum(_bits_of(part) for part in tree[1:] if isinstance(part, list))
    power: Any = tree[2] if tree[0] == "^" else [""]
    power = power[1] if power[0] == "neg" else power
    if power[0] == "n":
        parts = min(2 * _MAX_WEIGHT, parts + _bits_of(tree[1]) * min(abs(power[1]), _MAX_WEIGHT))
    return parts + 4


_FUNCTIONS = {
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "cot": mpmath.cot, "sec": mpmath.sec,
    "csc": mpmath.csc, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh, "coth": mpmath.coth,
    "arcsin": mpmath.asin, "arccos": mpmath.acos, "arctan": mpmath.atan, "arccot": mpmath.acot,
    "arcsec": mpmath.asec, "arccsc": mpmath.acsc, "arcsinh": mpmath.asinh, "arccosh": mpmath.acosh,
    "arctanh": mpmath.atanh, "ln": mpmath.ln, "abs": abs, "floor": mpmath.floor, "ceil": mpmath.ceil,
    "factorial": mpmath.factorial,
}  # fmt: skip


class _Walk:
    """The value of a formula at a point; notes how large and small its parts are, and whether they are real."""

    def __init__(self, point: dict[str, Any], base: Any) -> None:
        self.point = point
        self.base = base
        self.high = 0
        self.low = 0
        self.is_real = True

    def value(self, tree: Any) -> Any:
        value = self._value(tree)
        if isinstance(value, tuple):
            return value
        if mp.isnan(value) or mp.isinf(value):
            raise Beyond("no value")
        if isinstance(value, mpmath.mpc):
            if abs(value.imag) <= self._least(value.real):
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

    def _least(self, *parts: Any) -> Any:
        """What is left of a difference of equal values of this size."""
        size = max([0, *(int(mp.mag(part)) for part in parts if part)])
        return mp.ldexp(mp.mpf(1), size - mp.prec + _ROUNDING_BITS)

    def _cleaned(self, value: Any, *parts: Any) -> Any:
        return mp.mpf(0) if abs(value) <= self._least(*parts) else value

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
            if abs(argument - nearest) <= self._least(argument):
                return nearest
        if tree[1] == "ln" and not argument:
            raise Beyond("no logarithm")
        if tree[1] == "factorial" and (abs(argument) > 10_000 or mp.prec > _MAX_GAMMA_BITS):
            raise Beyond("too large")
        if abs(argument) > _MAX_ARGUMENT and tree[1] != "abs" and tree[1] not in ("floor", "ceil", "ln"):
            raise Beyond("too large")
        return self._cleaned(_FUNCTIONS[tree[1]](argument), argument)

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
        value = mp.mpf(_draw(name) % 1000 + 1) / 997
        for place, argument in enumerate(arguments):
            draw = _draw(f"{name} {place}")
            value += mpmath.sin(argument * (draw % 1000 + 500) / 1009 + mp.mpf(draw % 7919) / 7907)
            value += argument * (draw % 641 + 100) / 643
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
                if abs(below - other) <= self._least(below, other):
                    above += one
                else:
                    above, below = above * other + one * below, below * other
            return above, below
        return self.value(tree), mp.mpf(1)
