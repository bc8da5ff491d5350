"""The rule that chooses a round, by hand-worked numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from rl.iterate.stopping import ONE_ERROR, Cell, Rule, choose, chosen_by, regret
from rl.stats.intervals import LEVEL

NAN = math.nan


def cell(rounds: Iterable[Iterable[int]], saved: Iterable[float], num: int = 100) -> Cell:
    """Rounds by the problems they solve, each of them with the same share of steps saved."""
    correct = np.array([[float(index in set(solved)) for index in range(num)] for solved in rounds])
    shares = np.array(list(saved))[:, None]
    return Cell(correct=correct, saved=np.where(correct > 0, shares, NAN))


# Round 1 solves 60 of 100. Round 2 loses 10 of them and wins 8 others: with one problem won and one lost added,
# the difference is -2 / 102 = -0.0196, its standard error sqrt((20 - 102 * 0.0196²) / (102 * 101)) = 0.0440.
# Round 0 loses 10 and wins none: -10 / 102 = -0.0980 and sqrt((12 - 102 * 0.0980²) / (102 * 101)) = 0.0327.
ROUNDS = [range(50), range(60), [*range(50), *range(60, 68)]]


def test_of_rounds_within_one_paired_error_the_one_that_saves_most_steps_is_kept() -> None:
    found = choose(cell(ROUNDS, saved=[0.3, 0.1, 0.2]))
    assert (found.best, found.within, found.place) == (1, (1, 2), 2)
    assert [one and round(one.mean, 4) for one in found.differences] == [-0.1, 0.0, -0.02]
    assert found.told_apart


def test_a_round_that_saves_less_is_not_kept_for_being_within_the_error() -> None:
    assert choose(cell(ROUNDS, saved=[0.3, 0.2, 0.1])).place == 1


@pytest.mark.parametrize(("lost", "is_within"), [(1, True), (3, False)])
def test_how_many_problems_one_error_is(lost: int, is_within: bool) -> None:
    # Lost 1 and won none: 1 / 102 = 0.0098 against sqrt(2.99 / 10302) = 0.0170. Lost 3: 0.0294 against 0.0218.
    found = choose(cell([range(60), range(60 - lost)], saved=[0.0, 0.2]))
    assert (found.place == 1) is is_within


def test_a_wider_interval_gives_up_more_accuracy_for_a_step() -> None:
    lost_three = cell([range(60), range(57)], saved=[0.0, 0.2])  # 1.35 standard errors: p = 0.18
    assert pytest.approx(0.3173, abs=1e-4) == ONE_ERROR
    assert choose(lost_three).place == 0
    assert choose(lost_three, LEVEL).place == 1


def test_pairing_leaves_out_what_both_rounds_solve() -> None:
    """A lead of 3 points is noise for two samples of 100, but not if no problem went the other way."""
    easy = [index for index in range(100) if index % 3]
    unpaired = cell([[*range(30), *range(40, 70)], [*range(27), *range(70, 100)]], saved=[0.0, 0.2])
    assert choose(unpaired).place == 1
    assert choose(cell([easy, easy[3:]], saved=[0.0, 0.2])).place == 0


def test_equal_rounds_are_told_apart_by_accuracy_and_then_by_order() -> None:
    same_steps = cell([range(58), range(60), range(60)], saved=[0.2, 0.2, 0.2])
    assert choose(same_steps).place == 1
    assert choose(cell([range(60), range(60)], saved=[0.1, 0.1])).place == 0


def test_where_no_round_solves_a_problem_the_first_is_kept_and_nothing_told_them_apart() -> None:
    found = choose(cell([[], []], saved=[0.0, 0.0]))
    assert (found.place, found.within, found.told_apart) == (0, (0, 1), False)


def test_a_round_that_solves_nothing_saves_no_steps() -> None:
    found = choose(cell([[], [3]], saved=[0.5, 0.0]))
    assert found.place == 1
    assert found.told_apart


def test_rounds_and_problems_that_are_missing_take_no_part() -> None:
    full = cell([range(50), range(60), range(90)], saved=[0.0, 0.1, 0.2])
    correct = full.correct.copy()
    correct[2] = NAN  # not evaluated
    correct[0, 55:] = NAN  # 50 of the first 55, where round 1 has all 55
    gappy = Cell(correct=correct, saved=full.saved)
    assert gappy.present == [0, 1]
    assert gappy.accuracy()[:2] == pytest.approx([50 / 55, 1.0])
    assert math.isnan(gappy.accuracy()[2]) and math.isnan(gappy.steps_saved()[2])
    found = choose(gappy)
    assert (found.place, found.differences[2]) == (1, None)
    assert chosen_by(Rule.LAST, gappy, gappy) == 1
    with pytest.raises(ValueError, match="candidate 2 has no answers"):
        regret(gappy, 2)


def test_what_cannot_be_compared_is_refused() -> None:
    empty = Cell(correct=np.full((2, 3), NAN), saved=np.full((2, 3), NAN))
    with pytest.raises(ValueError, match="no candidate has answers on the validation cell"):
        choose(empty)
    apart = Cell(correct=np.array([[1.0, NAN], [NAN, 1.0]]), saved=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="no problem of the validation cell was answered by every candidate"):
        choose(apart)
    with pytest.raises(ValueError, match="give two"):
        Cell(correct=np.zeros((2, 3)), saved=np.zeros((3, 2)))


def test_the_other_rules() -> None:
    validation = cell(ROUNDS, saved=[0.3, 0.1, 0.2])
    on_id = cell([range(99), range(97), range(98)], saved=[0.0, 0.1, 0.2])
    kept = {rule: chosen_by(rule, validation, on_id) for rule in Rule}
    assert kept == {
        Rule.VALIDATION: 2,
        Rule.MOST_ACCURATE: 1,
        Rule.BEST_ON_ID: 0,
        Rule.LAST: 2,
        Rule.FIRST: 0,
    }


def test_regret_is_what_the_oracle_has_more() -> None:
    test = cell([range(20), range(50), range(40)], saved=[0.0, 0.1, 0.3])
    cost = regret(test, 2)
    assert (cost.oracle_place, cost.oracle, cost.accuracy) == (1, 0.5, 0.4)
    assert cost.regret == pytest.approx(0.1)
    assert cost.steps_saved == pytest.approx(0.3)
    assert regret(test, 1).regret == 0
