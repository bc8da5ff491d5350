"""Whether two cases differ by more than noise: differences paired over seeds and problems.

In: one figure for each seed and problem, of a case and of the base. Out: the mean difference, its 95 %
interval, and which of several differences are more than noise.

Every seed meets the same problems, so seeds and problems are crossed and both are random: a new seed trains
another model, a new set of problems asks other questions. The interval is Student's t over the means of the
seeds, widened by the variance that the choice of problems adds to the mean: the variance clustered by problem
minus the variance without clusters, as in two-way clustering (Cameron, Gelbach and Miller 2011,
doi 10.1198/jbes.2010.07136). It is never narrower than the interval from problems alone, so that seeds which
agree by chance do not pass for certainty: where nothing differs it holds 0 in 95 % of cases or somewhat more,
and hardly ever in fewer (simulated in `tests/rl/stats/test_paired.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest

from rl.stats.intervals import LEVEL, t_quantile

Figures = Mapping[int, Mapping[int, float]]
"""A figure by seed and problem index."""

_SMALLEST_P = 1e-12
_NO_WIDTH = 1e-9  # an interval narrower than this share of the difference is rounding


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A case less the base, over the pairs that both have.

    Example: `Difference(mean=-0.5, low=-0.8, high=-0.2, p=0.01, num_pairs=600, num_seeds=3)`

    Attributes:
        mean: Mean over all pairs.
        low: Lower end of the 95 % interval; NaN for a single problem and where all pairs differ equally.
        high: Upper end; NaN in the same cases.
        p: Level at which the interval just reaches 0: below 0.05 where the 95 % interval excludes 0. Where all
            pairs differ equally, that of an exact sign test over the problems. NaN for a single problem.
        num_pairs: Pairs of the same seed and problem.
        num_seeds: Seeds among them; with 1 the interval leaves out how seeds differ.
    """

    mean: float
    low: float
    high: float
    p: float
    num_pairs: int
    num_seeds: int


def paired_difference(case: Figures, base: Figures, *, is_share: bool = False) -> Difference | None:
    """Mean difference over the pairs of seed and problem that both have; None where there is none.

    Args:
        case: The figure of the case.
        base: The same figure of the base.
        is_share: Each value is a share, mostly 0 or 1. Then one problem won and one lost are added to every
            seed before the interval is taken (Bonett and Price 2012, doi 10.3102/1076998611411915); without
            them no problem won and none lost would look certain.

    Example::

        One seed, problems with differences 1, 2 and 3: mean 2, deviation 1, 4.303 / sqrt(3) to each side.

        >>> found = paired_difference({0: {0: 2, 1: 3, 2: 4}}, {0: {0: 1, 1: 1, 2: 1}})
        >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (2.0, -0.484, 4.484)
    """
    pairs = [
        (seed, index, case[seed][index] - base[seed][index])
        for seed in case.keys() & base.keys()
        for index in case[seed].keys() & base[seed].keys()
    ]
    if not pairs:
        return None
    pairs.sort()
    seeds = sorted({seed for seed, *_ in pairs})
    mean = math.fsum(value for *_, value in pairs) / len(pairs)
    if is_share:  # -1 and -2 are no indices of problems
        pairs += [(seed, index, value) for seed in seeds for index, value in ((-1, 1.0), (-2, -1.0))]
    spread = _spread(pairs)
    middle, low, high, p = mean, math.nan, math.nan, math.nan
    if spread is not None:
        middle = math.fsum(value for *_, value in pairs) / len(pairs)
        half, p = spread.half(LEVEL), spread.p(abs(middle))
        if half > _NO_WIDTH * abs(middle):
            least, most = (-1.0, 1.0) if is_share else (-math.inf, math.inf)
            low, high = max(least, middle - half), min(most, middle + half)
    num = len(pairs) - 2 * len(seeds) * is_share
    return Difference(mean=mean, low=low, high=high, p=p, num_pairs=num, num_seeds=len(seeds))


def holm(ps: Sequence[float]) -> list[bool]:
    """Which of several differences are more than noise; at most 5 % of such lists include one that is noise.

    The smallest p is compared with 0.05 / n, the next with 0.05 / (n - 1) and so on, up to the first that fails
    (Holm 1979). A p that is NaN takes no part.

    Example: 0.01, 0.04, 0.03: only the first, as 0.01 <= 0.05 / 3, but 0.03 > 0.05 / 2.
    """
    ranked = sorted((p, place) for place, p in enumerate(ps) if not math.isnan(p))
    passed = [False] * len(ps)
    for rank, (p, place) in enumerate(ranked):
        if p > LEVEL / (len(ranked) - rank):
            break
        passed[place] = True
    return passed


def sign_test(won: int, lost: int) -> float:
    """Chance of a count this uneven or more, if winning and losing a problem were equally likely (McNemar).

    Example: 1 won, 7 lost: 2 * (1 + 8) / 2**8 = 0.0703.
    """
    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spread:
    """Variances of a mean difference, by their source.

    Attributes:
        of_seeds: Clustered by seed; None for one seed.
        of_problems: Clustered by problem.
        of_pairs: Without clusters.
        num_seeds: Seeds.
        num_problems: Problems.
    """

    of_seeds: float | None
    of_problems: float
    of_pairs: float
    num_seeds: int
    num_problems: int

    def half(self, level: float) -> float:
        """Half the width of the interval that misses with probability `level`."""
        by_problems = t_quantile(level, self.num_problems - 1) ** 2
        square = by_problems * self.of_problems
        if self.of_seeds is not None:
            added = by_problems * max(0.0, self.of_problems - self.of_pairs)
            square = max(square, t_quantile(level, self.num_seeds - 1) ** 2 * self.of_seeds + added)
        return math.sqrt(square)

    def p(self, distance: float) -> float:
        """The level at which the interval just reaches `distance`."""
        if self.half(LEVEL) <= _NO_WIDTH * distance:
            return sign_test(0, self.num_problems) if distance else 1.0
        if self.half(_SMALLEST_P) <= distance:
            return _SMALLEST_P
        reached = brentq(lambda log: self.half(math.exp(log)) - distance, math.log(_SMALLEST_P), 0.0)
        return math.exp(reached)


def _spread(pairs: Sequence[tuple[int, int, float]]) -> _Spread | None:
    values = np.array([value for *_, value in pairs])
    rest = values - values.mean()
    seed_of = np.unique([seed for seed, *_ in pairs], return_inverse=True)[1]
    problem_of = np.unique([index for _, index, _ in pairs], return_inverse=True)[1]
    num_seeds, num_problems = int(seed_of.max()) + 1, int(problem_of.max()) + 1
    if num_problems < 2:
        return None
    return _Spread(
        of_seeds=_clustered(rest, seed_of) if num_seeds > 1 else None,
        of_problems=_clustered(rest, problem_of),
        of_pairs=_clustered(rest, np.arange(len(rest))),
        num_seeds=num_seeds,
        num_problems=num_problems,
    )


def _clustered(rest: np.ndarray[Any, Any], cluster_of: np.ndarray[Any, Any]) -> float:
    """Variance of the mean where the values of a cluster depend on each other."""
    sums = np.bincount(cluster_of, weights=rest)
    return float(np.square(sums).sum() / len(rest) ** 2 * len(sums) / (len(sums) - 1))
