"""Comparisons of cases that were only sampled: on the means over the samples of each problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rewards import Outcome
from rl.compare.flags import FlagKind, stage_flags
from rl.compare.folders import find_runs, folder_comparison
from rl.compare.results import TraceFacts, facts_of
from rl.compare.shared import result_of
from rl.compare.stored import read_stored, store
from rl.compare.study import Study, make_study
from rl.pages.comparison.answer import answer
from rl.pages.comparison.page import render_comparison
from rl.pages.comparison.text import comparison_text
from rl.runs.record import LengthResult, SampleRow, Stage, Summary
from rl.stats.intervals import clustered_interval
from tests.kit.runs_by_hand import CONFIG, sample, split_result, step, write_run, write_summary

TRAINED_HERE = {**CONFIG, "warm_start": None}


def drawn(*problems: Sequence[int]) -> list[SampleRow]:
    """Samples of problems: the steps of each, 0 for a wrong one; tokens are ten times the steps."""
    return [
        sample(
            index=index,
            sample=number,
            prompt=f"problem {index}",
            outcome=Outcome.VERIFIED if steps else Outcome.WRONG,
            steps=tuple(step(f"{n}") for n in range(steps)),
            tokens=10 * steps or 5,
        )
        for index, samples in enumerate(problems)
        for number, steps in enumerate(samples)
    ]


def compare(*folders: Path) -> Study:
    return make_study(folder_comparison(find_runs(folders)))


def test_differences_are_those_of_the_means_over_samples(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / name, {Stage.GRPO: rows}, config=TRAINED_HERE, greedy=False, rewards=name)
        for name, rows in (("base", drawn([3, 0], [3, 3])), ("case", drawn([2, 4], [2, 2])))
    ]
    study = compare(*paths)
    ((found,),) = [study.differences()]
    accuracy, steps, _, tokens = found.found
    # Accuracy 1/2 and 1 against 1 and 1; steps of the right ones 3 and 3 against 3 and 2; tokens 17.5 and 30
    # against 30 and 20.
    assert accuracy is not None and (accuracy.mean, accuracy.num_pairs) == (0.25, 2)
    assert steps is not None and steps.mean == -0.5
    assert tokens is not None and tokens.mean == pytest.approx((12.5 - 10) / 2)
    page, text = render_comparison(study), comparison_text(study)
    assert "Means over all samples of each problem; means over seeds" in page and "Greedy" not in page
    assert "0.750 sampled" in text and "Means over all samples of each problem." in text
    assert answer(study).endswith("Accuracy is the mean over all samples of each problem.")
    store(study.comparison, study.cases, tmp_path / "kept")
    again = make_study(*read_stored(tmp_path / "kept"))
    assert render_comparison(again) == page


def test_greedy_and_sampled_cases_are_not_compared(tmp_path: Path) -> None:
    rows = drawn([3], [3])
    one = write_run(tmp_path / "one", {Stage.GRPO: rows}, config=TRAINED_HERE)
    two = write_run(tmp_path / "two", {Stage.GRPO: rows}, config=TRAINED_HERE, greedy=False, rewards="other")
    study = compare(one, two)
    assert study.splits == []
    assert study.left_out == {"id": "decoded greedily in one, sampled in two (eval.greedy)"}


def facts(rows: Sequence[SampleRow]) -> dict[int, tuple[TraceFacts, ...]]:
    found: dict[int, tuple[TraceFacts, ...]] = {}
    for row in rows:
        found[row.index] = (*found.get(row.index, ()), facts_of(row))
    return found


def test_a_regression_counts_problems_with_fewer_right_samples() -> None:
    before, after = facts(drawn(*[[3, 3]] * 20)), facts(drawn(*[[3, 0]] * 10, *[[3, 3]] * 10))
    ((kind, figures),) = stage_flags(before, after, (0.0, 0.0))
    # 10 of 20 problems lost a sample, none won one: p = 2 / 2^10 = 0.002.
    assert kind is FlagKind.ACCURACY_REGRESSION
    assert figures == "correct 100.0 % → 75.0 %: 10 problems lost, 0 won (exact sign test, p = 0.002)"


def test_a_result_of_samples_is_that_of_the_evaluation() -> None:
    whole = split_result(0.5, 3.0, greedy=False, by_length={"20": None, "30": None})
    found = result_of(list(facts(drawn([3, 0], [2, 2])).values()), like=whole)
    assert (found.greedy, found.num_problems, found.accuracy) == (False, 2, 3 / 4)
    assert (found.accuracy_low, found.accuracy_high) == clustered_interval([(1, 2), (2, 2)])
    assert found.sampled_accuracy == 3 / 4 and found.sampled_steps_per_correct == 7 / 3
    low, high = clustered_interval([(0, 2), (2, 2)])
    # Within 20 tokens the first problem has no right sample; its longer one is cut off.
    assert found.by_length["20"] == LengthResult(
        accuracy=2 / 4, accuracy_low=low, accuracy_high=high, tokens=(20 + 5 + 20 + 20) / 4, truncated=1 / 4
    )
    assert found.by_length["30"].accuracy == 3 / 4


def test_accuracy_by_length_has_a_line_for_each_case(tmp_path: Path) -> None:
    limits = {
        str(limit): LengthResult(
            accuracy=share, accuracy_low=share / 2, accuracy_high=1.0, tokens=float(limit), truncated=0.0
        )
        for limit, share in ((16, 0.25), (32, 0.5))
    }
    paths = []
    for name in ("one", "two"):
        rows = {Stage.GRPO: drawn([3], [0])}
        paths.append(write_run(tmp_path / name, rows, config=TRAINED_HERE, rewards=name))
        kept = replace(split_result(0.5, 3.0, num_problems=2), by_length=limits)
        write_summary(paths[-1], Summary(stages={Stage.GRPO: {"id": kept}}))
    page = render_comparison(compare(*paths))
    assert 'aria-label="Accuracy against allowed length on id"' in page
    plot = page[page.index('aria-label="Accuracy against allowed length') :]
    plot = plot[: plot.index("</svg>")]
    assert all(f">{text}<" in plot for text in ("a", "b", "16", "32"))
