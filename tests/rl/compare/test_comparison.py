"""Comparisons: from folders and from a plan to results, text, CSV and page, on runs written by hand."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
import shutil
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from configs.schema.ablation import Plan, load_ablation
from envs import StepKind, Verdict
from rewards import Outcome
from rl.ablation.report import comparison, write_comparison
from rl.compare.config_differences import case_changes, differences
from rl.compare.export import comparison_csv
from rl.compare.flags import FlagKind
from rl.compare.folders import find_runs, folder_comparison
from rl.compare.results import entries, facts_of, read_cases
from rl.compare.runs import plan_comparison
from rl.compare.shared import result_of
from rl.compare.study import MEASURES, Study, make_study
from rl.pages.comparison.answer import answer, identical
from rl.pages.comparison.curves import band, learning_curves
from rl.pages.comparison.labels import CHARACTER, HEIGHT, place_labels
from rl.pages.comparison.legend import case_style
from rl.pages.comparison.page import render_comparison
from rl.pages.comparison.scatter import pareto_front
from rl.pages.comparison.text import comparison_text
from rl.pages.svg import spread
from rl.runs.errors import RunFolderError
from rl.runs.log import evaluation_log
from rl.runs.record import SplitResult, Stage, Summary
from rl.stats.intervals import wilson_interval
from tests.kit.runs_by_hand import (
    CONFIG,
    on,
    sample,
    split_result,
    step,
    study,
    traces,
    update,
    write_run,
    write_summary,
)


def made(*folders: Path) -> Study:
    return make_study(folder_comparison(find_runs(folders)))


# ---- which runs are which ----


def test_seeds_of_one_config_are_one_case_and_a_shared_start_is_none(tmp_path: Path) -> None:
    study(tmp_path, {"plain": traces(6), "priced": traces(8)}, (0, 1, 10))
    found = folder_comparison(find_runs([tmp_path]))
    assert list(found.folders) == ["plain", "priced"] and found.seeds == [0, 1, 10]
    assert [path.name for path in found.folders["priced"][10]] == ["warm-1234-seed10", "priced-seed10"]
    assert differences(found.configs) == {"grpo.beta": {"plain": "0.0", "priced": "0.1"}}


def test_the_first_run_given_is_the_base(tmp_path: Path) -> None:
    study(tmp_path, {"plain": traces(6), "priced": traces(8)}, (0,))
    given = [tmp_path / "priced-seed0", tmp_path / "plain-seed0"]
    found = folder_comparison(find_runs(given))
    assert list(found.folders) == ["priced-seed0", "plain-seed0"]
    # The warm start was not given; it is found through the config.
    assert [path.name for path in found.folders["plain-seed0"][0]] == ["warm-1234-seed0", "plain-seed0"]


def test_runs_that_were_moved_keep_their_warm_start(tmp_path: Path) -> None:
    study(tmp_path / "old", {"plain": traces(6)}, (0, 1))
    (tmp_path / "old").rename(tmp_path / "new")
    found = folder_comparison(find_runs([tmp_path / "new"]))
    assert list(found.folders) == ["plain"]
    assert [path.name for path in found.folders["plain"][1]] == ["warm-1234-seed1", "plain-seed1"]


def test_a_repeated_run_is_a_case_and_no_seed(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, {Stage.GRPO: traces(6)}, seed=0) for name in ("a/x", "b/x", "c/y")]
    write_run(tmp_path / "c" / "z", {Stage.GRPO: traces(6)}, seed=4)
    found = folder_comparison(find_runs([*paths, tmp_path / "c"]))
    # x with seed 0 and z with seed 4 are one case; the other two repeat seed 0.
    assert [list(seeds) for seeds in found.folders.values()] == [[0, 4], [0], [0]]
    assert list(found.folders) == ["x, z", "x", "y"]


def test_cases_of_the_same_name_are_distinguished_by_their_parent_folders(tmp_path: Path) -> None:
    for name, beta in (("a/x", 0.0), ("b/x", 0.5)):
        write_run(tmp_path / name, {Stage.GRPO: traces(6)}, seed=0, grpo={"updates": 4, "beta": beta})
    found = folder_comparison(find_runs([tmp_path / "a" / "x", tmp_path / "b" / "x"]))
    assert list(found.folders) == ["a/x", "b/x"]


@pytest.mark.parametrize("given", ["absent", "empty", "file"])
def test_folders_without_runs_are_named(tmp_path: Path, given: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=f"there is no run in .*{given}"):
        find_runs([tmp_path / given])


def test_damaged_files_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {Stage.GRPO: traces(6)})
    for name in ("summary.json", "metrics.jsonl", "eval/grpo.jsonl", "config.yaml"):
        kept = (run / name).read_text()
        (run / name).write_text("{\n{\n")
        with pytest.raises(RunFolderError, match=f"{name} cannot be read"):
            made(run)
        (run / name).write_text(kept)
    assert made(run).splits == ["id"]


def test_config_differences_go_by_the_names_of_reward_terms() -> None:
    def config(*terms: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"seed": 0, "rewards": {"terms": list(terms)}, "mix": {}, **more}

    right = {"name": "correct", "weight": 1.0}
    one = config(right, {"name": "steps", "weight": -0.1, "args": {"cap": 2}})
    two = config({"name": "steps", "weight": -0.2, "args": {"cap": 2}}, right, seed=1, mix={"slip": 1})
    assert differences({"one": one, "two": two}) == {
        "rewards.terms.steps.weight": {"one": "-0.1", "two": "-0.2"},
        "mix.slip": {"one": "–", "two": "1"},
    }
    assert differences({"one": one}) == {}


# ---- the same problems ----


def test_other_problems_are_not_compared(tmp_path: Path) -> None:
    rows = [*traces(6), *on("ood_easy", traces(5))]
    write_run(tmp_path / "a", {Stage.GRPO: rows})
    other = [replace(row, prompt="another") if row.split == "id" and row.index == 4 else row for row in rows]
    write_run(tmp_path / "b", {Stage.GRPO: other}, grpo={"updates": 4, "beta": 0.5})
    found = made(tmp_path)
    assert found.splits == ["ood_easy"]
    assert found.left_out == {"id": "problem 4 differs between a and b (env)"}
    page = render_comparison(found)
    assert '<h2 id="not-compared">Not compared</h2>' in page and "problem 4 differs between a and b" in page
    assert (
        re.findall(r'<th scope="rowgroup">(\w+)</th>', page) == ["ood_easy"] * 3
    )  # results, more results, differences


def test_other_numbers_of_problems_are_compared_on_the_shared_ones(tmp_path: Path) -> None:
    more = {"num_problems": 20, "splits": ["id"]}
    write_run(tmp_path / "a", {Stage.WARM: traces(2), Stage.GRPO: traces(6)})
    # Of the first 10 problems 8 are right, of all 20 there are 12: four of them come later.
    rows = [replace(row, outcome=Outcome.VERIFIED) if row.index > 15 else row for row in traces(8, num=20)]
    write_run(tmp_path / "b", {Stage.WARM: traces(2, num=20), Stage.GRPO: rows}, eval=more)
    found = made(tmp_path)
    assert (found.splits, found.shared, found.left_out) == (["id"], {"id": 10}, {})
    results = {entry.name: entry.mean() for entry in found.entries}
    assert [(name, one.num_problems, one.accuracy) for name, one in results.items()] == [
        ("a: warm start", 10, 0.2),
        ("b: warm start", 10, 0.2),
        ("a: GRPO", 10, 0.6),
        ("b: GRPO", 10, 0.8),
    ]
    assert results["b: GRPO"].accuracy_low == pytest.approx(0.4902, abs=1e-4)  # Wilson's of 8 in 10, not in 20
    (difference,) = found.differences()
    assert difference.found[0] is not None and difference.found[0].mean == pytest.approx(0.2)
    assert difference.found[0].num_pairs == 10
    note = (
        "compared on the first 10 problems of id, which all cases share (eval.num_problems: 10 in a, 20 in b); "
        "figures of samples, kinds of backtracks, errors and difficulty buckets are known for all problems "
        "only and left out"
    )
    assert note in comparison_text(found).splitlines()
    page = render_comparison(found)
    assert (
        f"C{note[1:]}." in page and "10 problems, full traces 4.00 steps" in page and "Not compared" not in page
    )
    assert [row["num_problems"] for row in csv.DictReader(io.StringIO(comparison_csv(found)))] == ["10"] * 4


def test_a_result_of_rows_judges_checked_steps_alone() -> None:
    judging = ("verified", "steps_saved", "invalid_steps", "wasted_steps")
    counted = sample(outcome=Outcome.CORRECT, steps_checked=False, steps=(step("2 + 2 = 5"),))
    found = result_of([[facts_of(counted)]], like=split_result(1.0, 1.0))
    assert [getattr(found, name) for name in judging] == [None] * 4 and found.steps_per_correct == 1.0
    mixed = result_of([[facts_of(counted)], [facts_of(sample())]], like=split_result(1.0, 1.0))
    assert [getattr(mixed, name) for name in judging] == [1.0, 1 - 1 / 4, 0.0, 0.0]


def test_a_result_of_rows_is_that_of_the_evaluation() -> None:
    """Worked by hand: three completions, two of them right, one cut off."""
    lines = (step("a", undone=True), step("<b>", StepKind.BACKTRACK), step("b", verdict=Verdict.INVALID))
    rows = [
        sample(steps=lines, outcome=Outcome.CORRECT, tokens=10, full_steps=4),
        sample(steps=lines[2:], outcome=Outcome.VERIFIED, tokens=20, full_steps=2),
        sample(steps=(), outcome=Outcome.TRUNCATED, tokens=30, full_steps=6),
    ]
    found = result_of([[facts_of(row)] for row in rows], like=split_result(0.5, 3.0))
    low, high = wilson_interval(2, 3)
    assert found == split_result(
        2 / 3,
        1.5,  # 2 steps and 1
        num_problems=3,
        accuracy_low=low,
        accuracy_high=high,
        verified=1 / 3,
        full_steps_per_correct=3.0,
        full_steps=4.0,
        steps_saved=0.5,  # 1 - 2 / 4 and 1 - 1 / 2
        invalid_steps=2 / 3,
        backtracks=1 / 3,
        wasted_steps=1 / 3,
        tokens=20.0,
        truncated=1 / 3,
        strict_accuracy=2 / 3,
        **dict.fromkeys(("real_backtracks", "fake_backtracks", "needed_backtracks", "needless_backtracks")),
    )


def test_flags_are_of_all_problems(tmp_path: Path) -> None:
    more = {"num_problems": 40, "splits": ["id"]}
    write_run(tmp_path / "a", {Stage.GRPO: traces(6)})
    # Of the last 30 problems 20 are lost, of the first 10 none.
    rows = [replace(row, outcome=Outcome.WRONG) if row.index >= 20 else row for row in traces(40, num=40)]
    write_run(tmp_path / "b", {Stage.WARM: traces(40, num=40), Stage.GRPO: rows}, eval=more)
    found = made(tmp_path)
    assert found.shared == {"id": 10} and [flag.kind for flag in found.flags["b"]] == [
        FlagKind.ACCURACY_REGRESSION
    ]


def test_without_completions_shared_problems_are_unknown(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {Stage.GRPO: traces(6)})
    more = {"num_problems": 20, "splits": ["id"]}
    shutil.rmtree(write_run(tmp_path / "b", {Stage.GRPO: traces(6, num=20)}, eval=more) / "eval")
    assert made(tmp_path).left_out == {
        "id": "10 problems in a, 20 in b (eval.num_problems), and there are no completions to pick the shared "
        "ones from"
    }


def test_other_skipped_problems_are_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {Stage.GRPO: traces(6)})
    path = write_run(tmp_path / "b", {Stage.GRPO: traces(6)}, grpo={"updates": 4, "beta": 0.5}) / "summary.json"
    path.write_text(path.read_text().replace('"skipped": 0', '"skipped": 3'))
    assert made(tmp_path).left_out == {
        "id": "0 problems skipped in a, 3 in b (prompts over rollout.max_prompt_tokens)"
    }


def test_splits_that_one_case_lacks_are_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {Stage.GRPO: [*traces(6), *on("ood_hard", traces(1))]})
    write_run(tmp_path / "b", {Stage.GRPO: traces(6)}, grpo={"updates": 4, "beta": 0.5})
    found = made(tmp_path)
    assert found.splits == ["id"] and found.left_out == {"ood_hard": "not evaluated by b"}


def test_without_completions_the_configs_decide(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / "a", {Stage.GRPO: traces(6)}),
        write_run(
            tmp_path / "b", {Stage.GRPO: traces(6)}, env={"name": "countdown", "settings": {"train": ["4"]}}
        ),
        write_run(tmp_path / "c", {Stage.GRPO: traces(6)}, grpo={"updates": 4, "beta": 0.5}),
    ]
    for path in paths:
        shutil.rmtree(path / "eval")
    assert made(paths[0], paths[1]).left_out == {"id": "a and b have different env settings"}
    assert made(paths[0], paths[2]).splits == ["id"]


def test_runs_without_an_evaluation_limit_no_splits(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {Stage.GRPO: traces(6)})
    write_run(tmp_path / "b", {}, eval={"num_problems": 20, "splits": ["id"]}, updates=[update(1, 0, 0)])
    found = made(tmp_path)
    assert found.splits == ["id"] and found.left_out == {}
    assert found.unfinished() == ["b, seed 0: GRPO not evaluated: 1 of 4 updates logged"]
    assert "b, seed 0: GRPO not evaluated" in render_comparison(found)


# ---- results ----


def test_counted_steps_are_not_set_against_checked_ones(tmp_path: Path) -> None:
    """A line and a checked step are different units; the other figures are compared all the same."""
    counted = [
        replace(row, steps_checked=False, outcome=Outcome.CORRECT if row.correct else row.outcome)
        for row in traces(6, steps=2)
    ]
    study(tmp_path, {"checked": traces(6, steps=4), "counted": counted, "again": counted}, (0, 1))
    for folders, compared in (
        (sorted(tmp_path.glob("checked*")) + sorted(tmp_path.glob("counted*")), False),
        (sorted(tmp_path.glob("counted*")) + sorted(tmp_path.glob("again*")), True),
    ):
        found = made(*folders)
        (difference,) = found.differences()
        has = dict(zip([measure.name for measure in MEASURES], difference.found, strict=True))
        assert [name for name, one in has.items() if one is None] == (
            [] if compared else ["steps, where both are correct"]
        )
        assert "NaN" not in render_comparison(found)


def test_markers_of_free_text_are_steps_and_backtracks(tmp_path: Path) -> None:
    rows = traces(1, steps=2, backtracks=1, num=1)
    rows = [replace(rows[0], steps=(*rows[0].steps, step("Wait, no.", StepKind.MARKER)))]
    ((case,),) = [read_cases(folder_comparison([write_run(tmp_path / "a", {Stage.GRPO: rows})]))]
    (facts,) = case.traces("id")[0][0]
    assert (facts.steps, facts.backtracks) == (3, 2)


def test_an_evaluation_of_a_trained_model_is_a_case_of_its_own(tmp_path: Path) -> None:
    trained = write_run(tmp_path / "run", {Stage.WARM: traces(6), Stage.GRPO: traces(8)})
    nothing = {**CONFIG, "warm_start": None, "grpo": None}
    paths = [
        write_run(
            tmp_path / f"eval-{stage}",
            {Stage.BASE: traces(num)},
            config=nothing,
            policy={"model": str(trained / "models" / stage)},
        )
        for stage, num in (("warm", 6), ("grpo", 8))
    ]
    found = made(*paths)
    assert [case.name for case in found.cases] == ["eval-warm", "eval-grpo"]
    assert f"<code>{trained}/models/grpo</code> (b eval-grpo, seed 0)" in render_comparison(found)
    assert [(entry.stage, entry.mean().accuracy) for entry in found.entries] == [
        (Stage.BASE, 0.6),
        (Stage.BASE, 0.8),
    ]


def test_random_weights_are_no_result(tmp_path: Path) -> None:
    rows = {Stage.BASE: traces(0), Stage.WARM: traces(6)}
    new = made(write_run(tmp_path / "new", rows))
    assert [entry.stage for entry in new.entries] == [Stage.WARM]
    given = made(write_run(tmp_path / "given", rows, policy={"model": "HuggingFaceTB/SmolLM2-135M"}))
    assert [entry.stage for entry in given.entries] == [Stage.BASE, Stage.WARM]


def test_every_case_is_set_against_the_base(tmp_path: Path) -> None:
    rows = {"plain": traces(6, steps=4), "priced": traces(8, steps=3, tokens=20), "odd": traces(0)}
    paths = study(tmp_path, rows)
    found = made(*paths)
    priced, odd = found.differences()
    # 2 of 10 problems more are right, one step less in the 6 of 10 that both solve, 10 tokens less.
    assert [one and (one.mean, one.num_pairs) for one in priced.found] == [
        (pytest.approx(0.2), 30),
        (-1.0, 18),
        (0.0, 30),
        (-10.0, 30),
    ]
    assert priced.exceeds == (False, True, False, True)
    assert odd.found[1] is None and odd.exceeds[1] is False


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A run that failed."""

    trial: str
    reason: str


BASE: dict[str, Any] = {
    "env": {"name": "countdown"},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "grpo": {"updates": 4},
    "eval": {"splits": ["id"], "num_problems": 10},
}


def plan(folder: Path, cases: dict[str, dict[str, Any]], seeds: list[int]) -> Plan:
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    text = {"name": "study", "question": "<b>Which?", "base": "base.yaml", "seeds": seeds, "cases": cases}
    (folder / "study.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    return load_ablation(folder / "study.yaml", (), folder / "out")


@pytest.fixture
def finished(tmp_path: Path) -> Plan:
    """Two cases that share a warm start, two seeds, results alone; seed 1 of `steps` is missing."""
    ours = plan(tmp_path, {"plain": {}, "steps": {"grpo.beta": 0.1}}, [0, 1])
    warm0, warm1 = ours.results["plain", 0][0], ours.results["plain", 1][0]

    def of(accuracy: float, steps: float | None = 2.0, **changes: Any) -> dict[str, SplitResult]:
        return {"id": split_result(accuracy, steps, tokens=20.0, **changes)}

    for name, stages in {
        warm0: {Stage.BASE: of(0.1), Stage.WARM: of(0.5, errors={"queue": 0.2})},
        warm1: {Stage.BASE: of(0.2), Stage.WARM: of(0.7)},
        "plain-seed0": {Stage.BASE: of(0.5), Stage.GRPO: of(0.8, None)},
        "plain-seed1": {Stage.BASE: of(0.7), Stage.GRPO: of(1.0, 3.0)},
        "steps-seed0": {Stage.BASE: of(0.5), Stage.GRPO: of(0.9)},
    }.items():
        write_summary(tmp_path / "out" / name, Summary(stages=stages))
    return ours


def test_results_are_means_over_seeds(finished: Plan) -> None:
    warm, plain, steps = entries(read_cases(plan_comparison(finished)))
    assert (warm.cases, warm.stage, list(warm.results)) == (("plain", "steps"), Stage.WARM, [0, 1])
    assert warm.mean().accuracy == pytest.approx(0.6)  # (0.5 + 0.7) / 2
    assert warm.mean().errors == {"queue": pytest.approx(0.1)}  # none in seed 1: (0.2 + 0) / 2
    assert (plain.cases, plain.stage) == (("plain",), Stage.GRPO)
    assert plain.mean().steps_per_correct == 3.0  # the one seed that has it
    assert (steps.cases, steps.stage) == (("steps",), Stage.GRPO)
    assert list(steps.results) == [0]


def test_the_text_has_every_entry(finished: Plan) -> None:
    head, _, warm, plain, steps = comparison(finished).split("\n")
    assert head.split()[:4] == ["split", "case", "seeds", "accuracy"]
    # Of 0.5 and 0.7: deviation 0.1414, 12.706 * 0.1414 / sqrt(2) = 1.27 to each side, cut off at 0 and 1.
    assert warm.split()[7:11] == ["2", "0.600", "0.000-1.000", "2.00"]
    assert plain.split()[4:8] == ["2", "0.900", "0.000-1.000", "3.00"]
    # One seed of 10 problems: the Wilson interval of 9 in 10.
    assert steps.split()[4:8] == ["1", "0.900", "0.596-0.982", "2.00"]


def test_the_csv_has_every_seed(finished: Plan) -> None:
    write_comparison(finished)
    lines = (finished.folder / "summary.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines))
    # A figure within another has a column of its own; what a seed lacks is empty.
    assert [row["errors.queue"] for row in rows] == ["0.2", "", "", "", ""]
    assert [row["steps_per_correct"] for row in rows] == ["2.0", "2.0", "", "3.0", "2.0"]
    assert lines[0].startswith("cases,stage,split,seed,num_problems,skipped,ungraded,accuracy,")
    assert lines[0].endswith(",flags")
    assert [line.split(",")[:5] + line.split(",")[7:8] for line in lines[1:]] == [
        ["plain steps", "warm", "id", "0", "10", "0.5"],
        ["plain steps", "warm", "id", "1", "10", "0.7"],
        ["plain", "grpo", "id", "0", "10", "0.8"],
        ["plain", "grpo", "id", "1", "10", "1.0"],
        ["steps", "grpo", "id", "0", "10", "0.9"],
    ]


def test_flags_are_in_the_text_and_in_their_line_of_the_csv(tmp_path: Path) -> None:
    paths = study(tmp_path, {"plain": traces(6, steps=4), "cut": traces(6)}, (0, 1))
    rows = [replace(row, outcome=Outcome.MALFORMED) if row.index > 5 else row for row in traces(6)]
    log = evaluation_log(tmp_path / "cut-seed1", Stage.GRPO)
    log.path.unlink()
    log.append(*rows)
    found = made(*paths)
    assert "flag: cut: format collapse: id (seed 1)" in comparison_text(found).splitlines()
    lines = list(csv.DictReader(io.StringIO(comparison_csv(found))))
    assert {(row["cases"], row["stage"], row["seed"]): row["flags"] for row in lines} == {
        ("plain cut", "warm", "0"): "",
        ("plain cut", "warm", "1"): "",
        ("plain", "grpo", "0"): "",
        ("plain", "grpo", "1"): "",
        ("cut", "grpo", "0"): "",
        ("cut", "grpo", "1"): "format collapse",
    }
    page = render_comparison(found)
    assert "<b>format collapse</b>: id (seed 1)" in page
    assert "id, seed 1: malformed (no closing line) 0.0 % → 40.0 %" in page and "None found in" in page


# ---- the page ----


def test_the_page_of_a_plan_escapes_and_names_what_failed(finished: Plan) -> None:
    text = write_comparison(finished, [Failed(trial="steps-seed1", reason="<i>no memory")]).read_text()
    assert "&lt;b&gt;Which?" in text and "<b>Which?" not in text
    assert "<b>steps-seed1</b>: &lt;i&gt;no memory" in text
    assert "steps, seed 1: GRPO not evaluated (evaluated: warm start)" in text
    assert "<b>w1</b> warm start of all cases</th>" in text and "90.0 %" in text
    assert "queue" in text  # the table of first errors


def test_a_plan_without_results_has_a_page(tmp_path: Path) -> None:
    ours = plan(tmp_path, {"plain": {}}, [0])
    assert "No run has been evaluated yet." in write_comparison(ours).read_text()
    assert comparison(ours).count("\n") == 1  # the head and the line below it


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    ours = plan(tmp_path, {"plain": {}}, [0])
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunFolderError, match="cannot be written: File exists; give another"):
        write_comparison(ours)
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.slow
def test_the_page_needs_nothing_else_and_is_the_same_twice(tmp_path: Path) -> None:
    rows = {f"case{place}": traces(5 + place % 4, steps=2 + place % 3) for place in range(8)}
    study(tmp_path, rows)
    page = render_comparison(made(tmp_path))
    assert not re.search(r"\bsrc\s*=|href\s*=\s*(?!\"#)", page)
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert not re.search(r"url\((?!#)", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', page)) <= set(ids)
    # Steps and tokens on one split; 4 figures of training in groups of 6 cases. There are no backtracks.
    assert page.count("<svg") == 2 + 4 * 2
    assert "Zero in every update: backtracks." in page
    assert "<h3>Accuracy against backtracks per trace</h3>\n<p>Zero in every case.</p>" in page
    assert page == render_comparison(made(tmp_path))


def test_the_front_and_the_cases_without_a_point_are_named(tmp_path: Path) -> None:
    rows = {"a": traces(6, steps=2), "b": traces(9, steps=3), "c": traces(7, steps=4), "d": traces(0)}
    study(tmp_path, rows)
    page = render_comparison(made(tmp_path))
    steps = page[page.index("against steps per correct") : page.index("against backtracks per trace")]
    front = re.search(r"<p>Front: (.*?)\.</p>", steps)
    assert front and re.findall(r"<b>(\w)</b>", front[1]) == ["a", "b"]
    assert "<p>Without a point: d, no correct answer.</p>" in steps
    tokens = page[page.index("<h3>Accuracy against tokens") :]
    assert "Without a point" not in tokens


def test_seeds_that_agree_give_no_interval_of_width_0(tmp_path: Path) -> None:
    # Every seed has the same completions: 8 of 10 right in 3 steps, where the baseline needs 4.
    found = made(*study(tmp_path, {"plain": traces(8, steps=4), "priced": traces(8, steps=3)}, (0, 1)))
    page = render_comparison(found)
    table = page[page.index('">Results</h2>') :]
    ends = re.findall(r"<small>([0-9.]+)–([0-9.]+)</small>", table)
    assert ("49.0", "94.3") in ends  # Wilson's interval of 8 in 10
    assert all(low != high for low, high in ends)
    differences = page[
        page.index('">Differences to the baseline</h2>') : page.index('">GRPO over updates</h2>')
    ]
    assert "<td>−1.00<small>no interval</small><small>16 pairs</small>" in differences
    assert not any(low == high for low, high in re.findall(r"<small>([−+0-9.]+) to ([−+0-9.]+)<", differences))
    assert "0.490-0.943" in comparison_text(found)


def test_the_warm_start_is_a_point_of_the_front(tmp_path: Path) -> None:
    study(tmp_path, {"a": traces(5, steps=3), "b": traces(5, steps=5)})  # the warm start: 6 right in 4 steps
    page = render_comparison(made(tmp_path))
    steps = page[page.index("against steps per correct") : page.index("against backtracks per trace")]
    front = re.search(r"<p>Front: (.*?)\.</p>", steps)
    assert front and re.findall(r"<b>(\w+)</b> ([\w ]+)<", front[1]) == [
        ("a", "a"),
        ("w1", "warm start of all cases"),
    ]


def test_the_page_begins_with_the_answer_and_ends_with_failures(tmp_path: Path) -> None:
    cases = {"a": traces(6, steps=4), "b": traces(9, steps=3), "c": traces(6, steps=2), "d": traces(0)}
    study(
        tmp_path, {**cases, "e": traces(4, steps=1)}
    )  # 20 points less: within noise, and no answer all the same
    page = render_comparison(made(tmp_path))
    text = html.unescape(page).replace("\xa0", " ")
    assert (
        "Most accurate on id: b b, 90.0 % at 3.00 steps per correct answer; the baseline, a a, 60.0 % at 4.00 "
        "steps per correct answer (difference within noise). Fewest steps within 5 points of the baseline's "
        "accuracy: c c, 60.0 % at 2.00 steps per correct answer."
    ) in text
    assert (
        "<dt>Highest accuracy on id</dt><dd>90.0 %<small>b b</small><small>baseline: 60.0 %</small></dd>"
        in text
    )
    places = [
        page.index(part) for part in ('class="verdict"', 'class="tiles"', 'class="contents"', ">Failures</h2>")
    ]
    assert places == sorted(places)
    assert page.index(">Accuracy against cost</h2>") < page.index(">Failures</h2>")


def test_a_baseline_that_nothing_beats_is_the_answer(tmp_path: Path) -> None:
    study(tmp_path, {"a": traces(9), "b": traces(6)})
    assert "No case is more accurate on id than the baseline, a a: 90.0 % at 3.00" in answer(made(tmp_path))


def test_identical_cases_are_named(tmp_path: Path) -> None:
    study(tmp_path, {"a": traces(6), "b": traces(7), "c": traces(6), "d": traces(6, tokens=31)})
    assert identical(made(tmp_path)) == [("a a", "c c")]
    page = render_comparison(made(tmp_path))
    assert "Identical results on every seed and problem: a a, c c." in page


def test_one_stage_has_one_name_on_the_page(finished: Plan) -> None:
    page = write_comparison(finished).read_text()
    named = set(re.findall(r"(?:<b>|<strong>)w1(?:</b>|</strong>) ([\w ,]+)", page))
    assert named == {"warm start of all cases"}
    assert "and 1 more" not in page


def test_dates_and_revisions_stand_at_the_top(tmp_path: Path) -> None:
    for place, run in enumerate(study(tmp_path, {"a": traces(6), "b": traces(8)}, (0, 1))):
        about = {"started": f"2026-01-0{1 + place}T10:00:00", "git_revision": "0123456789abcdef"}
        (run / "provenance.json").write_text(json.dumps(about))
    page = render_comparison(made(tmp_path))
    # Two warm starts come first, so the four runs started on the third to the sixth.
    assert "· 2026-01-03 to 2026-01-06 · commit <code>0123456</code></p>" in page
    assert f"<code>{tmp_path / 'b-seed0'}/models/grpo</code> (b b, seed 0)" in page
    assert f"<code>stride rollouts {tmp_path / 'a-seed0'} {tmp_path / 'b-seed0'}</code>" in page


def test_only_what_a_case_changes_is_listed() -> None:
    term = {"name": "correct", "weight": 1.0, "gate": "none", "schedule": None}
    price = {"name": "step_count", "weight": -0.5, "gate": "correct"}
    free = {"name": "backtrack_count", "weight": -0.2, "gate": "none"}
    configs = {
        "base": {"grpo": {"beta": 0.0, "updates": 4}, "rewards": {"terms": [term, free]}},
        "beta": {"grpo": {"beta": 0.1, "updates": 4}, "rewards": {"terms": [term, free]}},
        "priced": {"grpo": {"beta": 0.0, "updates": 4}, "rewards": {"terms": [term, price]}},
    }
    assert case_changes(configs) == {
        "beta": [("grpo.beta", "0.0", "0.1")],
        # The gate of the dropped term was the default, so its line is left out.
        "priced": [
            ("rewards.terms.backtrack_count.weight", "-0.2", "–"),
            ("rewards.terms.step_count.weight", "–", "-0.5"),
            ("rewards.terms.step_count.gate", "–", "correct"),
        ],
    }


def test_a_single_seed_is_stated_as_such(tmp_path: Path) -> None:
    study(tmp_path, {"a": traces(6), "b": traces(8)}, (0,))
    assert "With one seed only problems are paired" in render_comparison(made(tmp_path))
    study(tmp_path / "more", {"a": traces(6), "b": traces(8)}, (0, 1))
    assert "With one seed" not in render_comparison(made(tmp_path / "more"))


def test_cases_without_grpo_are_compared_by_their_last_stage(tmp_path: Path) -> None:
    config = {**CONFIG, "grpo": None}
    for name, right, updates in (("a", 5, 10), ("b", 9, 20)):
        write_run(
            tmp_path / name, {Stage.WARM: traces(right)}, config={**config, "warm_start": {"updates": updates}}
        )
    found = made(tmp_path)
    (difference,) = found.differences()
    assert difference.found[0] is not None and difference.found[0].mean == pytest.approx(0.4)
    assert "No update of GRPO has been logged yet." in render_comparison(found)


def test_a_single_case_has_nothing_to_compare_it_with(tmp_path: Path) -> None:
    study(tmp_path, {"a": traces(6)})
    assert "nothing to compare it with" in render_comparison(made(tmp_path))


def test_seeds_that_stopped_shorten_the_line_and_are_named(tmp_path: Path) -> None:
    study(tmp_path, {"a": traces(6), "b": traces(8)}, (0, 1))
    log = tmp_path / "b-seed1" / "metrics.jsonl"
    log.write_text("\n".join(log.read_text().split("\n")[:2]) + "\n")
    curves = learning_curves(made(tmp_path))
    assert curves is not None and curves.stopped == ("Seed 1 of b stops at update 2 of 4.",)


# ---- parts of plots, by hand ----


def test_the_front_by_hand() -> None:
    assert pareto_front([(1, 50), (2, 80), (3, 70), (3, 90)]) == [0, 1, 3]
    assert pareto_front([(2, 80), (2, 80), (2, 70)]) == [0, 1]  # equal points do not beat each other
    assert pareto_front([(5, 10)]) == [0] and pareto_front([]) == []


def test_bands_by_hand() -> None:
    made_ = band([{1: 1.0, 2: 2.0, 3: 9.0}, {1: 3.0, 2: math.nan}], window=1)
    assert made_ is not None and made_.updates == [1, 2]
    np.testing.assert_allclose(made_.mean, [2.0, 2.0])
    np.testing.assert_allclose(made_.low, [1.0, 2.0])
    np.testing.assert_allclose(made_.high, [3.0, 2.0])
    assert band([{1: math.nan}], window=1) is None and band([{1: 1.0}, {2: 1.0}], window=1) is None


def test_labels_at_ends_of_lines_are_spread() -> None:
    assert spread([10, 11, 40], 9, 50) == [6, 15, 40]
    # The two above are pushed apart to 26 and 35, which is too near to the first: all share their mean, 27.
    assert spread([20, 30, 31], 9, 50) == [18, 27, 36]
    assert spread([0, 1, 20], 9, 50) == [0, 9, 20]  # no lower than 0
    assert spread([48, 50, 49], 9, 50) == [32, 50, 41]
    assert spread([], 9, 50) == []


@pytest.mark.parametrize("num", [4, 20])
@pytest.mark.parametrize("crowd", [5.0, 60.0, 200.0])
def test_labels_of_points_keep_off_each_other_and_stay_inside(num: int, crowd: float) -> None:
    rng = np.random.default_rng(num)
    points = [(float(x), float(y)) for x, y in 125 + crowd * (rng.random((num, 2)) - 0.5)]
    texts = [chr(ord("a") + place) for place in range(num)]
    found = place_labels(points, texts, (), (0.0, 0.0, 250.0, 250.0))
    half = CHARACTER / 2
    for (x, y), (u, v) in combinations(found, 2):
        assert abs(x - u) >= CHARACTER or abs(y - v) >= HEIGHT
    assert all(half <= x <= 250 - half and HEIGHT / 2 <= y <= 250 - HEIGHT / 2 for x, y in found)


def test_cases_look_different() -> None:
    assert len({case_style(place) for place in range(36)}) == 36
