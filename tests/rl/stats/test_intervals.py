"""Quantiles and intervals: tables, closed forms, and the figures of the code that SciPy replaced."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from rl.stats.intervals import mean_interval, share_interval, t_quantile, wilson_interval


@pytest.mark.parametrize(
    ("degrees", "expected"),
    # Tables of Student's t, 97.5 %; the last is the normal distribution's.
    [(1, 12.706), (2, 4.303), (3, 3.182), (9, 2.262), (20, 2.086), (120, 1.980), (10**7, 1.960)],
)
def test_quantiles_are_those_of_the_tables(degrees: int, expected: float) -> None:
    assert t_quantile(0.05, degrees) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("share", [1 - 1e-6, 0.9, 0.5, 0.05, 1e-3, 1e-12])
def test_quantiles_in_closed_form(share: float) -> None:
    # P(|T| >= t) is 1 - 2 atan(t) / pi with 1 degree, and 1 - t / sqrt(2 + t^2) with 2. Solved for t, the
    # second is t = (1 - share) * sqrt(2 / (1 - (1 - share)^2)), where 1 - (1 - share)^2 = share * (2 - share).
    assert t_quantile(share, 1) == pytest.approx(1 / math.tan(math.pi * share / 2), rel=1e-9)
    assert t_quantile(share, 2) == pytest.approx((1 - share) * math.sqrt(2 / (share * (2 - share))), rel=1e-9)


@pytest.mark.parametrize(
    ("share", "degrees", "before"),
    [
        (0.05, 1, 12.706204736174692),
        (0.05, 2, 4.302652729749463),
        (0.05, 199, 1.9719565442513003),
        (1e-3, 3, 12.923978636687478),
        (0.9, 30, 0.12672961313207431),
        (1e-12, 5, 452.5392243334008),
    ],
)
def test_quantiles_are_those_of_the_first_version(share: float, degrees: int, before: float) -> None:
    """Computed by commit 02cc6f3 from a continued fraction of its own."""
    assert t_quantile(share, degrees) == pytest.approx(before, rel=1e-9)


def test_intervals_of_a_mean() -> None:
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2.0 - 2.4841, 2.0 + 2.4841), abs=1e-4)
    # 21 values of mean 0 and deviation sqrt(20 / 20) = 1; t at 20 degrees is 2.086.
    mean, low, high = mean_interval([-1.0] * 10 + [0.0] + [1.0] * 10)
    assert mean == 0.0 and high == -low == pytest.approx(2.086 / math.sqrt(21), abs=1e-4)
    before = (0.6375, 0.5529253293340889, 0.722074670665911)
    assert mean_interval([0.61, 0.58, 0.7, 0.66]) == pytest.approx(before, abs=1e-9)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0, 0.0, 0.0]])
def test_one_value_and_equal_ones_have_no_interval(values: list[float]) -> None:
    mean, low, high = mean_interval(values)
    assert mean == values[0] and math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize(
    ("right", "num", "before"),
    [
        (0, 10, (0.0, 0.2775328030260577)),
        (8, 10, (0.49016246912213235, 0.943317849062233)),
        (37, 200, (0.1373019276778717, 0.24457062812357494)),
        (200, 200, (0.9811546733310369, 1.0)),
    ],
)
def test_wilson_intervals_are_those_of_the_first_version(
    right: int, num: int, before: tuple[float, float]
) -> None:
    # It took 1.959964 for the quantile, which is 1.5e-8 too large.
    assert wilson_interval(right, num) == pytest.approx(before, abs=5e-9)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ([(8, 10)], 0.4902, 0.9433),  # one seed: Wilson
        ([(8, 10), (8, 10)], 0.4902, 0.9433),  # two that agree: no narrower, the problems being the same
        ([(0, 10), (0, 10)], 0.0, 0.2775),
        # 0.8 and 0.9: 0.85 -+ 12.706 * 0.05 = 0.215 to 1.485, cut off at 1.
        ([(8, 10), (9, 10)], 0.2147, 1.0),
        # 79 to 81 of 100: 0.8 -+ 4.303 * 0.01 / sqrt(3) = 0.775 to 0.825 is narrower than Wilson's mean.
        ([(79, 100), (80, 100), (81, 100)], 0.7112, 0.8666),
    ],
)
def test_intervals_of_a_share(counts: Sequence[tuple[int, int]], low: float, high: float) -> None:
    mean = sum(right / num for right, num in counts) / len(counts)
    assert share_interval(counts) == pytest.approx((mean, low, high), abs=1e-4)
