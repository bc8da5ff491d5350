"""Runs whose files were damaged go on as if they had not been, or say in one line why they cannot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rl.models.files import PolicyError
from rl.runs.checkpoints import checkpoints
from rl.runs.errors import RunFolderError
from rl.runs.record import Stage
from tests.kit import chaos_disk
from tests.kit.damage import flip
from tests.kit.damaged_runs import train_in, weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of its warm start (4, 8) and of GRPO (4, 6)."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train_in(folder)
    return folder


def copied(run: Path, folder: Path) -> Path:
    shutil.copytree(run, folder / "run")
    return folder / "run"


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(finished: Path, tmp_path: Path) -> None:
    """Without its optimizer, the newest checkpoint would be trained on with other weights at the end."""
    whole, run = copied(finished, tmp_path / "whole"), copied(finished, tmp_path)
    (checkpoints(run, Stage.GRPO) / "checkpoint-6" / "optimizer.pt").unlink()
    shutil.rmtree(run / "models" / "warm")  # written again from the checkpoint of its last update
    train_in(whole, "grpo.updates=8", resume=True)
    said = train_in(run, "grpo.updates=8", resume=True)
    line = (
        "GRPO: checkpoint-6 is damaged: optimizer.pt is missing; kept as checkpoint-6.damaged, checkpoint-4 is"
    )
    assert line in said
    assert "warm start: continuing from update 8" in said and "GRPO: continuing from update 4" in said
    for model in ("warm", "grpo", "best"):
        assert weights(run, f"models/{model}") == weights(whole, f"models/{model}")
    kept = sorted(path.name for path in checkpoints(run, Stage.GRPO).iterdir())
    assert kept == ["checkpoint-6", "checkpoint-6.damaged", "checkpoint-8"]


def test_a_damaged_model_is_named(finished: Path, tmp_path: Path) -> None:
    """The model of the warm start is what GRPO begins with and is held to."""
    run = copied(finished, tmp_path)
    flip(run / "models" / "warm" / "model.safetensors", run, 0.9)
    named = (
        r"models/warm' is damaged: model.safetensors has SHA-256 .* written again by --resume once the folder"
    )
    with pytest.raises(PolicyError, match=named):
        train_in(run, "grpo.updates=8", resume=True)


def test_a_stage_without_model_and_checkpoints_does_not_start_over(finished: Path, tmp_path: Path) -> None:
    run = copied(finished, tmp_path)
    shutil.rmtree(run / "models" / "warm")
    shutil.rmtree(checkpoints(run, Stage.WARM))
    with pytest.raises(RunFolderError, match="warm start was trained for 8 updates, but neither its model"):
        train_in(run, "grpo.updates=8", resume=True)


def test_a_full_disk_ends_a_run_with_one_line_and_nothing_lost() -> None:
    """One place inside a save, and one between two saves; twenty by `make test-chaos`."""
    for found in chaos_disk.run(0.05):
        assert found.size == 1 and found.failures == ()
