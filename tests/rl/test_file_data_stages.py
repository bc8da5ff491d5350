"""The step-skipping loop and key steps on a user's own file: they learn from and pair its solutions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from configs import check_config
from rl.iterate.files import asked_log, evaluation_log, rounds_log
from rl.iterate.record import ModelKind
from rl.iterate.run import iterate
from rl.runs.log import metrics_log, read_summary
from rl.runs.record import Stage
from rl.train import train
from tests.kit.pens import write_pens

pytestmark = pytest.mark.slow


def settings(folder: Path, **sections: Any) -> dict[str, Any]:
    """A run of seconds on 24 rows, with 8 others to be tested on."""
    return {
        "name": "pens",
        "device": "cpu",
        "threads": 1,
        "report_to": [],
        "output_dir": str(folder / "run"),
        "env": {
            "name": "math",
            "settings": {
                "train": write_pens(folder / "train.jsonl", 24),
                "id": write_pens(folder / "id.jsonl", 8, first=24),
                "check_steps": "arithmetic",
            },
        },
        "policy": {"tiny": {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "intermediate_size": 64}},
        "warm_start": {"updates": 2, "num_problems": 24, "batch_size": 8, "learning_rate": 3.0e-3},
        "rollout": {"max_prompt_tokens": 320, "max_new_tokens": 120, "threads": 1},
        "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
        "grpo": None,
        "eval": {"splits": ["id"], "num_problems": 4, "num_samples": 0},
        **sections,
    }


def test_the_loop_asks_for_fewer_steps_than_the_files_solutions_have(tmp_path: Path) -> None:
    validation = {"ood_easy": write_pens(tmp_path / "validation.jsonl", 4, first=40)}
    loop = {"rounds": 1, "init": "warm", "validation": validation}
    config = check_config(settings(tmp_path, iterate=loop))
    iterate(config, out=io.StringIO())
    folder = tmp_path / "run"
    requests = asked_log(folder, 1).read()
    assert {(row.full_steps, row.fewer, row.asked) for row in requests} == {(3, 1, 2), (3, 2, 1)}
    assert len({row.index for row in requests}) == 24 and all(row.steps_checked for row in requests)
    rounds = rounds_log(folder).read()
    assert [row.round for row in rounds] == [0, 1]
    assert {row.num_full for row in rounds} == {24}
    answers = evaluation_log(folder, 1, ModelKind.STANDARD).read()
    assert {row.cell for row in answers} == {"id", "validation"}
    assert {row.full_steps for row in answers} == {3}
    assert (folder / "report.html").is_file()


def test_key_steps_pair_a_models_wrong_traces_with_the_files_solutions(tmp_path: Path) -> None:
    """`math` writes no mistakes of its own: wrong samples are put right by the solution of their row."""
    pairs = {
        "updates": 2,
        "num_problems": 8,
        "num_samples": 2,
        "batch_size": 4,
        "environment_frac": 0.0,
        "temperature": 0.5,
        "learning_rate": 1e-3,
    }
    given = settings(tmp_path, key_steps=pairs)
    given["warm_start"]["updates"] = 250  # for samples that have steps and an answer
    config = check_config(given)
    train(config)
    folder = tmp_path / "run"
    assert read_summary(folder).updates == {Stage.WARM: 250, Stage.KEY_STEPS: 2}
    rows = [row for row in metrics_log(folder).read() if row.stage is Stage.KEY_STEPS]
    assert len(rows) == 2
    for row in rows:
        # Every step of these traces is one line of the solution, so the line that goes wrong is always found.
        assert row.metrics["key_lines/right/line_recall"] == 1.0
        assert row.metrics["key/right_nll"] > 0
