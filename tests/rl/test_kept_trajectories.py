"""What a run keeps of its completions, and that a resumed run does not read it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from configs import check_config
from rl.runs.trajectories import trajectory_log
from rl.train import train
from rl.viewer import read_trajectories

CONFIG: dict[str, Any] = {
    "device": "cpu",
    "threads": 1,
    "report_to": [],
    "env": {"name": "addition", "settings": {"train": ["1_1"]}},
    "policy": {"tiny": {"hidden_size": 16, "num_layers": 1, "num_heads": 1, "intermediate_size": 16}},
    "warm_start": None,
    "rollout": {"samples_per_problem": 2, "max_prompt_tokens": 40, "max_new_tokens": 6, "threads": 1},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
    "grpo": {"updates": 3, "problems_per_update": 2, "save_every": 2, "dynamic_sampling": False},
    "eval": {"splits": ["id"], "num_problems": 2, "num_samples": 0},
}


@pytest.mark.slow
def test_a_run_keeps_what_the_config_says_and_resumes_without_reading_it(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def trained(updates: int, *, resume: bool = False, **kept: object) -> None:
        config = CONFIG | {"output_dir": str(run), "trajectories": kept}
        config["grpo"] = CONFIG["grpo"] | {"updates": updates}
        train(check_config(config), resume=resume, out=io.StringIO())

    trained(3, every=2, tokens=False)
    log = trajectory_log(run)
    assert [file.update for file in log.files()] == [1, 3]
    rows = log.read()
    assert [(row.update, row.sample) for row in rows] == [
        (u, s) for u in (1, 3) for _ in range(2) for s in (0, 1)
    ]
    assert all(row.pieces is None and row.logprobs is None and row.tokens > 0 for row in rows)
    (first, last) = (file.path for file in log.files())
    first.write_bytes(b"PAR1 whole, as far as its ends say PAR1")
    trained(5, resume=True)  # from the checkpoint of update 3
    assert [file.update for file in log.files()] == [1, 3, 4, 5]
    assert first.read_bytes().startswith(b"PAR1 whole")
    first.unlink()
    for row in [row for file in log.files() if file.path != last for row in file.rows()]:
        assert row.pieces is not None and row.logprobs is not None
        assert len(row.pieces) == len(row.logprobs) == row.tokens
    assert read_trajectories([run]).num == 3 * 4 + 2 + 2  # three updates, and two evaluations of two problems
