"""95 % intervals of shares and means, and pass@k; the quantiles are SciPy's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import comb
from statistics import fmean, stdev

from scipy.special import ndtri, stdtrit

LEVEL = 0.05
"""How often a 95 % interval misses."""


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); stays inside [0, 1] and is sensible at 0 and 1.

    Args:
        successes: Trials that succeeded; a mean over repeated trials may be a fraction.
        trials: All trials, or an effective number of them.

    Example: 8 of 10: (0.490, 0.943).
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    share, squared = successes / trials, float(ndtri(1 - LEVEL / 2)) ** 2
    middle = (share + squared / (2 * trials)) / (1 + squared / trials)
    spread = share * (1 - share) / trials + squared / (4 * trials**2)
    half = math.sqrt(squared * spread) / (1 + squared / trials)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def clustered_interval(counts: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """95 % interval of the share of right samples, where a problem has several samples.

    Samples of one problem tend to be right or wrong together, so they tell less than as many problems would.
    The interval is Wilson's for the effective number of samples: share * (1 - share) / variance, with the
    variance clustered by problem (Korn and Graubard 1998), but never fewer than the problems nor more than the
    samples.

    Args:
        counts: Of each problem the right samples and all samples, at least one.

    Example: 4 of 4, 2 of 4 and 0 of 4: share 0.5, variance 3/2 * (2² + 0 + 2²) / 12² = 1/12, so 3 effective
    samples: (0.125, 0.875).
    """
    right, num = sum(right for right, _ in counts), sum(num for _, num in counts)
    problems = len(counts)
    effective = float(problems)
    if problems > 1 and 0 < right < num:
        share = right / num
        squares = math.fsum((ours - share * size) ** 2 for ours, size in counts)
        variance = problems / (problems - 1) * squares / num**2
        effective = max(float(problems), min(float(num), share * (1 - share) / variance if variance else num))
    return wilson_interval(effective * right / num if num else 0.0, effective)


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


def share_interval(counts: Sequence[tuple[float, int]]) -> tuple[float, float, float]:
    """Mean over seeds of a share of the same problems, and the ends of its 95 % interval.

    The interval is that of `mean_interval`, cut off at 0 and 1, and never narrower than the choice of problems
    alone makes it: it holds the mean of the seeds' Wilson intervals.

    Args:
        counts: Of each seed the problems that count and all problems; a problem of which some samples count is
            a fraction.

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
