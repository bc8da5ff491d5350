"""Choosing among completions by hand: merge rules, best-of-N, majority vote, budgets, gains."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from configs.schema.search import Merge
from rl.search.choose import best_merged, best_of_n, best_verified, majority, merged, within
from rl.search.record import Draw, ProblemRow, Response, SearchRow
from rl.search.summary import MERGES, arms, by_merge, curves


def response(text: str, **changes: Any) -> Response:
    values: dict[str, Any] = {"complete": True, "answer": text, "correct": False, "verified": False}
    return Response(text=text, backtracks=0, **{**values, **changes})


def draws(*scores: tuple[int, float], tokens: int = 10, number: int = 0) -> list[Draw]:
    return [Draw(round=number, state=0, tokens=tokens, score=score, response=place) for place, score in scores]


RESPONSES = [
    response("a", correct=True, verified=True),
    response("b"),
    response("open", complete=False, answer=None),
]


@pytest.mark.parametrize(
    ("rule", "score"),
    [("sum", -4.0), ("mean", -2.0), ("max", -1.0), ("logsumexp", -1 + math.log(1 + math.exp(-2)))],
)
def test_a_merged_score(rule: Merge, score: float) -> None:
    assert merged([-1.0, -3.0], rule) == pytest.approx(score)


@pytest.mark.parametrize(
    ("rule", "wins"),
    [
        ("sum", 1),  # a: -2.4 for three times -0.8; b: -1.5. Repeats cost
        ("mean", 0),  # -0.8 against -1.5
        ("max", 0),
        ("logsumexp", 0),  # -0.8 + log 3
    ],
)
def test_a_sum_makes_repeats_score_lower(rule: Merge, wins: int) -> None:
    assert best_merged(draws((0, -0.8), (1, -1.5), (0, -0.8), (0, -0.8)), RESPONSES, rule) == wins


def test_logsumexp_lets_a_repeated_answer_beat_a_likelier_one() -> None:
    found = draws((1, -0.5), (0, -1.0), (0, -1.0))  # -0.5 against -1 + log 2 = -0.31
    assert [best_merged(found, RESPONSES, rule) for rule in MERGES] == [1, 1, 0, 1]
    assert MERGES == ("sum", "mean", "logsumexp", "max")


def test_only_completions_with_an_answer_are_candidates() -> None:
    found = draws((2, -0.1), (1, -5.0))
    assert best_of_n(found, RESPONSES) == 1 and majority(found, RESPONSES) == 1
    for choose in (best_of_n, majority):
        assert choose(draws((2, -0.1)), RESPONSES) is None and choose([], RESPONSES) is None


def test_a_majority_counts_answers_not_texts() -> None:
    # Answer "b" by two texts, "a" by one text twice and likelier; then a tie goes to the first.
    responses = [*RESPONSES, response("another way", answer="b")]
    assert majority(draws((0, -0.1), (1, -3.0), (3, -3.0), (0, -0.1), (3, -3.0)), responses) == 1
    assert majority(draws((1, -3.0), (0, -0.1)), responses) == 1


def test_a_verified_candidate_comes_before_a_likelier_one() -> None:
    assert best_verified(draws((1, -0.1), (0, -9.0)), RESPONSES, "mean") == 0
    assert best_verified(draws((1, -0.1)), RESPONSES, "mean") == 1


@pytest.mark.parametrize(("budget", "count"), [(None, 3), (30, 3), (29, 2), (10, 1), (9, 0)])
def test_a_budget_counts_whole_completions(budget: int | None, count: int) -> None:
    assert len(within(draws((0, -1), (0, -1), (0, -1)), budget)) == count


def row(index: int, found: list[Draw], samples: list[Draw], symbolic: int | None) -> ProblemRow:
    return ProblemRow(
        split="id",
        index=index,
        bucket=None,
        question="",
        answer="a",
        responses=tuple(RESPONSES),
        greedy=samples[0],
        samples=tuple(samples),
        searches=(SearchRow(strategy="self_backtracking", breadth=2, states=("",), draws=tuple(found)),),
        symbolic_tokens=symbolic,
        symbolic_steps=None if symbolic is None else 5,
    )


def test_methods_are_compared_at_the_tokens_of_the_search_problem_by_problem() -> None:
    # Problem 0: right only after going back, which takes 40 tokens; four samples, wrong twice, open twice.
    deep = [*draws((2, -1), (2, -1)), *draws((0, -1), (0, -1), number=1)]
    rows = [
        row(0, deep, draws((2, -1), (2, -1), (1, -1), (1, -1), (0, -0.1)), symbolic=40),
        row(1, draws((1, -1), (0, -0.5)), draws((1, -1), (0, -0.5), (1, -0.1)), symbolic=21),
    ]
    found = {(arm.method, arm.depth): arm for arm in arms(rows, "mean", depth=1)}
    accuracy = {key: arm.accuracy for key, arm in found.items()}
    assert accuracy == {
        ("greedy", None): 0.0,
        ("self_backtracking", 0): 0.5,
        ("best_of_n", 0): 0.5,
        ("majority_vote", 0): 0.0,  # a tie goes to the first
        ("symbolic_search", 0): 0.0,
        ("self_backtracking", 1): 1.0,
        ("best_of_n", 1): 0.5,  # its fifth sample is over the budget, and so is the third of problem 1
        ("majority_vote", 1): 0.0,
        ("symbolic_search", 1): 0.5,
    }
    assert found["self_backtracking", 1].tokens == found["best_of_n", 1].tokens == (40 + 20) / 2
    assert found["self_backtracking", 1].gain == 0.5 and found["self_backtracking", 0].gain == 0.0
    assert found["self_backtracking", 0].answered == 0.5 and found["best_of_n", 1].covered == 0.5
    merges = {arm.merge: arm.accuracy for arm in by_merge(rows, depth=1)}
    assert merges == dict.fromkeys(MERGES, 1.0)


def test_a_problem_without_samples_counts_against_the_methods_that_need_them() -> None:
    found = draws((0, -1))
    lost = replace(row(1, found, found, symbolic=None), greedy=None, samples=())
    rows = [row(0, found, found, symbolic=None), lost]
    made = {arm.method: arm for arm in arms(rows, "mean", depth=0)}
    assert made["best_of_n"].accuracy == made["majority_vote"].accuracy == 0.5
    assert made["self_backtracking"].gain == 0.5
    assert {curve.method for curve in curves(rows, "mean")["id"]} >= {"best_of_n", "majority_vote"}
    assert [arm.gain for arm in arms([lost], "mean", depth=0)] == [None]


def test_curves_end_with_the_whole_search() -> None:
    rows = [row(0, [*draws((2, -1)), *draws((0, -1), number=1)], draws((2, -1), (1, -1)), symbolic=15)]
    found = {curve.method: curve for curve in curves(rows, "mean")["id"]}
    assert found["self_backtracking"].budgets == (10, 15, 20)
    assert [arm.accuracy for arm in found["self_backtracking"].arms] == [0.0, 0.0, 1.0]
    assert [arm.accuracy for arm in found["symbolic_search"].arms] == [0.0, 1.0, 1.0]
    assert [arm.tokens for arm in found["best_of_n"].arms] == [10, 10, 20]
