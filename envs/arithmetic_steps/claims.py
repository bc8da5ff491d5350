"""Whether the sides of an equation are equal, as people write it.

In: an equation. Out: whether each side equals the one before. A number with decimals may be rounded or cut
off after them; percentages count as hundredths or, in sums and where the result is one, as plain numbers; units
that can be converted are (120 cents = $1.20).
"""

from __future__ import annotations

from fractions import Fraction

from envs.arithmetic_steps.sides import Equation, Side
from envs.arithmetic_steps.vocabulary import UNITS

MAX_RELATIVE_ERROR = Fraction(1, 20)  # of a value that is said to be approximate


def holds(equation: Equation) -> bool:
    """Whether every side equals the one before it."""
    sides = equation.sides
    return all(
        same(left, right, about)
        for left, right, about in zip(sides, sides[1:], equation.is_approximate, strict=False)
    )


def same(left: Side, right: Side, about: bool = False) -> bool:
    """Whether two neighbouring sides are equal."""
    if states(left.value, right, right.value, about):
        return True
    if left.has_percent or right.has_percent:
        plainly = right.has_percent or (left.num_operations and left.is_sum) or 100 in left.operands
        if plainly and states(left.plain, right, right.plain, about):
            return True
        if right.has_percent and not left.has_percent and right.num_operations == 0:
            return states(left.value * 100, right, right.plain, about)
    if (left.has_scale or right.has_scale) and states(left.plain, right, right.plain, about):
        return True
    if right.units and left.units != right.units:
        return any(
            states(left.value * ratio, right, right.value, about)
            for ratio in conversions(left.units, right.units)
        )
    return False


def states(value: Fraction, side: Side, stated: Fraction, about: bool) -> bool:
    """Whether a side whose value is `stated` states this value, if need be rounded."""
    if value == stated:
        return True
    places = side.places
    if places is None:
        return False
    if about:
        error = abs(value - stated)
        digits = str(abs(stated.numerator))
        zeros = len(digits) - len(digits.rstrip("0")) if places == 0 and stated else 0
        return error <= Fraction(1, 10**places) or (
            error <= 10**zeros and error <= MAX_RELATIVE_ERROR * abs(value)
        )
    if places == 0:
        return False
    unit = Fraction(1, 10**places)
    return 2 * abs(value - stated) <= unit or (0 <= abs(value) - abs(stated) < unit and value * stated >= 0)


def conversions(units: frozenset[str], to: frozenset[str]) -> list[Fraction]:
    """What a value may be multiplied by, to be in one of the other units."""
    found = []
    for target in to:
        dimension, size = UNITS[target]
        for unit in units:
            if UNITS[unit][0] == dimension and UNITS[unit][1] != size:
                found.append(UNITS[unit][1] / size)
    return found
