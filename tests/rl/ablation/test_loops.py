"""Cases of an ablation that are step-skipping loops: their plan, cost, progress and report. No loop is run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import ConfigError
from configs.schema.ablation import Plan, load_ablation
from rl.ablation.cost import cost_of
from rl.ablation.preview import preview
from rl.ablation.progress import is_done, read_progress
from rl.ablation.report import check_store, comparison, write_comparison
from rl.ablation.time_left import Measured
from rl.ablation.tune import run_trial
from tests.kit.loops import config, solving, write_loop, write_round

SHARES = {"validation": (0.2, 0.8), "ood_easy": (0.2, 0.8), "train": (0.8,)}
PLAIN = {"iterate": None, "grpo": {"updates": 2, "problems_per_update": 2}}


def make_plan(folder: Path, cases: dict[str, dict[str, Any]], **changes: Any) -> Plan:
    base = config(folder / "base", **changes)
    for key in ("name", "output_dir"):
        del base[key]
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    study = {"name": "study", "question": "?", "base": "base.yaml", "seeds": [0, 1], "cases": cases}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return load_ablation(folder / "study.yaml", (), folder / "out")


def test_a_loop_is_one_run_and_shares_no_warm_start(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"cold": {}, "warm": {"iterate.init": "warm"}, "plain": PLAIN})
    names = [trial.name for trial in plan.trials if trial.seed == 0]
    assert names[:2] == ["cold-seed0", "warm-seed0"]
    assert len(names) == 4  # the ordinary case has its warm start before it
    loop = plan.trials[0]
    assert loop.after is None and loop.config.grpo is None and loop.config.warm_start is not None
    grpo = make_plan(tmp_path, {"by_grpo": {"iterate.train": "grpo"}}).trials[0]
    assert grpo.config.grpo is not None


def test_what_loops_cost(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"cold": {}}, rounds=2)
    cost = cost_of(plan.trials[:1], left=False)
    # Three rounds of two models, 20 updates each. Two rounds ask 8 problems for two numbers of steps. After
    # every round 10 problems: three requests, and four cells of the standard model.
    assert cost.warm_updates == 3 * 2 * 20
    assert cost.asked_completions == 2 * 2 * 8
    assert cost.eval_completions == 3 * 10 * (3 + 4)
    write_loop(plan.trials[0].folder, solving(SHARES), finished=1, rounds=2)
    left = cost_of(plan.trials[:1], left=True)
    assert (left.warm_updates, left.asked_completions) == (2 * 2 * 20, 2 * 2 * 8)
    assert "from round 1 of 3" in preview(plan)


def test_progress_is_by_rounds(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"cold": {}}, rounds=1)
    trial = plan.trials[0]
    assert str(read_progress(trial)) == "0 of 2 rounds"
    write_loop(trial.folder, solving(SHARES), finished=1, rounds=1)
    progress = read_progress(trial)
    assert (str(progress), progress.accuracy, is_done(trial)) == ("1 of 2 rounds", 1.0, False)
    measured = Measured()
    assert measured.rounds_left(trial, progress) is None
    measured.add_rounds(plan.trials[1], 30.0)  # the other seed of the case
    assert measured.rounds_left(trial, progress) == 30.0
    write_round(trial.folder, 1, solving(SHARES))
    assert is_done(trial)


def test_the_report_is_the_study_over_rounds(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"cold": {}, "plain": PLAIN}, rounds=1)
    loops = [trial for trial in plan.trials if trial.case == "cold"]
    for trial in loops:
        write_loop(trial.folder, solving(SHARES, seed=trial.seed), finished=2)
    path = write_comparison(plan)
    assert "of step-skipping loops" in path.read_text()
    assert (plan.folder / "report-runs.html").is_file()
    assert {file.name for file in plan.folder.glob("*.csv*")} == {
        "rounds.csv",
        "answers.csv.gz",
        "regret.csv",
        "summary.csv",
    }
    assert "cold, round 1" in comparison(plan)
    shutil.rmtree(loops[0].folder)
    assert "cold, seed 0: not begun" in write_comparison(plan).read_text()


def test_loops_are_not_stored_as_a_comparison(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"cold": {}})
    with pytest.raises(ConfigError, match=r"--store .* this ablation has rounds"):
        check_store(plan, tmp_path / "stored")
    check_store(plan, None)
    check_store(make_plan(tmp_path, {"plain": PLAIN}), tmp_path / "stored")


def test_a_trial_with_iterate_is_run_by_the_loop(tmp_path: Path) -> None:
    """The loop refuses a validation cell with problems of a test cell; `train` would refuse the section."""
    plan = make_plan(tmp_path, {"cold": {}}, validation={"ood_easy": ["5"]})
    plan.folder.mkdir()
    streams = [os.dup(stream) for stream in (1, 2)]  # a trial sends them to its log
    try:
        reason = run_trial(plan.trials[0])
    finally:
        for stream, before in zip((1, 2), streams, strict=True):
            os.dup2(before, stream)
            os.close(before)
    assert "iterate.validation" in reason
