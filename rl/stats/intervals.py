"""Intervals and estimates of proportions."""

from __future__ import annotations

import math
from math import comb

_Z = 1.959964  # 97.5 % quantile of the normal distribution


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); stays inside [0, 1] and is sensible at 0 and 1.

    Example: 8 of 10: (0.490, 0.943).
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    share, z2 = successes / trials, _Z * _Z
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    # At 0 and 1 the ends meet up to rounding; they are set, so that the interval always holds the share.
    return (centre - half if successes else 0.0), (centre + half if successes < trials else 1.0)


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Chance that k of the samples, drawn without replacement, hold a correct one.

    Example: 4 samples, 1 correct, k = 2: 1 - C(3, 2) / C(4, 2) = 0.5.
    """
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)
