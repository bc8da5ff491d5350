"""A tiny model trained from scratch to thresholds fixed in advance: the whole system, in about a minute."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from configs import check_config
from rl.runs.record import Stage
from rl.train import train

CONFIG = {
    "name": "learning",
    "device": "cpu",
    "threads": 1,
    "env": {"name": "directional", "settings": {"train": [2], "ood_easy": [3], "ood_hard": [4]}},
    "policy": {
        "tiny": {
            "hidden_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "intermediate_size": 128,
            "max_positions": 128,
        }
    },
    "warm_start": {
        "updates": 1500,
        "num_problems": 2000,
        "batch_size": 32,
        "learning_rate": 3.0e-3,
        "skipped_frac": 0.5,
        "skip_kinds": ["any_pair"],
    },
    "rollout": {"samples_per_problem": 8, "max_prompt_tokens": 32, "max_new_tokens": 64, "threads": 1},
    "rewards": {
        "terms": [
            {"name": "correct", "weight": 1.0},
            {"name": "step_count", "weight": -0.5, "gate": "correct"},
        ]
    },
    "grpo": {"updates": 60, "problems_per_update": 12, "learning_rate": 1.0e-3},
    "eval": {"splits": ["train", "ood_easy"], "num_problems": 60, "num_samples": 2},
}


@pytest.mark.slow
def test_fewer_steps_at_full_accuracy(tmp_path: Path) -> None:
    """Two actions can be done in one line: half of the steps is the most that can be saved."""
    out = io.StringIO()
    folder = train(check_config({**CONFIG, "output_dir": str(tmp_path / "run")}), out=out)
    stages = folder.summary().stages
    warm, grpo = stages[Stage.WARM]["train"], stages[Stage.GRPO]["train"]
    assert warm.accuracy >= 0.9
    assert grpo.accuracy >= 0.95
    assert grpo.verified >= 0.95
    assert grpo.steps_saved is not None and grpo.steps_saved >= 0.35
    assert warm.steps_per_correct is not None and grpo.steps_per_correct is not None
    assert grpo.steps_per_correct <= 0.9 * warm.steps_per_correct
    assert stages[Stage.BASE]["train"].accuracy < 0.5

    rows = [row for row in folder.metrics.read() if row.stage is Stage.GRPO]
    assert [row.update for row in rows] == list(range(1, 61))
    # Sampler and learner agree throughout.
    assert max(row.metrics["logprob_diff/max"] for row in rows) < 1e-4
    last = folder.trajectories.read()[-1]
    assert last.update == 60 and last.weight_version == 59
    assert last.pieces is not None and last.logprobs is not None
    assert len(last.pieces) == len(last.logprobs) == last.tokens
    assert "GRPO 60/60 updates" in out.getvalue()
    model = ("models/grpo/model.safetensors", "models/grpo/README.md", "models/warm/README.md")
    for name in ("config.yaml", "provenance.json", "report.html", *model):
        assert (folder.path / name).is_file()
    assert any((folder.path / "tensorboard").iterdir())
