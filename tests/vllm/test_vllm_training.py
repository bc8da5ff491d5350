"""Whole small runs that sample with vLLM: the learner agrees with it on every token, and Ray changes none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from configs import check_config
from rl.runs.folder import RunFolder
from rl.runs.record import Stage, UpdateRow
from rl.train import train

CONFIG: dict[str, Any] = {
    "name": "vllm",
    "device": "cpu",
    "threads": 1,
    "report_to": [],
    "env": {"name": "directional", "settings": {"train": [2], "ood_easy": [3], "ood_hard": [4]}},
    "policy": {
        "tiny": {
            "hidden_size": 128,
            "num_layers": 2,
            "num_heads": 2,
            "intermediate_size": 192,
            "max_positions": 128,
        }
    },
    "warm_start": {"updates": 60, "num_problems": 500, "batch_size": 32, "learning_rate": 3.0e-3},
    "rollout": {
        "engine": "vllm",
        "samples_per_problem": 4,
        "max_prompt_tokens": 48,
        "max_new_tokens": 48,
        "threads": 1,
    },
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}, {"name": "format", "weight": 0.5}]},
    "grpo": {"updates": 4, "problems_per_update": 8, "learning_rate": 1.0e-3},
    "eval": {"splits": ["train"], "num_problems": 20, "num_samples": 2, "max_new_tokens": {"train": 60}},
}
CLOSE = 1e-4  # of log-probabilities; measured: 3e-6


def run(folder: Path, config: dict[str, Any]) -> RunFolder:
    return train(check_config({**config, "output_dir": str(folder)}), out=io.StringIO())


def updates(folder: RunFolder) -> list[UpdateRow]:
    return [row for row in folder.metrics.read() if row.stage is Stage.GRPO]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose sampler is in this process."""
    return run(tmp_path_factory.mktemp("runs") / "local", CONFIG)


def test_the_learner_agrees_with_vllm(local: RunFolder) -> None:
    rows = updates(local)
    assert [row.update for row in rows] == [1, 2, 3, 4]
    assert all(0 < row.metrics["logprob_diff/max"] < CLOSE for row in rows)
    assert all(row.metrics["grad_norm"] > 0 for row in rows)  # so the weights did change


def test_an_actor_samples_the_same_tokens(
    local: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # the actor's
    rollout = {**CONFIG["rollout"], "backend": "ray", "num_actors": 1}
    ray = run(tmp_path / "ray", {**CONFIG, "rollout": rollout})
    assert ray.trajectories.read() == local.trajectories.read() != []


def test_the_learner_agrees_on_an_adapter(local: RunFolder, tmp_path: Path) -> None:
    """The model of the run's warm start with a new adapter."""
    policy = {"model": str(local.model("warm")), "lora": {"r": 8, "alpha": 16}}
    rows = updates(run(tmp_path / "lora", {**CONFIG, "policy": policy, "warm_start": None}))
    assert len(rows) == 4
    assert all(0 < row.metrics["logprob_diff/max"] < CLOSE for row in rows)
    assert all(row.metrics["grad_norm"] > 0 for row in rows)
