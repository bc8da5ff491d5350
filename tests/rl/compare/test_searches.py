"""Searches over seeds, and cases at equal tokens, by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from rl.compare.folders import find_runs, folder_comparison
from rl.compare.results import CaseRecord, read_cases
from rl.compare.searches import (
    SearchedCase,
    at_equal_tokens,
    mean_arms,
    mean_searches_csv,
    read_searches,
    searches_csv,
)
from rl.compare.study import make_study
from rl.pages.comparison.searches import searches, searches_text
from rl.pages.comparison.text import comparison_text
from rl.runs.analysis import write_settings
from rl.search.record import Draw, ProblemRow, Response, SearchRow, problem_log, stage_folder
from rl.search.summary import Method
from tests.kit.runs_by_hand import study, traces

WRONG, RIGHT, OTHER = 0, 1, 2
"""Places of the responses."""


def responses() -> tuple[Response, ...]:
    return tuple(
        Response(text=name, complete=True, answer=name, correct=name == "right", verified=None, backtracks=0)
        for name in ("wrong", "right", "other")
    )


def draw(response: int, tokens: int, score: float = -1.0) -> Draw:
    return Draw(round=0, state=0, tokens=tokens, score=score, response=response)


def row(index: int, greedy: Draw, samples: Sequence[Draw], question: str = "") -> ProblemRow:
    search = SearchRow(strategy="self_backtracking", breadth=2, states=("",), draws=tuple(samples[:2]))
    return ProblemRow(
        split="id",
        index=index,
        bucket=None,
        question=question,
        answer="right",
        responses=responses(),
        greedy=greedy,
        samples=tuple(samples),
        searches=(search,),
    )


def searched(name: str, rows: dict[int, list[ProblemRow]]) -> SearchedCase:
    return SearchedCase(case=CaseRecord(name=name, key=name, seeds={}), rows=rows, merge="mean", depth=0)


@pytest.fixture
def sequential() -> SearchedCase:
    """Greedy decoding is right on one problem of two with seed 0, on both with seed 1, with 30 tokens."""
    samples = [draw(WRONG, 30), draw(WRONG, 30)]
    return searched(
        "sequential",
        {
            0: [row(0, draw(RIGHT, 30), samples), row(1, draw(WRONG, 30), samples)],
            1: [row(0, draw(RIGHT, 30), samples), row(1, draw(RIGHT, 30), samples)],
        },
    )


@pytest.fixture
def parallel() -> SearchedCase:
    """Three samples of 10 tokens fit into 30, a fourth does not; one of 40 tokens is counted all the same."""
    few = [draw(RIGHT, 10, -2.0), draw(WRONG, 10, -1.0), draw(RIGHT, 10, -3.0), draw(OTHER, 10, -0.1)]
    long = [draw(RIGHT, 40), draw(WRONG, 10)]
    return searched(
        "parallel",
        {seed: [row(0, draw(WRONG, 10), few), row(1, draw(WRONG, 10), long)] for seed in (0, 1)},
    )


def test_means_over_seeds(sequential: SearchedCase) -> None:
    found = mean_arms(sequential, "id")
    greedy = found[Method("id", "greedy")]
    assert (greedy.seeds, greedy.problems, greedy.accuracy, greedy.tokens) == (2, 2, 0.75, 30)
    assert greedy.low < 0.75 < greedy.high and greedy.gain is None
    search = found[Method("id", "self_backtracking", "self_backtracking", 2, 0)]
    assert search.accuracy == 0 and search.gain is not None and search.gain.mean == 0
    assert not mean_arms(sequential, "ood_easy")


def test_samples_have_the_tokens_of_another_case(sequential: SearchedCase, parallel: SearchedCase) -> None:
    greedy, direct, best, vote, anyone = at_equal_tokens(sequential, parallel, "id")
    assert (greedy.method, greedy.accuracy, greedy.tokens) == ("greedy", 0.75, 30)
    # Problem 0: of right, wrong and right the likeliest is wrong, most are right. Problem 1: one sample, right.
    assert (best.accuracy, vote.accuracy, anyone.accuracy) == (0.5, 1, 1)
    assert best.tokens == (30 + 40) / 2
    assert (direct.method, direct.accuracy, direct.tokens, direct.samples) == ("greedy", 0, 10, None)
    assert best.samples == vote.samples == anyone.samples == (3 + 1) / 2
    # By seed and problem: 0 - 1, 1 - 0 and 0 - 1, 1 - 1.
    assert best.gain is not None and best.gain.mean == -0.25 and best.gain.num_pairs == 4
    assert anyone.gain is not None and anyone.gain.mean == 0.25
    assert not at_equal_tokens(sequential, searched("none", {5: parallel.rows[0]}), "id")  # no seed has both


def test_only_the_same_problems_are_compared(sequential: SearchedCase, parallel: SearchedCase) -> None:
    other = [row(1, draw(WRONG, 10), [draw(RIGHT, 10)], question="another")]
    found = at_equal_tokens(sequential, searched("other", {0: [parallel.rows[0][0], *other]}), "id")
    assert [(arm.seeds, arm.problems) for arm in found] == [(1, 1)] * 5
    assert not at_equal_tokens(sequential, searched("other", {0: other}), "id")
    means = mean_searches_csv([sequential, parallel], [])  # no split has the same problems
    assert "greedy of sequential" not in means


def test_searches_of_more_problems_are_cut_to_the_shared_ones(tmp_path: Path) -> None:
    study(tmp_path, {"plain": traces(6)}, (0,))
    cases = read_cases(folder_comparison(find_runs([tmp_path])))
    stage = cases[0].last()[0]
    folder = stage_folder(stage.folder, stage.stage)
    folder.mkdir(parents=True)
    write_settings(
        folder, "search", {"name": "", "model": "", "env": {}, "search": {"merge": "mean", "depth": 0}}
    )
    problem_log(folder).append(*[row(n, draw(RIGHT, 10), [draw(RIGHT, 10)]) for n in range(3)])
    for shared, kept in (({}, 3), ({"id": 2}, 2), ({"ood_easy": 2}, 3)):
        assert [len(one.rows[0]) for one in read_searches(cases, shared)] == [kept]


def test_raw_figures(sequential: SearchedCase, parallel: SearchedCase) -> None:
    rows = list(csv.DictReader(io.StringIO(searches_csv([sequential, parallel]))))
    assert len(rows) == 2 * 2 * 4  # greedy, search, best-of-N, vote
    assert {(one["case"], one["seed"]) for one in rows} == {
        (case, seed) for case in ("sequential", "parallel") for seed in ("0", "1")
    }
    means = list(csv.DictReader(io.StringIO(mean_searches_csv([sequential, parallel], ["id"]))))
    assert len(means) == 2 * 4 + 4
    last = means[-1]
    assert (last["method"], last["tokens_of"], float(last["gain"])) == (
        "any_of_n",
        "greedy of sequential",
        0.25,
    )
    assert (means[1]["tokens_of"], means[1]["breadth"], means[1]["depth"]) == ("self_backtracking", "2", "0")


def test_a_comparison_without_searches_says_nothing_of_them(tmp_path: Path) -> None:
    study(tmp_path, {"plain": traces(6), "priced": traces(8)}, (0,))
    found = make_study(folder_comparison(find_runs([tmp_path])))
    assert (searches_text(found), searches(found)) == ("", None)
    assert "best of N" not in comparison_text(found)
