"""Divergences of answers by hand, their level under chance, and the statistics over lines."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from rl.importance.measure import Answer, chance_divergence, divergence
from rl.importance.summary import bootstrap, by_kind, correlations, spearman

FOUR, FIVE, NONE = Answer("4", True), Answer("5", False), Answer(None, False)


def test_the_divergence_by_hand() -> None:
    """Counts (3, 0) and (1, 2), plus 1 each: 4/5, 1/5 and 2/5, 3/5."""
    expected = 0.8 * math.log(2) + 0.2 * math.log(1 / 3)
    assert divergence([FOUR] * 3, [FOUR, FIVE, FIVE]) == pytest.approx(expected)
    assert divergence([FOUR, NONE], [NONE, FOUR]) == 0
    # The answer that a wrong text states is another one than the same text that is right.
    assert divergence([Answer("4", False)] * 3, [FOUR] * 3) == pytest.approx(
        0.8 * math.log(4) - 0.2 * math.log(4)
    )


def test_pairs_with_the_same_answer_leave_nothing_to_chance() -> None:
    rng = np.random.default_rng(0)
    answers = [FOUR, FIVE, NONE, FIVE] * 8
    assert chance_divergence(answers, answers, paired=True, rng=rng) == 0
    assert chance_divergence(answers, answers, paired=False, rng=rng) > 0.02
    # One pair differs: it stays or is swapped, to the same effect by size.
    other = [FIVE, *answers[1:]]
    swapped = (divergence(answers, other) + divergence(other, answers)) / 2
    assert chance_divergence(answers, other, paired=True, rng=rng) == pytest.approx(swapped, rel=0.1)


@pytest.mark.parametrize("paired", [False, True])
def test_importance_is_around_zero_where_nothing_changes(paired: bool) -> None:
    """Independent answers from one distribution: divergences are above 0, less chance they are not."""
    rng = np.random.default_rng(1)
    plain, less_chance = [], []
    for _ in range(200):
        first, second = ([(FOUR, FIVE, NONE)[at] for at in rng.choice(3, 24, p=(0.5, 0.3, 0.2))] for _ in "ab")
        plain.append(divergence(first, second))
        less_chance.append(plain[-1] - chance_divergence(first, second, paired=paired, rng=rng))
    assert np.mean(plain) > 0.03
    assert abs(np.mean(less_chance)) < 4 * np.std(less_chance) / math.sqrt(200)


def test_spearman_by_hand() -> None:
    assert spearman(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])) == pytest.approx(0.8)
    # Ties share ranks: 1.5, 1.5, 3.5, 3.5 against 1 to 4: covariance 4, variances 4 and 5.
    assert spearman(np.array([0, 0, 1, 1]), np.array([1, 2, 3, 4])) == pytest.approx(4 / math.sqrt(20))
    assert math.isnan(spearman(np.array([1, 1]), np.array([1, 2])))


def test_intervals_are_over_problems_not_lines() -> None:
    """Two problems of 50 equal lines each are two observations: the interval spans both."""
    values = np.repeat([0.0, 1.0], 50)
    found = bootstrap(np.repeat([7, 9], 50), lambda lines: float(values[lines].mean()))
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
    assert math.isnan(bootstrap(np.repeat([7], 50), lambda lines: 1.0).low)


def table(**columns: list[object]) -> pd.DataFrame:
    num = len(next(iter(columns.values())))
    usual = {
        "index": 1,
        "kind": "valid",
        "importance": 0.0,
        "change": 0.0,
        "other_frac": 0.5,
        "counterfactual_importance": None,
        "counterfactual_change": None,
        "taken_back": False,
        "decides": False,
        "num_elementary": 1,
        "line": 0,
        "num_lines": 4,
        "accuracy_before": 0.5,
    }
    return pd.DataFrame({**{name: [value] * num for name, value in usual.items()}, **columns})


def test_lines_are_summed_up_by_kind() -> None:
    found = by_kind(
        table(
            index=[1, 1, 2, 2],
            kind=["valid", "invalid", "invalid", "backtrack"],
            importance=[0.1, 0.5, 0.3, None],
            change=[0.1, -0.5, -0.3, 0.0],
            taken_back=[False, True, False, False],
        )
    )
    figures = {one.label: (one.lines, one.problems, one.importance.value, one.change.value) for one in found}
    assert figures == {
        "valid, one step": (1, 1, 0.1, 0.1),
        "invalid": (2, 2, 0.4, -0.4),
        "taken back later": (1, 1, 0.5, -0.5),
        "not taken back": (2, 2, 0.2, pytest.approx(-0.1)),
        "all lines": (3, 2, pytest.approx(0.3), pytest.approx(-0.7 / 3)),
    }
    assert {one.label: round(one.size.value, 3) for one in found}["all lines"] == 0.3


def test_importance_is_ranked_against_what_is_known() -> None:
    found = correlations(
        table(index=[1, 1, 2, 2], importance=[0.1, 0.5, 0.2, 0.4], decides=[False, True, False, True])
    )
    assert [one.about for one in found] == ["the way to the end is lost or found again with it (0, 1)"]
    assert found[0].importance.value == pytest.approx(4 / math.sqrt(20))
    assert math.isnan(found[0].counterfactual.value)


def test_the_first_wrong_line_is_told_from_those_that_follow() -> None:
    lines = table(
        index=[1, 1, 1, 2, 2],
        kind=["invalid", "invalid", "invalid", "valid", "invalid"],
        importance=[None, 0.1, 0.3, 0.2, 0.8],
        decides=[True, True, True, False, True],
    )
    figures = {one.label: (one.lines, one.importance.value) for one in by_kind(lines)}
    assert figures["invalid, the first"] == (1, 0.8)  # that of trace 1 could not be measured
    assert figures["invalid, after another"] == (2, pytest.approx(0.2))
    found = {one.about: one.importance.value for one in correlations(lines)}
    assert found["the first wrong line of its trace (0, 1)"] == pytest.approx(3 / math.sqrt(15))
