"""95 % intervals of shares and means, and pass@k; the distributions are SciPy's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import comb
from statistics import fmean, stdev

from scipy.special import stdtrit
from scipy.stats import binomtest

LEVEL = 0.05
"""How often a 95 % interval misses."""


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); stays inside [0, 1] and is sensible at 0 and 1.

    Example: 8 of 10: (0.490, 0.943).
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    found = binomtest(successes, trials).proportion_ci(1 - LEVEL, method="wilson")
    return float(found.low), float(found.high)


def t_quantile(share: float, degrees: int) -> float:
    """The t that |T| reaches with probability `share`, with so many degrees of freedom.

    Example: t_quantile(0.05, 2) = 4.303, the factor of a 95 % interval over three values.
    """
    return -float(stdtrit(degrees, share / 2))


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of independent values and the ends of its 95 % interval (Student's t).

    The ends are NaN for one value and for equal ones: two seeds that agree do not tell how far others lie.

    Example: 1, 2 and 3: mean 2, deviation 1, 4.303 / sqrt(3) = 2.484 to each side.
    """
    mean, num = fmean(values), len(values)
    if min(values) == max(values):
        return mean, math.nan, math.nan
    half = t_quantile(LEVEL, num - 1) * stdev(values) / math.sqrt(num)
    return mean, mean - half, mean + half


def share_interval(counts: Sequence[tuple[int, int]]) -> tuple[float, float, float]:
    """Mean over seeds of a share of the same problems, and the ends of its 95 % interval.

    The interval is that of `mean_interval`, cut off at 0 and 1, and never narrower than the choice of problems
    alone makes it: it holds the mean of the seeds' Wilson intervals.

    Args:
        counts: Of each seed the problems that count and all problems.

    Example: 8 of 10 in both of two seeds: 0.8, from 0.490 to 0.943.
    """
    mean, low, high = mean_interval([right / num for right, num in counts])
    wilson = [wilson_interval(right, num) for right, num in counts]
    lowest, highest = fmean(low for low, _ in wilson), fmean(high for _, high in wilson)
    if math.isnan(low):
        return mean, lowest, highest
    return mean, min(lowest, max(0.0, low)), max(highest, min(1.0, high))


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Chance that k of the samples, drawn without replacement, include a correct one.

    Example: 4 samples, 1 correct, k = 2: 1 - C(3, 2) / C(4, 2) = 0.5.
    """
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)
