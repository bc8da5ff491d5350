"""Cases of an ablation that are expert iteration: their plan, cost, progress and report. No round is run."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import ConfigError
from configs.schema.ablation import Plan, Trial, load_ablation
from rl.ablation.cost import cost_of
from rl.ablation.preview import preview
from rl.ablation.progress import is_done, read_progress
from rl.ablation.report import check_store, comparison, write_comparison
from rl.compare.expert import read_expert_study, rounds_csv
from rl.compare.runs import plan_comparison
from rl.pages.render import is_page
from rl.pages.search.expert_study import answer
from rl.search.expert_record import ExpertRow, evaluated_log, expert_log
from rl.search.record import Draw, ProblemRow, Response, SearchRow

BASE: dict[str, Any] = {
    "device": "cpu",
    "env": {"name": "directional", "settings": {"train": ["1"], "ood_easy": ["2"], "ood_hard": ["3"]}},
    "warm_start": {"updates": 300, "num_problems": 30, "skipped_frac": 0.0},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "grpo": None,
    "eval": {"splits": ["id"], "num_problems": 4},
    "search": {"breadth": [1, 2], "depth": 0},
    "expert_iteration": {"rounds": 2, "num_problems": 10, "updates": 5},
}
RIGHT: dict[int, tuple[int, ...]] = {
    0: (1, 0, 0, 0),
    1: (1, 1, 0, 0),
    2: (1, 1, 1, 0),
}  # of four problems, by round: greedy decoding


def make_plan(folder: Path) -> Plan:
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    cases = {"plain": {}, "any": {"expert_iteration.keep": "any"}}
    study = {"name": "study", "question": "?", "base": "base.yaml", "seeds": [0, 1], "cases": cases}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return load_ablation(folder / "study.yaml", (), folder / "out")


def write_rounds(trial: Trial, num: int, right_by_round: dict[int, tuple[int, ...]] = RIGHT) -> None:
    """The first rounds of a run; the larger of two searches answers rightly, the smaller one wrongly."""
    trial.folder.mkdir(parents=True, exist_ok=True)
    (trial.folder / "config.yaml").write_text(yaml.safe_dump(trial.config.model_dump(mode="json")))
    responses = tuple(
        Response(text=text, complete=True, answer=text, correct=text == "b", verified=None, backtracks=0)
        for text in "ab"
    )

    def draws(*places: int) -> tuple[Draw, ...]:
        return tuple(Draw(round=0, state=0, tokens=5, score=-1.0, response=place) for place in places)

    def searched(breadth: int, *places: int) -> SearchRow:
        return SearchRow(strategy="self_backtracking", breadth=breadth, states=("",), draws=draws(*places))

    for number in range(num):
        right = right_by_round[number]
        log = evaluated_log(trial.folder, number)
        log.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            ProblemRow(
                split="id",
                index=index,
                bucket="1",
                question=f"q{index}",
                answer="b",
                responses=responses,
                greedy=draws(place)[0],
                samples=(),
                searches=(searched(1, 0), searched(2, 1, 1)),
            )
            for index, place in enumerate(right)
        ]
        log.replace(rows)
        row = ExpertRow(
            round=number,
            asked=10 if number else 0,
            right=8 if number else 0,
            kept=(6 + trial.seed) if number else 0,
            tokens=100 if number else 0,
            updates=5 if number else 300,
            greedy={"id": sum(right) / 4},
            searched={"id": 1.0},
        )
        expert_log(trial.folder).append(row)


def test_a_case_is_one_run_with_a_warm_start_of_its_own(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    assert [trial.name for trial in plan.trials] == ["plain-seed0", "any-seed0", "plain-seed1", "any-seed1"]
    assert all(trial.after is None and trial.config.warm_start is not None for trial in plan.trials)
    with pytest.raises(ConfigError, match=r"--store .* this ablation has rounds"):
        check_store(plan, tmp_path / "stored")


def test_cost_and_progress_are_by_rounds(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    trial = plan.trials[0]
    cost = cost_of([trial], left=False)
    # The warm start and two rounds of 5 updates; each round evaluates 4 problems, and two search 10 before it.
    assert (cost.warm_updates, cost.eval_completions, cost.searched_problems) == (310, 12, 2 * 10 + 3 * 4)
    assert str(read_progress(trial)) == "0 of 3 rounds"
    write_rounds(trial, 2)
    left = cost_of([trial], left=True)
    assert (left.warm_updates, left.eval_completions, left.searched_problems) == (5, 4, 14)
    progress = read_progress(trial)
    assert (str(progress), progress.accuracy, is_done(trial)) == ("2 of 3 rounds", 0.5, False)
    assert "from round 2 of 3" in preview(plan)


def test_the_report_has_every_round_over_seeds(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    assert "No round of any run is finished yet" in write_comparison(plan).read_text()
    for trial in plan.trials[:3]:
        write_rounds(trial, 3)
    study = read_expert_study(plan_comparison(plan))
    assert study.cases == ["plain", "any"] and study.unfinished() == ["any, seed 1: not begun"]
    greedy = study.of_arm("plain", "id", "greedy")
    assert [arm.mean.accuracy for arm in greedy] == [0.25, 0.5, 0.75] and greedy[0].mean.gain is None
    gain = greedy[2].mean.gain
    assert gain is not None and gain.mean == 0.5 and gain.num_pairs == 8
    # The search that rounds learn from is the larger one.
    assert [arm.mean.accuracy for arm in study.of_arm("plain", "id", "self_backtracking")] == [1.0, 1.0, 1.0]
    assert study.learnt("plain", 1, lambda row: row.kept) == 6.5
    page = write_comparison(plan).read_text()
    assert is_page(page) and "greedy decoding has gone from 25.0&nbsp;% to 75.0&nbsp;% of id" in page.replace(
        "\u00a0", "&nbsp;"
    )
    assert "expert_iteration.keep" in page
    rows = list(csv.DictReader(io.StringIO((plan.folder / "rounds.csv").read_text())))
    assert len(rows) == 3 * 3 and rows[1]["greedy.id"] == "0.5" and rounds_csv(study).startswith("case,seed,")
    means = list(csv.DictReader(io.StringIO((plan.folder / "mean_rounds.csv").read_text())))
    assert [row["gain"] for row in means if row["case"] == "plain" and row["method"] == "greedy"][1:] == [
        "0.25",
        "0.5",
    ]
    assert "over round 0" in comparison(plan) and "any, seed 1: not begun" in comparison(plan)


def test_a_line_and_the_verdict_are_over_the_seeds_that_have_the_last_round(tmp_path: Path) -> None:
    """One seed comes from 25 to 75 % in two rounds; another has round 0 alone, with 100 %."""
    plan = make_plan(tmp_path)
    write_rounds(plan.trials[0], 3)
    write_rounds(plan.trials[2], 1, {0: (1, 1, 1, 1)})
    study = read_expert_study(plan_comparison(plan))
    assert [arm.mean.accuracy for arm in study.of_arm("plain", "id", "greedy")] == [0.625, 0.5, 0.75]
    assert [arm.mean.accuracy for arm in study.followed("plain", "id", "greedy")] == [0.25, 0.5, 0.75]
    said = answer(study)
    assert "from 25.0 % to 75.0 % of id (+50.0 points" in said and said.endswith("over 1 of 2 seeds.")
    page = write_comparison(plan).read_text()
    assert "1 of 2 seeds" in page
