"""The figures of a round, worked by hand (section 1.8 of the sources)."""

from __future__ import annotations

import pytest

from rewards import Outcome
from rl.iterate.metrics import asked, following, solved
from tests.kit.answers import make_answer

RIGHT, LUCK, WRONG = Outcome.VERIFIED, Outcome.CORRECT, Outcome.WRONG
# One below full was asked for: of 3 steps 2, of 1 step the full one, which is no real skip.
ASKED = [
    make_answer(index=0),  # follows, right
    make_answer(index=1, outcome=LUCK, invalid=1),  # follows, right by luck
    make_answer(index=2, outcome=WRONG),  # follows, wrong
    make_answer(index=3, steps=3),  # right in the full number
    make_answer(index=4, full_steps=1, asked=1, steps=1),  # not a real skip; follows, right
    make_answer(index=5, outcome=None, steps=0),  # a grader failed: not counted
]


def test_following() -> None:
    found = following(ASKED)
    assert (found.num, found.num_real) == (5, 4)
    assert found.consistency == pytest.approx(4 / 5)
    assert found.accuracy == pytest.approx(4 / 5)
    assert found.accuracy_consistent == pytest.approx(3 / 4)
    assert found.joint == pytest.approx(3 / 5)
    assert found.consistency_real == pytest.approx(3 / 4)
    assert found.accuracy_real == pytest.approx(3 / 4)
    assert found.accuracy_consistent_real == pytest.approx(2 / 3)
    assert found.joint_real == pytest.approx(2 / 4)
    assert found.verified_real == pytest.approx(1 / 4)
    assert found.steps == pytest.approx((2 + 2 + 2 + 3 + 1) / 5)
    assert found.asked == pytest.approx((2 + 2 + 2 + 2 + 1) / 5)


def test_following_without_a_real_skip_has_no_figures_of_any() -> None:
    found = following([make_answer(fewer=0, asked=3, steps=3)])
    assert (found.num_real, found.consistency) == (0, 1.0)
    assert found.consistency_real is None and found.joint_real is None and found.verified_real is None


def test_solved() -> None:
    rows = [
        make_answer(index=0, steps=2, invalid=0),  # fewer, verified
        make_answer(index=1, steps=2, outcome=LUCK, invalid=2),  # fewer, luck
        make_answer(index=2, steps=1, outcome=WRONG),  # fewer, wrong
        make_answer(index=3, steps=3),  # equal
        make_answer(index=4, steps=3, outcome=WRONG),
        make_answer(index=5, steps=5, full_steps=4),  # more
        make_answer(index=6, outcome=None, steps=0),  # not counted
    ]
    found = solved(rows)
    assert found.num == 6
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.steps == pytest.approx(16 / 6)
    assert found.steps_correct == pytest.approx((2 + 2 + 3 + 5) / 4)
    assert found.full_steps == pytest.approx(19 / 6)
    assert found.full_steps_correct == pytest.approx(13 / 4)
    assert (found.fewer, found.equal, found.more) == pytest.approx((3 / 6, 2 / 6, 1 / 6))
    assert found.fewer_accuracy == pytest.approx(2 / 3)
    assert found.equal_accuracy == pytest.approx(1 / 2)
    assert found.more_accuracy == pytest.approx(1.0)
    assert found.unverified_correct == pytest.approx(1 / 4)
    assert found.unverified_fewer == pytest.approx(1 / 2)
    assert found.invalid_correct == pytest.approx(2 / 4)


def test_where_steps_are_counted_nothing_is_said_of_lines() -> None:
    counted = make_answer(steps_checked=False, invalid=None, outcome=LUCK, kept=True)
    assert solved([counted]).unverified_correct is None
    assert solved([counted]).invalid_correct is None
    assert following([counted]).verified_real is None
    assert asked([counted]).kept_verified is None


def test_asked_counts_what_was_kept_and_what_of_it_was_luck() -> None:
    kept = [
        row
        if row.steps != 2 or row.outcome is WRONG
        else make_answer(**{"index": row.index, "outcome": row.outcome, "kept": True})
        for row in ASKED
    ]
    found = asked([*kept, make_answer(index=0, fewer=2, asked=1, steps=1, kept=True)])
    assert (found.num, found.num_real) == (7, 6)
    # Real ones that were graded: 0 to 3 and the last; all but 3 follow, all but 2 are right.
    assert (found.consistent, found.correct) == (4, 4)
    assert (found.kept, found.kept_verified, found.problems) == (3, 2, 2)
