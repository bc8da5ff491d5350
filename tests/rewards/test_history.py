"""The history that a run keeps for its rewards, and the groups in which terms count."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from envs import Problem, Trace
from rewards import History, RewardSum, RunHistory, Term, When
from tests.kit.directional import TURNS, right, wrong

OTHER = replace(TURNS, question="You face south. Actions: left", index=1)


def test_a_run_keeps_accuracy_shortest_answers_and_lengths() -> None:
    run = RunHistory()
    assert run.of(TURNS) == History(update=0)
    run.add([(TURNS, [right(30), right(20), wrong(5)]), (OTHER, [wrong(1), wrong(1), wrong(1)])])
    # 2 of 6 right. The first group, 2/3 right, is of the first class; of 3 samples at least 2 are right
    # there, so the target is the half of (20, 30) that one of two is in: 20.
    first = run.of(TURNS)
    assert first == History(
        update=1, accuracy=2 / 6, best_accuracy=2 / 6, shortest=20, targets=(20, None, None)
    )
    assert run.of(OTHER).shortest is None
    run.add(
        [(replace(TURNS, index=9), [right(25), wrong(1), wrong(1)]), (OTHER, [right(40), wrong(3), wrong(2)])]
    )
    # The same question by another index. 1/3 of a group right is the second class: at least 1 of 3, so all.
    second = run.of(TURNS)
    assert second.shortest == 20
    assert second.accuracy == pytest.approx((2 / 6 + 2 / 6) / 2)
    assert second.targets == (20, 40, None)
    for _ in range(14):
        run.add([(OTHER, [wrong(1)])])
    # 16 batches: twice 2 of 6, then nothing right. Only now is the best one known.
    full = run.of(TURNS)
    assert (full.update, full.accuracy, full.best_accuracy) == (16, *[pytest.approx(2 / 48)] * 2)
    run.add([(OTHER, [wrong(1)])])
    later = run.of(TURNS)
    assert (later.accuracy, later.best_accuracy) == (pytest.approx(1 / 48), pytest.approx(2 / 48))


def test_shortest_answers_are_kept_only_on_request() -> None:
    run = RunHistory(keep_shortest=False)
    run.add([(TURNS, [right(30)])])
    assert run.of(TURNS).shortest is None and run.state()["shortest"] == {}


def test_a_restored_history_continues_the_same() -> None:
    one, two = RunHistory(updates_per_batch=2), RunHistory(updates_per_batch=2)
    batches: list[list[tuple[Problem, list[Trace]]]] = [
        [(TURNS, [right(10 + n), wrong(3)]), (OTHER, [right(50 - n), right(7)])] for n in range(6)
    ]
    for batch in batches[:3]:
        one.add(batch)
    two.restore(json.loads(json.dumps(one.state())))
    for batch in batches[3:]:
        one.add(batch)
        two.add(batch)
    assert one.of(TURNS) == two.of(TURNS) and one.state() == two.state()
    assert one.of(TURNS).update == 12


@pytest.mark.parametrize(
    ("when", "history", "open_"),
    [
        (When(), History(), True),
        # 2 of 4 right.
        (When(group_accuracy=(0.5, 1.0)), History(), True),
        (When(group_accuracy=(0.6, 1.0)), History(), False),
        (When(group_accuracy=(0.0, 0.4)), History(), False),
        # Before the first update nothing is known, outside of training it does not matter.
        (When(running_accuracy=(0.7, 1.0)), History(update=0), False),
        (When(running_accuracy=(0.7, 1.0)), History(), True),
        (When(running_accuracy=(0.7, 1.0)), History(update=3, accuracy=0.7, best_accuracy=0.9), True),
        (When(running_accuracy=(0.7, 1.0)), History(update=3, accuracy=0.6, best_accuracy=0.9), False),
        (When(off_best=0.05), History(update=3, accuracy=0.86, best_accuracy=0.9), True),
        (When(off_best=0.05), History(update=3, accuracy=0.84, best_accuracy=0.9), False),
        (When(off_best=0.05), History(update=0), False),
    ],
)
def test_a_term_counts_only_where_its_condition_holds(when: When, history: History, open_: bool) -> None:
    term = Term(name="token_count", weight=-0.5, when=when, args={"per_tokens": 100, "limit": 100})
    scores = RewardSum([Term(name="correct", weight=1.0), term])(
        TURNS, [right(10), right(20), wrong(30), wrong(40)], history
    )
    expected = [-0.05, -0.1, -0.15, -0.2] if open_ else [0.0] * 4
    assert [score.parts["token_count"] for score in scores] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("update", "factor"),
    [(0, 0.0), (10, 0.0), (15, 0.25), (20, 0.5), (40, 0.75), (60, 1.0), (99, 1.0), (None, 1.0)],
)
def test_weights_follow_their_schedule(update: int | None, factor: float) -> None:
    schedule = ((10, 0.0), (20, 0.5), (60, 1.0))
    term = Term(name="token_count", weight=-0.8, schedule=schedule, args={"per_tokens": 100, "limit": 100})
    (score,) = RewardSum([Term(name="correct", weight=1.0), term])(TURNS, [right(50)], History(update=update))
    assert score.parts["token_count"] == pytest.approx(-0.4 * factor)


def test_only_terms_that_read_the_run_need_its_history() -> None:
    correct = Term(name="correct", weight=4.0)
    limit = {"limit": 9}
    tokens = {"limit": 9, "per_tokens": 9}
    for term, needed in (
        (Term(name="token_count", weight=-1.0, args=tokens), False),
        (Term(name="token_count", weight=-1.0, args=tokens, when=When(group_accuracy=(0.5, 1.0))), False),
        (Term(name="token_count", weight=-1.0, args=tokens, when=When(off_best=0.1)), True),
        (Term(name="token_count", weight=-1.0, args=tokens, schedule=((0, 0.0), (9, 1.0))), True),
        (Term(name="length_over_history", weight=-1.0), True),
        (Term(name="within_target_length", weight=0.5, gate="correct", args=limit), True),
    ):
        assert RewardSum([correct, term]).reads_history is needed
    assert not RewardSum([correct, Term(name="format", weight=0.1, schedule=((0, 1.0),))]).reads_problems
    assert RewardSum([correct, Term(name="length_over_history", weight=-1.0)]).reads_problems


def test_bounds_take_gates_and_schedules_into_account() -> None:
    # A bonus that is sometimes off adds nothing to the lowest right total, and a penalty that is sometimes off
    # takes nothing from the highest wrong one. A factor of -2 turns a cost into a bonus of twice the size.
    bonus = Term(
        name="within_length", weight=0.5, when=When(group_accuracy=(0.5, 1.0)), args={"target": 5, "limit": 9}
    )
    turned = Term(
        name="token_count", weight=-0.3, schedule=((0, 1.0), (9, -2.0)), args={"per_tokens": 9, "limit": 9}
    )
    rewards = RewardSum([Term(name="correct", weight=9.0), bonus, turned])
    assert rewards.least_when_right == pytest.approx(9.0 + 0.0 - 0.3)
    assert rewards.most_when_wrong == pytest.approx(0.5 + 0.6)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            ((5, 1.0), (2, 0.0)),
            r"schedule of reward 'format' has the updates \[5, 2\]; give each once, ascending",
        ),
        (((5, 1.0), (5, 0.0)), r"updates \[5, 5\]"),
        (((-1, 1.0),), r"updates \[-1\]"),
        (((0, float("nan")),), "has the factor nan; it must be finite"),
    ],
)
def test_schedules_are_checked(schedule: tuple[tuple[int, float], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RewardSum([Term(name="correct", weight=1.0), Term(name="format", weight=0.1, schedule=schedule)])
