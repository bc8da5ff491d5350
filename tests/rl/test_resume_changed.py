"""A run goes on with other settings, each allowed by name: they hold, and the change is recorded."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from configs import check_config
from rl.pages.run.write import write_report
from rl.runs.errors import RunFolderError
from rl.runs.log import metrics_log
from rl.runs.record import Stage
from rl.runs.trajectories import trajectory_log
from rl.train import train

pytestmark = pytest.mark.slow

BASE: dict[str, Any] = {
    "name": "changed",
    "device": "cpu",
    "threads": 1,
    "report_to": [],
    "env": {"name": "addition", "settings": {"train": ["1_1"]}},
    "policy": {"tiny": {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 32}},
    "warm_start": None,
    "rollout": {"samples_per_problem": 2, "max_prompt_tokens": 40, "max_new_tokens": 6, "threads": 1},
    "rewards": {"terms": [{"name": "correct", "weight": 1.0}, {"name": "format", "weight": 0.2}]},
    "grpo": {"updates": 2, "problems_per_update": 2, "learning_rate": 1e-3, "dynamic_sampling": False},
    "eval": {"splits": ["id"], "num_problems": 2, "num_samples": 0},
}


def run(folder: Path, *allow: str, resume: bool = True, **sections: dict[str, Any]) -> str:
    """Train, with keys of sections changed; returns what the run printed."""
    data = {
        key: {**value, **sections.pop(key, {})} if isinstance(value, dict) else value
        for key, value in BASE.items()
    }
    out = io.StringIO()
    train(check_config({**data, **sections, "output_dir": str(folder)}), resume=resume, allow=allow, out=out)
    return out.getvalue()


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two updates."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    run(folder, resume=False)
    return folder


@pytest.fixture
def folder(begun: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(begun, tmp_path / "run"))


def rates(folder: Path) -> list[float]:
    return [row.metrics["learning_rate"] for row in metrics_log(folder).read() if row.stage is Stage.GRPO]


def test_another_learning_rate_and_schedule_hold_from_there_on(folder: Path) -> None:
    """The optimizer and schedule in the checkpoint hold the rate of before, and must not bring it back."""
    changes = {"updates": 6, "learning_rate": 4e-3, "lr_schedule": "linear", "weight_decay": 0.5}
    with pytest.raises(RunFolderError, match=r"learning_rate was 0\.001, is 0\.004"):
        run(folder, grpo=changes)
    said = run(folder, "grpo", grpo=changes)
    assert "changed: grpo.learning_rate was 0.001, is 0.004; allowed by --allow-change" in said.splitlines()
    # Linear from 4e-3 at update 0 to 0 at update 6.
    assert rates(folder) == pytest.approx([1e-3, 1e-3, *[4e-3 * (6 - done) / 6 for done in (2, 3, 4, 5)]])
    (entry,) = json.loads((folder / "provenance.json").read_text())["resumed"]
    assert entry["updates"] == {"grpo": 2}
    assert [change["key"] for change in entry["changed"]] == ["output_dir", *[f"grpo.{key}" for key in changes]]
    page = write_report(folder).read_text()
    assert "from update 2 of GRPO; output_dir was " in page
    assert "; grpo.updates was 2, is 6; grpo.learning_rate was 0.001, is 0.004; " in page


def test_the_same_rates_are_taken_up_bit_for_bit(begun: Path, folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    run(whole, resume=False, grpo={"updates": 4, "warmup_updates": 0})
    run(folder, grpo={"updates": 4})
    weights = [(path / "models" / "grpo" / "model.safetensors").read_bytes() for path in (whole, folder)]
    assert weights[0] == weights[1]
    assert rates(folder) == rates(whole)


def test_other_numbers_of_samples_and_problems(folder: Path) -> None:
    changes = {"updates": 4, "problems_per_update": 3}
    allow = ("grpo.problems_per_update", "rollout.samples_per_problem")
    run(folder, *allow, grpo=changes, rollout={"samples_per_problem": 4})
    sizes = [len(file.rows(tokens=False)) for file in trajectory_log(folder).files()]
    assert sizes == [4, 4, 12, 12]


def test_a_reward_that_reads_the_run_so_far_may_come_in(folder: Path) -> None:
    terms = [*BASE["rewards"]["terms"], {"name": "length_over_history", "weight": -0.1}]
    said = run(folder, "rewards.terms", grpo={"updates": 3}, rewards={"terms": terms})
    assert "changed: rewards.terms.length_over_history was not set" in said
    state = json.loads(next(folder.glob("checkpoints/grpo/checkpoint-3/stride_state.json")).read_text())
    assert state["history"]["update"] == 3


def test_other_rounding_is_said(folder: Path) -> None:
    said = run(folder, grpo={"updates": 3}, rollout={"max_rows": 1})
    assert "changed: rollout.max_rows was null, is 1; the run goes on, not bit for bit" in said.splitlines()
