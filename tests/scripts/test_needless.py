"""`stride needless` on a model from scratch: what it writes, what it refuses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from rl.needless.guesses import RULES
from rl.pages.render import is_page
from rl.runs.analysis import read_settings
from scripts.needless import main
from scripts.train import main as train

CONFIG = """
name: small
device: cpu
threads: 1
report_to: []
env: {name: addition, settings: {train: ["1_1"], ood_easy: ["2_1"], ood_hard: ["2_2"]}}
policy: {tiny: {hidden_size: 64, num_layers: 2, num_heads: 2, intermediate_size: 128, max_positions: 128}}
warm_start: {updates: 200, num_problems: 400, batch_size: 16, learning_rate: 3.0e-3, detour_frac: 0.5}
rollout: {max_prompt_tokens: 40, max_new_tokens: 60, problems_per_batch: 4}
rewards: {terms: [{name: correct, weight: 1.0}]}
grpo: null
eval: {splits: [], num_problems: 4, num_samples: 0}
"""
FEW = ["--split", "train", "--problems", "12", "--samples", "4", "--continuations", "2"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(CONFIG)


@pytest.mark.slow
def test_the_rules_are_measured_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    train(["small.yaml", "output_dir=run"])
    assert main(["run", *FEW, "--output", "out"]) == 0
    out = capsys.readouterr().out
    assert "lines of right traces" in out and "Monte-Carlo: no gain" in out
    lines, rules = pd.read_csv("out/lines.csv"), pd.read_csv("out/rules.csv")
    assert len(lines) and list(rules["rule"]) == list(RULES)
    assert set(lines["use"]) <= {"needed", "skippable", "wasted", "wrong", "unknown"}
    assert is_page(Path("out/needless.html").read_text())
    # Killed within a batch, it goes on to the same lines; with other settings it is refused.
    log, csv = Path("out/needless.jsonl"), Path("out/lines.csv")
    whole, table = log.read_bytes(), csv.read_bytes()
    rows = whole.splitlines(keepends=True)
    assert len(rows) == 12
    log.write_bytes(b"".join(rows[4:10]) + rows[10][:20])  # of batches of four: one whole, one in part
    csv.unlink()
    assert main(["run", *FEW, "--output", "out", "--resume"]) == 0
    assert log.read_bytes() == whole and csv.read_bytes() == table
    with pytest.raises(SystemExit):
        main(["run", *FEW, "--output", "out", "--resume", "--samples", "2"])
    said = capsys.readouterr().err
    assert "the measurement in out has num_samples 4, and 2 is given; give the same, or a new folder" in said
    with pytest.raises(SystemExit):
        main(["run", *FEW, "--output", "out"])
    assert "--output out already exists; give a new folder, or go on with --resume\n" in capsys.readouterr().err


def test_a_task_of_whose_lines_nothing_is_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    more = ["env.name=reasoning_gym", "env.settings={task: chain_sum}"]
    with pytest.raises(SystemExit):
        main(["config", "small.yaml", *FEW, *more])
    said = capsys.readouterr().err
    assert "'reasoning_gym' does not say how many lines remain (Env.remaining)" in said
    assert "define it, or give a task that does" in said
    with pytest.raises(SystemExit):
        main(["config", "small.yaml", "--continuations", "0"])
    assert "--continuations is 0; give 1 or more" in capsys.readouterr().err


def test_long_prompts_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A heading and a list of actions take 23 tokens with the shorter lists."""
    more = ["env={name: directional}", "rollout.max_prompt_tokens=22", "eval.top_p=0.9", "--output", "out"]
    few = ["--problems", "12", "--samples", "1", "--continuations", "1"]
    assert main(["config", "small.yaml", *few, *more]) == 0
    skipped = re.search(r"\(22\) are skipped: (\d+) of 12 id problems", capsys.readouterr().err)
    assert skipped is not None and 0 < int(skipped[1]) < 12
    log, page = Path("out/needless.jsonl").read_text(), Path("out/needless.html").read_text()
    assert log.count("\n") == 12 - int(skipped[1]) and f"Of {log.count(chr(10))} problem" in page
    assert read_settings(Path("out"), "needless")["top_p"] == 0.9


BROKEN = """
from envs.tasks.addition import Addition

class Broken(Addition):
    name = "broken"
    def advance(self, state, line):
        raise RuntimeError("the checker is broken")
    def grade_answer(self, problem, answer):
        raise RuntimeError("the checker is broken")
"""


def test_it_ends_when_too_many_completions_are_ungraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "broken_needless.py").write_text(BROKEN)
    more = ["env.name=broken_needless:Broken", "rollout.max_ungraded=5", "warm_start=null"]
    with pytest.raises(SystemExit):
        main(["config", "small.yaml", *FEW, *more, "--output", "out"])
    said = capsys.readouterr().err
    assert "completions could not be graded, more than rollout.max_ungraded (5)" in said
    assert "the checker is broken" in said
    with pytest.raises(SystemExit):
        main(["config", "small.yaml", *FEW, "--output", "out"])
    assert "--output out already exists; give a new folder, or go on with --resume\n" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["config", "small.yaml", *FEW, "--resume"])
    assert "--resume needs the folder to go on with: --output FOLDER" in capsys.readouterr().err
