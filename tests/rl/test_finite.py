"""A run whose numbers are no longer finite stops at once and leaves nothing of it behind."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from rl.finite import NotFiniteError
from rl.runs.log import metrics_log
from rl.runs.record import Stage
from rl.runs.trajectories import during_log
from rl.trainer_callback import StopIfNotFinite
from scripts.train import main

CONFIG = {
    "device": "cpu",
    "threads": 1,
    "report_to": [],
    "env": {"name": "addition", "settings": {"train": ["1_1"], "ood_easy": ["2_1"], "ood_hard": ["2_2"]}},
    "policy": {
        "tiny": {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 2,
            "intermediate_size": 64,
            "max_positions": 128,
        }
    },
    "warm_start": {
        "updates": 24,
        "num_problems": 60,
        "batch_size": 8,
        "learning_rate": 3.0e-3,
        "save_every": 4,
    },
    "rollout": {"samples_per_problem": 4, "max_prompt_tokens": 40, "max_new_tokens": 40, "threads": 1},
    "rewards": {"terms": [{"name": "correct", "weight": 1}, {"name": "token_count", "weight": -0.1}]},
    "grpo": {"updates": 6, "problems_per_update": 4, "save_every": 1, "max_grad_norm": 1.0e9},
    "eval": {"splits": ["id"], "num_problems": 4, "num_samples": 0, "every": 1, "every_problems": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", [Stage.WARM, Stage.GRPO])
def test_a_run_that_diverges_stops_in_one_line_and_saves_nothing_after(
    stage: Stage, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With a learning rate of 1e30 the first update throws the weights away, and the second one is NaN."""
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump(CONFIG))
    section = "warm_start" if stage is Stage.WARM else "grpo"
    with pytest.raises(SystemExit) as ended:
        main([str(config), f"output_dir={run}", f"{section}.learning_rate=1e30"])
    assert ended.value.code == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: at update ") and "training has diverged and stops" in error
    rows = metrics_log(run).read()
    assert all(math.isfinite(value) for row in rows for value in row.metrics.values())
    last = max((row.update for row in rows if row.stage is stage), default=0)
    assert not (run / "models" / stage).exists()
    saved = [path for path in run.rglob("*.safetensors") if f"{stage}" in str(path.relative_to(run))]
    for path in saved:
        assert int(path.parent.name.rpartition("-")[2]) <= last
        assert all(tensor.isfinite().all() for tensor in load_file(path).values()), path
    for path in run.glob("models/best/*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values())


@pytest.mark.slow
def test_weights_that_are_not_finite_are_neither_evaluated_nor_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A step of 1e39 is infinite in float32, though loss and gradient of that update are fine."""
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump({**CONFIG, "warm_start": None}))
    with pytest.raises(SystemExit):
        main([str(config), f"output_dir={run}", "grpo.learning_rate=1e39", "grpo.save_every=6"])
    assert "at update 1 the weight" in capfd.readouterr().err.splitlines()[-1]
    assert not (run / "models" / "best").exists() and not during_log(run).read()


@pytest.mark.parametrize("key", ["loss", "grad_norm"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_or_gradient_that_is_not_finite_is_named(key: str, value: float) -> None:
    check: Any = StopIfNotFinite()
    state = SimpleNamespace(global_step=5)
    check.on_log(None, state, None, logs={"loss": 0.0, "grad_norm": 1e9})
    with pytest.raises(NotFiniteError, match=f"^at update 5 the .* is {value:g}: .*lower learning_rate"):
        check.on_log(None, state, None, logs={"loss": 0.0, key: value})


def test_weights_are_checked_before_they_are_saved() -> None:
    """The last update of a stage has no next loss that would show what it did."""
    check: Any = StopIfNotFinite()
    model, state = torch.nn.Linear(1, 1), SimpleNamespace(global_step=3)
    model.weight.data[0, 0] = math.inf
    going_on = SimpleNamespace(should_save=False, should_training_stop=False)
    check.on_step_end(None, state, going_on, model=model)
    for control in (
        SimpleNamespace(should_save=True, should_training_stop=False),
        SimpleNamespace(should_save=False, should_training_stop=True),
    ):
        with pytest.raises(NotFiniteError, match=r"^at update 3 the weight weight is not finite"):
            check.on_step_end(None, state, control, model=model)
