"""Memory that runs out in the learner or in its engine is one line with the keys that help."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from configs import check_config
from rl import stages
from rl.grpo.trainer import StrideTrainer
from rl.memory.exhausted import LearnerMemoryError
from rl.train import train
from rollout.out_of_memory import SamplingMemoryError
from rollout.worker import RolloutWorker

TINY = {"hidden_size": 16, "num_layers": 1, "num_heads": 1, "intermediate_size": 16, "max_positions": 96}


def run(folder: Path) -> None:
    config = check_config(
        {
            "output_dir": str(folder),
            "device": "cpu",
            "threads": 1,
            "report_to": [],
            "env": {
                "name": "addition",
                "settings": {"train": ["1_1"], "ood_easy": ["2_1"], "ood_hard": ["2_2"]},
            },
            "policy": {"tiny": TINY},
            "warm_start": {"updates": 1, "num_problems": 4, "batch_size": 2},
            "rollout": {"samples_per_problem": 2, "max_prompt_tokens": 30, "max_new_tokens": 40},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}, {"name": "token_count", "weight": -0.1}]},
            "grpo": {"updates": 1, "problems_per_update": 1},
            "eval": {"splits": ["id"], "num_problems": 1, "num_samples": 0},
        }
    )
    train(config, out=io.StringIO())


def grab(*_: Any, **__: Any) -> None:
    torch.empty(2**60)  # more than any machine has


@pytest.mark.parametrize(
    ("owner", "name", "error", "message"),
    [
        (
            stages,
            "warm_start",
            LearnerMemoryError,
            r"^the learner ran out of memory in warm start \(RuntimeError.*\); what helps: a smaller "
            r"warm_start\.micro_batch_size",
        ),
        (
            StrideTrainer,
            "_compute_loss",
            LearnerMemoryError,
            r"^the learner ran out of memory in GRPO .*; what helps: grpo\.micro_batch_tokens below 768, "
            r"policy\.gradient_checkpointing=true, policy\.lora\.r=16",
        ),
        (RolloutWorker, "rollout", SamplingMemoryError, r"^the engine ran out of memory .*rollout\.max_rows"),
    ],
)
def test_it_names_the_keys(
    owner: Any, name: str, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, grab)
    with pytest.raises(error, match=message) as raised:
        run(tmp_path / "run")
    assert getattr(raised.value, "exit_code", None) == 1 and "\n" not in str(raised.value)


def test_other_errors_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(StrideTrainer, "_compute_loss", fail)
    with pytest.raises(RuntimeError, match=r"^shapes do not match$"):
        run(tmp_path / "run")
