"""Paired differences: hand-worked numbers, coverage by simulation, and the rate of false positives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rl.stats.intervals import mean_interval
from rl.stats.paired import Figures, holm, paired_difference, sign_test

Table = np.ndarray[Any, Any]


def figures(table: Table | list[list[float]]) -> Figures:
    """A figure by seed and problem, from one row per seed."""
    return {seed: {index: float(value) for index, value in enumerate(row)} for seed, row in enumerate(table)}


# ---- by hand ----


def test_one_seed_is_a_paired_t_interval() -> None:
    # Differences 1, 2, 3: mean 2, deviation 1; 4.3027 / sqrt(3) = 2.4841. t = 2 / (1 / sqrt(3)) = 3.4641, and
    # 1 - t / sqrt(2 + t^2) = 1 - 3.4641 / 3.7417 = 0.07418.
    found = paired_difference(figures([[2, 3, 4]]), figures([[1, 1, 1]]))
    assert found is not None
    assert (found.mean, found.num_pairs, found.num_seeds) == (2.0, 3, 1)
    assert (found.low, found.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)
    assert found.p == pytest.approx(0.07418, rel=1e-3)


def test_where_seeds_alone_differ_it_is_the_t_interval_over_seeds() -> None:
    # Every problem of a seed has the same difference: 1, 2 and 3. All problems have mean 2 and add nothing.
    found = paired_difference(figures([[1] * 4, [2] * 4, [3] * 4]), figures([[0] * 4] * 3))
    assert found is not None and found.mean == 2.0 and found.num_seeds == 3
    assert (found.low, found.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)


def test_where_problems_alone_differ_it_is_the_t_interval_over_problems() -> None:
    # Both seeds have 1, 2, 3: more seeds do not make the choice of three problems more certain.
    found = paired_difference(figures([[1, 2, 3]] * 2), figures([[0, 0, 0]] * 2))
    assert found is not None and found.num_pairs == 6
    assert (found.low, found.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-3)


def test_both_kinds_of_variance_by_hand() -> None:
    # d = [[0, 2], [2, 8]]: mean 3; about it [[-3, -1], [-1, 5]].
    # By seed: sums -4 and 4, (16 + 16) / 4^2 * 2 / 1 = 4. By problem: the same. By pair: 36 / 16 * 4 / 3 = 3.
    # t at 1 degree is 12.706: half = 12.706 * sqrt(4 + (4 - 3)).
    found = paired_difference(figures([[0, 2], [2, 8]]), figures([[0, 0], [0, 0]]))
    assert found is not None and found.mean == 3.0
    assert found.high - 3 == 3 - found.low == pytest.approx(12.7062 * math.sqrt(5), abs=1e-3)


def test_shares_have_one_problem_won_and_one_lost_added() -> None:
    # No problem differs. With +1 and -1 added to 8 zeros: variance 2 / 9, of the mean 2 / 90; t at 9 is 2.262.
    ones = figures([[1.0] * 8])
    found = paired_difference(ones, ones, is_share=True)
    assert found is not None and found.mean == 0.0 and found.p == 1.0 and found.num_pairs == 8
    assert found.high == -found.low == pytest.approx(2.262 * math.sqrt(2 / 90), abs=1e-3)
    won = paired_difference(ones, figures([[0.0] * 8]), is_share=True)
    assert won is not None and won.mean == 1.0 and 0 < won.low < 1 and won.high == 1.0


def test_only_pairs_present_in_both_cases_count() -> None:
    found = paired_difference({0: {0: 5, 1: 7, 2: 9}, 3: {0: 1}}, {0: {1: 6, 2: 8, 9: 0}, 1: {0: 1}})
    assert found is not None and (found.mean, found.num_pairs, found.num_seeds) == (1.0, 2, 1)
    assert paired_difference({0: {0: 1.0}}, {1: {0: 1.0}}) is None
    one = paired_difference({0: {0: 2.0}, 1: {0: 4.0}}, {0: {0: 1.0}, 1: {0: 1.0}})  # says nothing of problems
    assert one is not None and one.mean == 2.0 and math.isnan(one.low) and math.isnan(one.p)


def test_the_order_and_the_sides_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    case, base = rng.normal(size=(3, 20)), rng.normal(size=(3, 20))
    found, back = (
        paired_difference(figures(case), figures(base)),
        paired_difference(figures(base), figures(case)),
    )
    mixed = paired_difference(figures(case[::-1, ::-1]), figures(base[::-1, ::-1]))
    assert found is not None and back is not None and mixed is not None
    assert (found.mean, found.low, found.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert (found.mean, found.low, found.p) == pytest.approx((mixed.mean, mixed.low, mixed.p))


@pytest.mark.parametrize("amount", [0.0, -1.0, 1 / 3])
def test_where_all_pairs_differ_equally_there_is_no_interval(amount: float) -> None:
    # An interval of width 0 would claim certainty. The sign test over 4 problems, all of one sign: 2 / 2**4.
    base = [[3.0, 4.0, 5.0, 7.0]] * 2
    case = [[value + amount for value in row] for row in base]
    found = paired_difference(figures(case), figures(base))
    assert found is not None and found.mean == pytest.approx(amount)
    assert math.isnan(found.low) and math.isnan(found.high)
    assert found.p == (0.125 if amount else 1.0)


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("case", [[1.0] * 8, [0.0] * 8], ids=["same", "all lost"])
def test_shares_always_have_an_interval(case: list[float], seeds: int) -> None:
    found = paired_difference(figures([case] * seeds), figures([[1.0] * 8] * seeds), is_share=True)
    assert found is not None and found.high - found.low > 0.1
    assert -1.0 <= found.low <= found.mean <= found.high <= 1.0


def test_figures_are_those_of_the_first_version() -> None:
    """Computed by commit 02cc6f3, which had its own incomplete beta function and halved for p."""
    case = figures([[0, 1, 1, 1, 0, 1], [1, 1, 1, 1, 0, 1], [0, 1, 1, 0, 1, 1]])
    base = figures([[0, 0, 1, 0, 0, 1], [0, 1, 0, 1, 0, 1], [0, 0, 1, 0, 0, 1]])
    steps = figures([[3, 2, 4, 5, 2], [2, 2, 4, 4, 3], [3, 3, 4, 6, 2]])
    longer = figures([[5, 4, 4, 5, 3], [4, 4, 5, 5, 3], [5, 5, 4, 7, 4]])
    for found, mean, low, high, p in (
        (
            paired_difference(case, base, is_share=True),
            1 / 3,
            -0.23838925569859787,
            0.7383892556985978,
            0.2653982052579368,
        ),
        (
            paired_difference(case, base),
            1 / 3,
            0.11209287467816179,
            0.5545737919885049,
            0.011724824219147828,
        ),
        (
            paired_difference(steps, longer),
            -1.2,
            -2.152841730329005,
            -0.24715826967099508,
            0.024972314267552642,
        ),
    ):
        assert found is not None
        assert (found.mean, found.low, found.high) == pytest.approx((mean, low, high), abs=1e-9)
        assert found.p == pytest.approx(p, rel=2e-6)  # 24 halvings of a range of 27.6 on the log scale


def test_the_sign_test_by_hand() -> None:
    assert sign_test(1, 7) == pytest.approx(2 * (1 + 8) / 256)
    assert sign_test(0, 0) == sign_test(3, 3) == 1.0
    assert sign_test(7, 1) == sign_test(1, 7)
    # As before SciPy's, by binomial coefficients.
    assert sign_test(2, 9) == pytest.approx(0.0654296875, abs=1e-12)
    assert sign_test(30, 14) == pytest.approx(0.022628841205914796, abs=1e-12)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == [True, False, False]  # 0.01 <= 0.05 / 3; 0.03 > 0.05 / 2
    assert holm([0.01, 0.04, 0.02]) == [True, True, True]  # 0.01 <= 0.0167, 0.02 <= 0.025, 0.04 <= 0.05
    assert holm([0.04, math.nan]) == [True, False]
    assert holm([]) == []


# ---- by simulation ----


def coverage(num_seeds: int, of_seeds: float, of_problems: float, of_pairs: float, rounds: int = 400) -> float:
    """How often the interval holds the true difference, 0, under normal effects of these deviations."""
    rng = np.random.default_rng([num_seeds, int(100 * of_seeds), int(100 * of_problems), int(100 * of_pairs)])
    held = 0
    for _ in range(rounds):
        table = of_seeds * rng.standard_normal((num_seeds, 1)) + of_problems * rng.standard_normal((1, 60))
        table = table + of_pairs * rng.standard_normal((num_seeds, 60))
        found = paired_difference(figures(table), figures(np.zeros_like(table)))
        assert found is not None
        held += found.low <= 0 <= found.high
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
    return held / rounds


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("of_seeds", "of_problems", "of_pairs"),
    [(0.0, 0.0, 1.0), (0.3, 0.0, 1.0), (0.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.1, 0.5, 1.0)],
    ids=["pairs", "seeds", "problems", "only problems", "all"],
)
def test_intervals_hold_the_truth(num_seeds: int, of_seeds: float, of_problems: float, of_pairs: float) -> None:
    # 400 rounds at 95 % have a standard error of 1.1 points; it must not be below by more than three of them.
    assert coverage(num_seeds, of_seeds, of_problems, of_pairs) >= 0.95 - 3 * 0.011


def test_intervals_over_seeds_alone_would_not() -> None:
    """Why problems must count: the t interval over seeds misses the truth where problems differ."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        table = rng.standard_normal((1, 60)) + 0.5 * rng.standard_normal((3, 60))
        _, low, high = mean_interval([float(mean) for mean in table.mean(axis=1)])
        held += low <= 0 <= high
    assert held / 400 < 0.85


def test_noise_is_reported_as_noise() -> None:
    """Two cases without a difference, right or wrong by chance, on problems of different difficulty."""
    rng = np.random.default_rng(1)
    noise = 0
    for _ in range(300):
        difficulty = rng.beta(2, 1, 80)
        case, base = rng.random((2, 3, 80)) < difficulty
        found = paired_difference(figures(case), figures(base), is_share=True)
        assert found is not None
        noise += not holm([found.p])[0]
    assert noise / 300 >= 0.95 - 3 * 0.0126


def test_a_true_difference_is_detected() -> None:
    """One step in four spared by every seed, as in the quickstart: more than noise with three seeds."""
    rng = np.random.default_rng(2)
    seen = 0
    for _ in range(50):
        base = rng.integers(2, 6, 100)[None] + np.zeros((3, 1))
        spared = rng.random((3, 100)) < 0.75 + 0.02 * rng.standard_normal((3, 1))
        found = paired_difference(figures(base - spared), figures(base))
        assert found is not None
        seen += holm([found.p])[0]
    assert seen == 50
