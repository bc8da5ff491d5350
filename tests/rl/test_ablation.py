"""An ablation from runs to report, with a model too small to learn; its figures on results made by hand."""

from __future__ import annotations

import io
import json
import math
import multiprocessing
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import ConfigError
from configs.ablation import Plan, load_ablation
from rl.ablation import is_done, run_plan
from rl.ablation_report import render_comparison, write_comparison
from rl.ablation_results import comparison, mean_interval, read_entries, results_csv
from rl.run_folder import RunFolderError

BASE: dict[str, Any] = {
    "device": "cpu",
    "threads": 1,
    "report_to": ["none"],
    "env": {"name": "directional", "settings": {"train": [1, 2], "ood_easy": [3], "ood_hard": [4]}},
    "policy": {
        "tiny": {
            "hidden_size": 16,
            "num_layers": 1,
            "num_heads": 2,
            "intermediate_size": 16,
            "max_positions": 64,
        }
    },
    "warm_start": {"updates": 2, "num_problems": 8, "batch_size": 4},
    "rollout": {"samples_per_problem": 2, "max_prompt_tokens": 32, "max_new_tokens": 8},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "grpo": {"updates": 1, "problems_per_update": 2, "all_equal_groups": "skip", "max_refills": 0},
    "eval": {"splits": ["id"], "num_problems": 4, "num_samples": 0},
}
STEPS = {
    "rewards.terms": [*BASE["rewards"]["terms"], {"name": "step_count", "weight": -0.1, "gate": "correct"}]
}


def plan(folder: Path, cases: dict[str, dict[str, Any]], seeds: list[int], **changes: Any) -> Plan:
    (folder / "base.yaml").write_text(yaml.safe_dump({**BASE, **changes}))
    study = {"name": "study", "question": "<b>Which?", "base": "base.yaml", "seeds": seeds, "cases": cases}
    (folder / "study.yaml").write_text(yaml.safe_dump({**study, "parallel": 2}, sort_keys=False))
    return load_ablation(folder / "study.yaml", (), folder / "out")


def run(study: Plan) -> tuple[list[tuple[str, str]], str]:
    out = io.StringIO()
    failures = run_plan(study, out=out)
    return [(failure.trial, failure.reason) for failure in failures], out.getvalue()


def test_runs_share_their_warm_start_and_are_not_repeated(tmp_path: Path) -> None:
    # The prompt is too long for `narrow`, which only shows once its run has begun.
    cases = {"plain": {}, "steps": STEPS, "narrow": {"rollout.max_prompt_tokens": 3}}
    study = plan(tmp_path, cases, [0])
    (warm, _), (too_narrow, _) = study.results["plain", 0], study.results["narrow", 0]
    failures, said = run(study)
    assert [name for name, _ in failures] == [too_narrow, "narrow-seed0"]
    assert failures[0][1].startswith(
        "ConfigError: rollout.max_prompt_tokens is 3, but the prompt of train 0 has"
    )
    assert failures[1][1] == f"{too_narrow} failed, from whose model it begins"
    assert f"{warm}: started" in said and "steps-seed0: done" in said
    assert [trial.name for trial in study.trials if is_done(trial)] == [warm, "plain-seed0", "steps-seed0"]
    plain, steps, shared = [stages(tmp_path / "out" / name) for name in ("plain-seed0", "steps-seed0", warm)]
    assert plain["base"] == steps["base"] == shared["warm"]

    before = (tmp_path / "out/plain-seed0/provenance.json").read_text()
    _, said = run(study)
    assert "5 runs, 3 of them finished before" in said and "plain-seed0: started" not in said
    assert (tmp_path / "out/plain-seed0/provenance.json").read_text() == before
    page = write_comparison(study)
    assert page.read_text().count("<svg") == 1 and (tmp_path / "out/summary.csv").is_file()


def stages(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())["stages"]
    return found


def test_a_cut_off_run_goes_on(tmp_path: Path) -> None:
    study = plan(tmp_path, {"plain": {"grpo": None}}, [0])
    (trial,) = study.trials
    run(study)
    summary = tmp_path / "out" / trial.name / "summary.json"
    whole = json.loads(summary.read_text())
    summary.write_text(json.dumps({**whole, "stages": {"base": whole["stages"]["base"]}}))  # not evaluated
    assert not is_done(trial)
    assert run(study)[0] == []
    assert json.loads(summary.read_text())["stages"] == whole["stages"]


def test_a_run_that_is_killed_is_told_from_one_that_fails(tmp_path: Path) -> None:
    study = plan(tmp_path, {"long": {"grpo": None, "warm_start.updates": 100_000}}, [0])
    (trial,) = study.trials
    found: list[list[tuple[str, str]]] = []
    thread = threading.Thread(target=lambda: found.append(run(study)[0]))
    thread.start()
    log = tmp_path / "out" / f"{trial.name}.log"
    for _ in range(600):
        if log.exists() and "warm 1/100000" in log.read_text():
            break
        time.sleep(0.1)
    (child,) = [child for child in multiprocessing.active_children() if child.name == trial.name]
    child.kill()
    thread.join(timeout=60)
    ((name, reason),) = found[0]
    assert name == trial.name and reason.startswith("ended with exit code -9; it last said: warm ")


def test_what_can_be_known_before_is_said_before(tmp_path: Path) -> None:
    cases = {"plain": {}, "odd": {"rewards.terms": [{"name": "corect", "weight": 1.0}]}}
    with pytest.raises(
        ConfigError, match="case 'odd': rewards: unknown reward 'corect'; did you mean 'correct'"
    ):
        run(plan(tmp_path, cases, [0]))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_config_is_left_alone(tmp_path: Path) -> None:
    run(plan(tmp_path, {"plain": {"warm_start": None}}, [0]))
    other = plan(tmp_path, {"plain": {"warm_start": None, "grpo.learning_rate": 0.5}}, [0])
    with pytest.raises(RunFolderError, match=r"grpo\.learning_rate was 1e-05, is 0\.5"):
        run(other)


def test_other_evaluation_settings_are_not_compared(tmp_path: Path) -> None:
    run(plan(tmp_path, {"plain": {"warm_start": None}}, [0]))
    other = plan(tmp_path, {"plain": {"warm_start": None, "eval.num_problems": 5}}, [0])
    with pytest.raises(RunFolderError, match="holds a run with other eval settings, which cannot be compared"):
        run(other)


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    study = plan(tmp_path, {"plain": {"grpo": None}}, [0])
    (tmp_path / "out").write_text("mine")
    for use in (run, write_comparison):
        with pytest.raises(RunFolderError, match="cannot be written: File exists; give another"):
            use(study)
    assert (tmp_path / "out").read_text() == "mine"


# ---- results ----


def result(accuracy: float, **changes: Any) -> dict[str, Any]:
    zeros = dict.fromkeys(
        ("invalid_steps", "backtracks", "real_backtracks", "fake_backtracks", "needed_backtracks"), 0.0
    )
    more = {"needless_backtracks": 0.0, "wasted_steps": 0.0, "verified": accuracy, "full_steps": 2.0}
    return {
        "num_problems": 10,
        "accuracy": accuracy,
        "tokens": 20.0,
        "steps_per_correct": 2.0,
        "sampled_accuracy": None,
        "errors": {},
        **zeros,
        **more,
        **changes,
    }


@pytest.fixture
def finished(tmp_path: Path) -> Plan:
    """Two cases that share a warm start, two seeds, written by hand; seed 1 of `steps` is missing."""
    study = plan(tmp_path, {"plain": {}, "steps": STEPS}, [0, 1])
    warm0, warm1 = study.results["plain", 0][0], study.results["plain", 1][0]
    for name, found in {
        warm0: {"base": {"id": result(0.1)}, "warm": {"id": result(0.5, errors={"queue": 0.2})}},
        warm1: {"base": {"id": result(0.2)}, "warm": {"id": result(0.7, backtracks=1.0)}},
        "plain-seed0": {"base": {"id": result(0.5)}, "grpo": {"id": result(0.8, steps_per_correct=None)}},
        "plain-seed1": {"base": {"id": result(0.7)}, "grpo": {"id": result(1.0, steps_per_correct=3.0)}},
        "steps-seed0": {"base": {"id": result(0.5)}, "grpo": {"id": result(0.9)}},
    }.items():
        folder = tmp_path / "out" / name
        folder.mkdir(parents=True)
        summary = {"stages": found, "updates": {}, "seconds": {}}
        (folder / "summary.json").write_text(json.dumps(summary))
    return study


def test_results_are_means_over_seeds(finished: Plan) -> None:
    warm, plain, steps = read_entries(finished)
    assert (warm.name, warm.cases, list(warm.results)) == (
        "plain and 1 more: warm start",
        ("plain", "steps"),
        [0, 1],
    )
    assert warm.mean()["accuracy"] == pytest.approx(0.6)  # (0.5 + 0.7) / 2
    assert warm.mean()["errors"] == {"queue": pytest.approx(0.1)}  # none in seed 1: (0.2 + 0) / 2
    assert plain.name == "plain: GRPO" and plain.mean()["steps_per_correct"] == 3.0  # the only seed that has it
    assert steps.name == "steps: GRPO" and list(steps.results) == [0]


def test_the_text_has_every_entry(finished: Plan) -> None:
    head, _, warm, plain, steps = comparison(finished).split("\n")
    assert head.split()[:4] == ["split", "case", "seeds", "accuracy"]
    # Of 0.5 and 0.7: deviation 0.1414, 12.706 * 0.1414 / sqrt(2) = 1.27 to each side, cut off at 0 and 1.
    assert warm.split()[7:11] == ["2", "0.600", "0.000-1.000", "2.00"]
    assert plain.split()[3:7] == ["2", "0.900", "0.000-1.000", "3.00"]
    assert steps.split()[3:7] == ["1", "0.900", "-", "2.00"]


def test_the_csv_has_every_seed(finished: Plan) -> None:
    lines = results_csv(finished).splitlines()
    assert lines[0].startswith("cases,stage,split,seed,num_problems,accuracy,")
    assert [line.split(",")[:6] for line in lines[1:]] == [
        ["plain steps", "warm", "id", "0", "10", "0.5"],
        ["plain steps", "warm", "id", "1", "10", "0.7"],
        ["plain", "grpo", "id", "0", "10", "0.8"],
        ["plain", "grpo", "id", "1", "10", "1.0"],
        ["steps", "grpo", "id", "0", "10", "0.9"],
    ]


def test_the_page_escapes_and_shows_what_there_is(finished: Plan, tmp_path: Path) -> None:
    page = render_comparison(finished)
    assert "&lt;b&gt;Which?" in page and "<b>Which?" not in page
    assert page.count("<svg") == 2  # accuracy against tokens, and backtracks
    assert (
        "plain and 1 more: warm start<br><small>plain, steps</small>" in page
        and "80.0" not in page
        and "90.0 %" in page
    )
    assert "queue" in page  # the table of first errors
    empty = replace(finished, folder=tmp_path / "nothing")
    assert "No run has been evaluated yet." in render_comparison(empty)


def test_cases_look_different(tmp_path: Path) -> None:
    study = plan(tmp_path, {f"case{place}": {"grpo.beta": 0.1 * place} for place in range(12)}, [0])
    for case in study.config.cases:
        folder = tmp_path / "out" / f"{case}-seed0"
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps({"stages": {"grpo": {"id": result(0.5)}}}))
    legend = re.findall(r'<li><b style="color:var\(--(line\d)\)">(.)</b>case\d+</li>', render_comparison(study))
    assert len(legend) == len(set(legend)) == 12


def test_intervals_of_a_mean() -> None:
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2.0 - 2.4843, 2.0 + 2.4843), abs=1e-4)
    # 21 values of mean 0 and deviation sqrt(20 / 20) = 1; t at 20 degrees is 2.086.
    mean, low, high = mean_interval([-1.0] * 10 + [0.0] + [1.0] * 10)
    assert mean == 0.0 and high == -low == pytest.approx(2.086 * 1.0 / math.sqrt(21), abs=1e-3)
    one = mean_interval([0.5])
    assert one[0] == 0.5 and math.isnan(one[1]) and math.isnan(one[2])
