"""Checkpoints are written whole, and verified before a run goes on from one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rl.runs.checkpoints import checkpoint_to_resume, checkpoints, find_fault, latest_checkpoint
from rl.runs.errors import RunFolderError
from rl.runs.record import Stage
from tests.kit.checkpoints import FILES, content, write_checkpoint
from tests.kit.damage import DAMAGES, damaged, put_back

STAGES = (Stage.WARM, Stage.GRPO)
WRITTEN = (*FILES, "stride_state.json", "stride_manifest.json")
ROOT = Path(__file__).resolve().parents[3]


def resume(run: Path, stage: Stage = Stage.GRPO) -> tuple[str, str]:
    """The checkpoint to go on from, and what was said."""
    said: list[str] = []
    path = checkpoint_to_resume(run, stage, said.append)
    return ("" if path is None else path.name), "\n".join(said)


def names(run: Path, stage: Stage = Stage.GRPO) -> list[str]:
    return sorted(path.name for path in checkpoints(run, stage).iterdir())


def strip_manifest(path: Path) -> Path:
    """Make a checkpoint one of a version without manifests, with files of PyTorch's and safetensors'."""
    import torch
    from safetensors.torch import save_file

    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"state": torch.arange(9)}, path / name)
    save_file({"weight": torch.arange(9.0)}, path / "model.safetensors")
    for name in ("config.json", "tokenizer.json", "trainer_state.json"):
        (path / name).write_text("{}")
    (path / "stride_manifest.json").unlink()
    (path / "stride_state.json").write_text('{"update": 12, "cursor": 120}')
    return path


@pytest.mark.parametrize("stage", STAGES)
def test_the_newest_is_used_and_the_last_ones_are_kept(stage: Stage, tmp_path: Path) -> None:
    assert resume(tmp_path, stage) == ("", "") and latest_checkpoint(tmp_path, stage) is None
    for update in (2, 9, 10, 11):
        path = write_checkpoint(tmp_path, stage, update, keep=2)
    assert names(tmp_path, stage) == ["checkpoint-10", "checkpoint-11"]
    assert sorted(file.name for file in path.iterdir()) == sorted(WRITTEN)
    state = json.loads((path / "stride_state.json").read_text())
    assert (state["update"], state["cursor"]) == (11, 110)
    assert resume(tmp_path, stage) == ("checkpoint-11", "")
    assert latest_checkpoint(tmp_path, stage) == path


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_found_and_the_checkpoint_before_is_used(damage: str, tmp_path: Path) -> None:
    """Every file, at three places; each is named, and kept."""
    before = write_checkpoint(tmp_path, Stage.GRPO, 8)
    newest = write_checkpoint(tmp_path, Stage.GRPO, 12)
    for name in WRITTEN:
        whole = (newest / name).read_bytes()
        for where in (0.0, 0.5, 1.0):
            assert damaged(damage, newest / name, before, where)
            used, said = resume(tmp_path)
            assert (used, names(tmp_path)) == ("checkpoint-8", ["checkpoint-12.damaged", "checkpoint-8"]), name
            assert said.startswith("GRPO: checkpoint-12 is damaged: ")
            # Where the manifest is another one, it is a file that it lists that differs.
            assert name in said or (name == "stride_manifest.json" and damage in ("flip", "swap"))
            newest.with_name("checkpoint-12.damaged").rename(newest)
            put_back(newest / name, whole)


def test_what_is_found_is_said(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, Stage.GRPO, 8)
    newest = write_checkpoint(tmp_path, Stage.GRPO, 12)
    (newest / "optimizer.pt").write_bytes(content("optimizer.pt", 13))
    _, said = resume(tmp_path)
    # sha256sum of "optimizer.pt after 13\n" and "optimizer.pt after 12\n", each twenty times
    assert said == (
        "GRPO: checkpoint-12 is damaged: optimizer.pt has SHA-256 37556365c62d..., not 53a790b24840...; kept "
        "as checkpoint-12.damaged, checkpoint-8 is used instead"
    )
    # Sizes are all that is compared where nothing is read.
    write_checkpoint(tmp_path, Stage.GRPO, 12)
    (newest / "optimizer.pt").write_bytes(content("optimizer.pt", 13))
    assert find_fault(newest, hashes=False) == "" != find_fault(newest)


def test_a_run_never_starts_over_silently(tmp_path: Path) -> None:
    for update in (8, 12):
        (write_checkpoint(tmp_path, Stage.GRPO, update) / "optimizer.pt").unlink()
    faults = r"checkpoint-12 \(optimizer.pt is missing\), checkpoint-8 \(optimizer.pt is missing\)"
    with pytest.raises(RunFolderError, match=rf"no checkpoint of GRPO in .* can be used: {faults}; put back a"):
        resume(tmp_path)
    assert names(tmp_path) == ["checkpoint-12", "checkpoint-8"]  # where the run looks again
    shutil.rmtree(checkpoints(tmp_path, Stage.GRPO) / "checkpoint-8")
    (checkpoints(tmp_path, Stage.GRPO) / "checkpoint-12").rename(tmp_path / "x")
    (tmp_path / "x").rename(checkpoints(tmp_path, Stage.GRPO) / "checkpoint-12.damaged")
    with pytest.raises(RunFolderError, match=r"can be used: checkpoint-12.damaged; put back a copy of one, or"):
        resume(tmp_path)
    shutil.rmtree(checkpoints(tmp_path, Stage.GRPO))
    assert resume(tmp_path) == ("", "")


def test_a_checkpoint_of_another_update_is_found(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, Stage.GRPO, 4)
    write_checkpoint(tmp_path, Stage.GRPO, 8).rename(checkpoints(tmp_path, Stage.GRPO) / "checkpoint-12")
    used, said = resume(tmp_path)
    assert used == "checkpoint-4" and "checkpoint-12 is damaged: it is the checkpoint of update 8;" in said


def test_a_damaged_checkpoint_does_not_take_the_place_of_another(tmp_path: Path) -> None:
    """Damaged, repeated, and damaged again: both are kept, and count for nothing."""
    for _ in range(2):
        write_checkpoint(tmp_path, Stage.GRPO, 8, keep=1)
        (write_checkpoint(tmp_path, Stage.GRPO, 12, keep=2) / "optimizer.pt").unlink()
        assert resume(tmp_path)[0] == "checkpoint-8"
    # Written over one that is damaged, and left alone where it verifies.
    path = write_checkpoint(tmp_path, Stage.GRPO, 12, keep=2)
    (path / "optimizer.pt").unlink()
    write_checkpoint(tmp_path, Stage.GRPO, 12, keep=2)
    written = path.stat().st_ino
    assert write_checkpoint(tmp_path, Stage.GRPO, 12, keep=2).stat().st_ino == written
    damaged = ["checkpoint-12.damaged", "checkpoint-12.damaged-2", "checkpoint-12.damaged-3"]
    assert names(tmp_path) == ["checkpoint-12", *damaged, "checkpoint-8"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_of_an_older_version_is_used_if_it_looks_whole(stage: Stage, tmp_path: Path) -> None:
    path = strip_manifest(write_checkpoint(tmp_path, stage, 12))
    if stage is Stage.WARM:
        (path / "stride_state.json").unlink()
    used, said = resume(tmp_path, stage)
    assert used == "checkpoint-12"
    assert said.endswith(
        "checkpoint-12 is of an older version, without stride_manifest.json; it is used unverified"
    )
    whole = tmp_path / "whole"
    shutil.copytree(path, whole)
    for name in sorted(
        file.name for file in path.iterdir() if file.name not in ("config.json", "tokenizer.json")
    ):
        for damage in ("lose", "truncate", "empty"):
            DAMAGES[damage](path / name, path, 0.5)
            with pytest.raises(RunFolderError, match=rf"{name} is (missing|damaged)"):
                resume(tmp_path, stage)
            shutil.copy(whole / name, path / name)
    assert resume(tmp_path, stage)[0] == "checkpoint-12"


@pytest.mark.slow
def test_a_kill_at_any_change_of_the_file_system_leaves_the_old_set_or_the_new_one(tmp_path: Path) -> None:
    """A third checkpoint is saved after two, by a process that is killed before each change it makes."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.kit.killed_save", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for keep, tries in json.loads(process.stdout).items():
        assert len(tries) > 12 and tries[-1]["left"] == tries[-1]["cleaned"]
        states = [(["checkpoint-4", "checkpoint-8"] if keep == "2" else ["checkpoint-8"], "checkpoint-8")]
        states += [(["checkpoint-12", "checkpoint-8"], "checkpoint-12")]  # not rotated yet
        states += [(["checkpoint-12"], "checkpoint-12")] if keep == "1" else []
        states += [(["checkpoint-12", "checkpoint-4", "checkpoint-8"], "checkpoint-12")] if keep == "2" else []
        for found in tries:
            assert (found["cleaned"], found["resumed"]) in states and found["said"] == []
        # The kills met each state of the disk.
        assert {found["resumed"] for found in tries} == {"checkpoint-8", "checkpoint-12"}
        assert any("checkpoint-12.tmp" in found["left"] for found in tries)
