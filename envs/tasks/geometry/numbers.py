"""The arithmetic of `geometry`: operations on whole and fixed-point numbers, with their text in a trace.

In: integers. Out: integers, and the text that shows the computation. A number with decimals is stored as an
integer in units of its last decimal: a length of 5.099 is 5099. Rounding is to the nearest unit, with halves
away from zero. There are no floats, so texts are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isqrt
from typing import NamedTuple

LENGTH_DECIMALS, COT_DECIMALS, ANGLE_DECIMALS = 3, 4, 2
_LENGTH, _COT, _RIGHT_ANGLE = 10**LENGTH_DECIMALS, 10**COT_DECIMALS, 90 * 10**ANGLE_DECIMALS
_DIGITS = 30
_ONE = 10**_DIGITS
_PI = 3141592653589793238462643383279  # in units of 10**-30

Point = tuple[int, int]
Value = tuple[int, ...]  # two coordinates, one number, or the parts of a fraction


class Worked(NamedTuple):
    """The result of an operation.

    Example: `length(1, 5)` is `Worked("sqrt(1 + 25) = sqrt(26) = 5.099", (5099,))`.

    Attributes:
        text: The text after the name of the sub-result; it ends with the result.
        value: The result as integers, for later operations.
    """

    text: str
    value: Value


Operation = Callable[..., Worked]


# ---- fixed-point numbers ----


def divide(above: int, below: int) -> int:
    """The quotient rounded to a whole number, with halves away from zero.

    Example: `divide(5, 2)` is 3 and `divide(-5, 2)` is -3.

    Raises:
        ZeroDivisionError: `below` is 0.
    """
    size = (2 * abs(above) + abs(below)) // (2 * abs(below))
    return size if (above < 0) == (below < 0) else -size


def root(number: int, decimals: int) -> int:
    """The square root of a whole number from 0 up, in units; it is never halfway between two units.

    Example: `root(26, 3)` is 5099.
    """
    return (isqrt(4 * number * 10 ** (2 * decimals)) + 1) // 2


def arctan_degrees(above: int, below: int, decimals: int) -> int:
    """The angle from -90 to 90 degrees whose tangent is `above / below`, in units.

    Euler's series: the sum over n of 2^(2n) (n!)^2 / (2n + 1)! * x^(2n + 1) / (1 + x^2)^(n + 1). For x up to 1
    each term is less than half of the previous one; for a larger x, 1/x is used. The computation has 30 digits,
    of which the last three may be wrong.

    Example: `arctan_degrees(7778, 10000, 2)` is 3788.

    Args:
        above: Any integer.
        below: A positive integer.
        decimals: At most 20.
    """
    size = abs(above)
    small, large = min(size, below), max(size, below)
    square = small * small
    both = square + large * large
    total = term = small * large * _ONE // both
    n = 1
    while term:
        term = term * 2 * n * square // ((2 * n + 1) * both)
        total += term
        n += 1
    degrees = divide(total * 180 * _ONE, _PI)
    if size > below:
        degrees = 90 * _ONE - degrees
    rounded = divide(degrees, 10 ** (_DIGITS - decimals))
    return -rounded if above < 0 else rounded


def write_fixed(units: int, decimals: int) -> str:
    """The text of a fixed-point number.

    Example: `write_fixed(-50, 3)` is `"-0.050"`; zero has no sign.
    """
    whole, part = divmod(abs(units), 10**decimals)
    return f"{'-' if units < 0 else ''}{whole}.{part:0{decimals}}"


def write_point(point: Point) -> str:
    """The text of a point or vector in lines and questions."""
    return f"({point[0]}, {point[1]})"


# ---- operations ----


def difference(x: int, from_x: int, y: int, from_y: int) -> Worked:
    """The vector from one point to another."""
    vector = (x - from_x, y - from_y)
    return Worked(f"({x} - {from_x}, {y} - {from_y}) = {write_point(vector)}", vector)


def sum_of_products(a: int, b: int, c: int, d: int) -> Worked:
    """A whole number, such as a dot product."""
    ab, cd = a * b, c * d
    return Worked(f"{a} * {b} + {c} * {d} = {ab} + {cd} = {ab + cd}", (ab + cd,))


def difference_of_products(a: int, b: int, c: int, d: int) -> Worked:
    """A whole number, such as a determinant."""
    ab, cd = a * b, c * d
    return Worked(f"{a} * {b} - {c} * {d} = {ab} - {cd} = {ab - cd}", (ab - cd,))


def size_of_difference(a: int, b: int, c: int, d: int) -> Worked:
    """A whole number: the area of the parallelogram that two vectors span."""
    ab, cd = a * b, c * d
    return Worked(f"|{a} * {b} - {c} * {d}| = |{ab} - {cd}| = {abs(ab - cd)}", (abs(ab - cd),))


def length(x: int, y: int) -> Worked:
    """The length of a vector."""
    number = x * x + y * y
    units = root(number, LENGTH_DECIMALS)
    return Worked(f"sqrt({x * x} + {y * y}) = sqrt({number}) = {_write_length(units)}", (units,))


def perimeter(a: int, b: int, c: int) -> Worked:
    """The sum of three lengths."""
    total = a + b + c
    return Worked(f"{' + '.join(map(_write_length, (a, b, c)))} = {_write_length(total)}", (total,))


def radius(cross: int, around: int) -> Worked:
    """A length: twice an area divided by a perimeter."""
    units = divide(cross * _LENGTH**2, around)
    return Worked(f"{cross} / {_write_length(around)} = {_write_length(units)}", (units,))


def fraction(above: int, below: int) -> Worked:
    """A whole number or a fraction in lowest terms."""
    quotient = Fraction(above, below)
    return Worked(f"{above} / {below} = {quotient}", quotient.as_integer_ratio())


def cotangent(dot: int, cross: int) -> Worked:
    """A cotangent, as the quotient of two whole numbers."""
    cot = divide(dot * _COT, cross)
    return Worked(f"{dot} / {cross} = {_write_cot(cot)}", (cot,))


def arctan(cot: int) -> Worked:
    """The angle with the given tangent; a negative tangent gives a negative angle."""
    phi = arctan_degrees(cot, _COT, ANGLE_DECIMALS)
    return Worked(f"arctan({_write_cot(cot)}) = {_write_angle(phi)}", (phi,))


def complement(phi: int) -> Worked:
    """The complement of an angle to 90 degrees."""
    angle = _RIGHT_ANGLE - phi
    return Worked(f"90 - {_write_angle(phi)} = {_write_angle(angle)}", (angle,))


# ---- operations with a wrong sign ----


def _swapped_difference(x: int, from_x: int, y: int, from_y: int) -> Worked:
    return difference(from_x, x, from_y, y)


def _size_of_sum(a: int, b: int, c: int, d: int) -> Worked:
    ab, cd = a * b, c * d
    return Worked(f"|{a} * {b} + {c} * {d}| = |{ab} + {cd}| = {abs(ab + cd)}", (abs(ab + cd),))


def _swapped_complement(phi: int) -> Worked:
    angle = phi - _RIGHT_ANGLE
    return Worked(f"{_write_angle(phi)} - 90 = {_write_angle(angle)}", (angle,))


WRONG_SIGN: dict[Operation, Operation] = {
    difference: _swapped_difference,
    sum_of_products: difference_of_products,
    difference_of_products: sum_of_products,
    size_of_difference: _size_of_sum,
    complement: _swapped_complement,
}
"""For each operation with a sum or difference of two, the same operation with a wrong sign."""


def _write_length(units: int) -> str:
    return write_fixed(units, LENGTH_DECIMALS)


def _write_cot(units: int) -> str:
    return write_fixed(units, COT_DECIMALS)


def _write_angle(units: int) -> str:
    return write_fixed(units, ANGLE_DECIMALS)
