"""Student's t: how often it is this far out, how far out it is this often, and the interval of a mean.

In: plain numbers. Out: two-sided probabilities, quantiles, intervals; for any degrees of freedom. The tail is
an incomplete beta function, taken from its continued fraction (Press et al., Numerical Recipes, section 6.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, stdev

_TINY = 1e-300
_MOST_TERMS = 10_000
_MOST_STEPS = 100
_CLOSE = 1e-12


def tail(t: float, degrees: float) -> float:
    """Probability that |T| is at least `t`.

    Args:
        t: At least 0; may be infinite.
        degrees: Of freedom, above 0.

    Example: T with 1 degree is a Cauchy variable: tail(1, 1) = 0.5.
    """
    if not t >= 0 or not degrees > 0:
        raise ValueError(f"a tail needs t >= 0 and degrees > 0, got {t} and {degrees}")
    if math.isinf(t):
        return 0.0
    whole = degrees + t * t
    return _incomplete_beta(degrees / whole, t * t / whole, degrees / 2, 0.5)


@lru_cache(maxsize=4096)
def quantile(share: float, degrees: float) -> float:
    """The t that |T| reaches with probability `share`: the inverse of `tail`.

    Example: quantile(0.05, 2) = 4.303, the factor of a 95 % interval over three values.
    """
    if not 0 < share < 1:
        raise ValueError(f"a share is between 0 and 1, got {share}")
    t = 1.0
    while tail(t, degrees) > share:
        t *= 2
    # The logarithm of the tail falls ever faster in that of t, so Newton's steps from above stay above.
    for _ in range(_MOST_STEPS):
        now = tail(t, degrees)
        step = math.log(now / share) * now / (2 * t * _density(t, degrees))
        t *= math.exp(step)
        if abs(step) < _CLOSE:
            break
    return t


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of independent values and the ends of its 95 % interval; NaN ends for one value.

    Example: 1, 2 and 3: mean 2, deviation 1, 4.303 / sqrt(3) = 2.484 to each side.
    """
    mean, num = fmean(values), len(values)
    if num < 2:
        return mean, math.nan, math.nan
    half = quantile(0.05, num - 1) * stdev(values) / math.sqrt(num)
    return mean, mean - half, mean + half


def _density(t: float, degrees: float) -> float:
    height = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    return math.exp(height - (degrees + 1) / 2 * math.log1p(t * t / degrees))


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b); `rest` is 1 - x, known better than by subtraction."""
    if x <= 0 or rest <= 0:
        return float(rest <= 0)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1 - _incomplete_beta(rest, x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction, by Lentz's method."""
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < _CLOSE:
            return value
    raise ArithmeticError(f"the incomplete beta function of {x}, {a}, {b} did not converge")


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
