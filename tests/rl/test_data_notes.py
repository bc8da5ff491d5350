"""What a task notes about its data is printed by a run, and kept in its folder."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from configs import check_config
from envs import make_env
from envs.tasks.addition import Addition
from rl.runs.problems import compare_problems, describe_problems
from rl.train import train

NOTE = "left out, 12 problems stay: a value cannot be read (1): a.jsonl row 3: 'answer' is True"


def test_a_run_prints_and_keeps_the_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Addition, "notes", property(lambda env: (NOTE,)))
    out, run = io.StringIO(), tmp_path / "run"
    config = {
        "output_dir": str(run),
        "device": "cpu",
        "threads": 1,
        "report_to": [],
        "env": {"name": "addition", "settings": {"train": ["1_1"]}},
        "policy": {"tiny": {"hidden_size": 16, "num_layers": 1, "num_heads": 1, "intermediate_size": 16}},
        "warm_start": None,
        "grpo": None,
        "rollout": {"samples_per_problem": 2, "max_prompt_tokens": 40, "max_new_tokens": 6, "threads": 1},
        "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
        "eval": {"splits": ["id"], "num_problems": 2, "num_samples": 0},
    }
    train(check_config(config), out=out)
    assert NOTE in out.getvalue().splitlines()
    assert json.loads((run / "problems.json").read_text())["notes"] == [NOTE]
    # Notes do not decide whether problems have changed.
    again = describe_problems(make_env("addition", {"train": ["1_1"]}))
    assert compare_problems(json.loads((run / "problems.json").read_text()), again) == []
