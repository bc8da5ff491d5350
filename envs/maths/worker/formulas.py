r"""Which formulas are equal.

In: trees of `envs.maths.algebra` as JSON. Out: a class for each formula, the same for equal ones.

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

from collections.abc import Sequence
from typing import Any

from mpmath import mp

from .walk import draw, walk

_NUM_POINTS = 8
_TRIES = 32
_ENOUGH = 3  # common points of two formulas with letters
MAX_WEIGHT = 8000  # bits of the numbers of a formula
_SPARE_BITS = 200
_EQUAL_BITS = 100
_REPLY_BITS = 200


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
    weight = max([formula.weight for formula in formulas if formula.weight <= MAX_WEIGHT], default=0)
    most = bits = weight + _SPARE_BITS + 64
    for number, point in enumerate(_points(_letters(trees))):
        waiting = [formula for formula in formulas if formula.wants(number)]
        if not waiting:
            break
        bits = weight + _SPARE_BITS + 64
        for _ in range(3):
            with mp.workprec(bits):
                walks = [walk(formula.tree, point, base) for formula in waiting]
            found = [walked for walked, _ in walks if walked is not None]
            low = min([0, *(walked.low for walked in found)])
            spread = max([0, *(walked.high for walked in found)]) - low
            if weight + spread + _SPARE_BITS <= bits:
                break
            bits = weight + spread + _SPARE_BITS + 64
        most = max(most, bits)
        with mp.workprec(64):
            least = mp.ldexp(mp.mpf(1), low - _EQUAL_BITS - weight)
        for formula, (walked, value) in zip(waiting, walks, strict=True):
            if walked is not None:
                formula.add(number, value, least, walked.is_real)
    for formula in formulas:
        formula.finish(weight)
    return formulas, most


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
            drawn = draw(f"{name} {number}")
            size = mp.mpf(drawn % 10**12) / 10**12  # in [0, 1), never an integer in practice
            value = size * (1, 3, 7, 200)[number % 4] + mp.mpf(1) / 97
            point[name] = -value if number % 2 and drawn & (1 << 70) else value
        points.append(point)
    return points


class _Formula:
    """A formula with its values at points, each with the smallest difference that counts."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.has_letters = _has(tree, ("v", "call"))
        self.is_relation = tree[0] == "rel"
        self.is_complex = _has_i(tree)
        self.weight = bits_of(tree)
        self.values: dict[int, tuple[Any, Any]] = {}
        self.ratio_bits = 0  # to which equal ratios of values agree
        self.others: dict[int, tuple[Any, Any]] = {}  # where a part is not real

    def wants(self, number: int) -> bool:
        """Whether it needs a value at the next point."""
        if self.weight > MAX_WEIGHT:
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


def bits_of(tree: Any) -> int:
    """The bits of the numbers of a formula, powers worked out."""
    if tree[0] == "n":
        return int(tree[1]).bit_length() + int(tree[2]).bit_length()
    if tree[0] in ("v", "c"):
        return 0
    parts = sum(bits_of(part) for part in tree[1:] if isinstance(part, list))
    power: Any = tree[2] if tree[0] == "^" else [""]
    power = power[1] if power[0] == "neg" else power
    if power[0] == "n":
        parts = min(2 * MAX_WEIGHT, parts + bits_of(tree[1]) * min(abs(power[1]), MAX_WEIGHT))
    return parts + 4
