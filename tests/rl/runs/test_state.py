"""What has become of a run, as its folder tells."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from rl.runs.errors import RunFolderError
from rl.runs.lock import lock_folder, lock_holder, sign_lock
from rl.runs.log import read_summary
from rl.runs.record import Stage
from rl.runs.state import Condition, describe_next, find_runs, read_state
from tests.kit.checkpoints import write_checkpoint
from tests.kit.runs_by_hand import traces, write_run, write_summary

BASE = {Stage.BASE: traces(2)}
WARM = {**BASE, Stage.WARM: traces(5)}
ENDED = {**WARM, Stage.GRPO: traces(7)}


def make(folder: Path, stages: dict[Stage, list], *, trained: dict[Stage, int], updates: int = 0) -> Path:
    """A run with stages that were evaluated, updates that were trained and updates of GRPO that were logged."""
    write_run(folder, stages, updates=[{"loss": 0.1}] * updates)
    write_summary(folder, replace(read_summary(folder), updates=trained))
    return folder


def test_a_run_that_has_ended(tmp_path: Path) -> None:
    run = make(tmp_path / "run", ENDED, trained={Stage.WARM: 10, Stage.GRPO: 4}, updates=4)
    write_checkpoint(run, Stage.GRPO, 4)
    state = read_state(run)
    assert (state.condition, state.stage, state.update, state.updates) == (Condition.ENDED, Stage.GRPO, 4, 4)
    assert (state.accuracy, state.split, state.command, state.faults) == (0.7, "id", "", ())
    assert describe_next(run) == f"the run in {run} is finished"


@pytest.mark.parametrize(
    ("stages", "trained", "saved", "goes_on"),
    [
        ({}, {}, [], "evaluates the base model first"),
        (BASE, {}, [], "starts warm start at update 1: nothing of it is saved"),
        (BASE, {}, [(Stage.WARM, 8)], "continues warm start from update 8"),
        (BASE, {Stage.WARM: 10}, [(Stage.WARM, 10)], "goes on with the evaluation of warm start"),
        (WARM, {Stage.WARM: 10}, [(Stage.WARM, 10)], "starts GRPO at update 1: nothing of it is saved"),
        (WARM, {Stage.WARM: 10}, [(Stage.GRPO, 2), (Stage.GRPO, 3)], "continues GRPO from update 3"),
    ],
)
def test_where_a_run_goes_on(
    stages: dict, trained: dict, saved: list[tuple[Stage, int]], goes_on: str, tmp_path: Path
) -> None:
    run = make(tmp_path / "my run", stages, trained=trained)
    paths = [write_checkpoint(run, stage, update) for stage, update in saved]
    state = read_state(run)
    assert (state.condition, state.next, state.checkpoint) == (
        Condition.INTERRUPTED,
        goes_on,
        paths[-1] if paths else None,
    )
    assert shlex.split(state.command) == [
        *("stride", "train", f"{run}/config.yaml", f"output_dir={run}", "--resume"),
    ]
    assert describe_next(run) == f"--resume {goes_on}"


def test_a_run_is_running_while_its_lock_is_held(tmp_path: Path) -> None:
    run = make(tmp_path / "run", WARM, trained={Stage.WARM: 10}, updates=3)
    assert lock_holder(run) is None
    lock = lock_folder(run, key="output_dir")
    sign_lock(lock)
    state = read_state(run)
    assert (state.condition, state.update, state.command) == (Condition.RUNNING, 3, "")
    assert state.holder.startswith("process ") and " since " in state.holder
    lock.close()
    assert lock_holder(run) is None and read_state(run).condition is Condition.INTERRUPTED
    lock_folder(run, key="output_dir").close()  # looking has left nothing locked


def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path) -> None:
    run = make(tmp_path / "run", WARM, trained={Stage.WARM: 10}, updates=4)
    write_checkpoint(run, Stage.GRPO, 2)
    bad = write_checkpoint(run, Stage.GRPO, 3)
    (bad / "stride_state.json").write_text('{"update": 3')
    state = read_state(run)
    assert state.condition is Condition.INTERRUPTED and state.next == "continues GRPO from update 2"
    assert (
        len(state.faults) == 1 and "checkpoint-3" in state.faults[0] and "stride_state.json" in state.faults[0]
    )
    assert bad.is_dir()  # looking changes nothing


def test_a_changed_byte_is_found_where_it_is_asked_for(tmp_path: Path) -> None:
    run = make(tmp_path / "run", WARM, trained={Stage.WARM: 10}, updates=4)
    write_checkpoint(run, Stage.GRPO, 2)
    weights = write_checkpoint(run, Stage.GRPO, 3) / "model.safetensors"
    weights.write_bytes(b"!" + weights.read_bytes()[1:])
    assert read_state(run).next == "continues GRPO from update 3"
    state = read_state(run, verify=True)
    assert state.next == "continues GRPO from update 2" and "model.safetensors" in state.faults[0]


@pytest.mark.parametrize("damage", ["config.yaml", "checkpoint"])
def test_a_run_that_cannot_go_on_is_damaged(damage: str, tmp_path: Path) -> None:
    run = make(tmp_path / "run", WARM, trained={Stage.WARM: 10}, updates=4)
    path = (
        write_checkpoint(run, Stage.GRPO, 2) / "stride_state.json" if damage == "checkpoint" else run / damage
    )
    path.write_text('{"update": \n')
    state = read_state(run)
    assert (state.condition, state.command) == (Condition.DAMAGED, "")
    assert len(state.faults) == 1 and path.name in state.faults[0]
    assert describe_next(run).startswith(f"the run in {run} cannot be continued as it is: ")


@pytest.mark.parametrize("damage", ["summary.json", "metrics.jsonl"])
def test_a_run_that_resuming_mends_can_go_on(damage: str, tmp_path: Path) -> None:
    run = make(tmp_path / "run", WARM, trained={Stage.WARM: 10}, updates=4)
    (run / damage).write_text('{"update": \n')
    state = read_state(run)
    assert state.condition is Condition.INTERRUPTED and state.command.endswith("--resume")
    assert len(state.faults) == 1 and damage in state.faults[0]
    assert describe_next(run) == "--resume sets what is damaged aside and goes on with what is left"


def test_a_stage_whose_checkpoint_is_gone_is_damaged(tmp_path: Path) -> None:
    """It was trained, and would be started over."""
    run = make(tmp_path / "run", WARM, trained={Stage.WARM: 10, Stage.GRPO: 2})
    assert read_state(run).condition is Condition.DAMAGED


def test_runs_are_found_at_any_depth(tmp_path: Path) -> None:
    for name in ("b", "ablation/one", "ablation/two", "ablation/.tune/no", "b/checkpoints/none"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("b", "ablation/one", "ablation/two", "ablation/.tune/no"):
        (tmp_path / name / "config.yaml").write_text("")
        (tmp_path / name / ".lock").touch()
    (tmp_path / "config.yaml").touch()  # the user's own
    assert find_runs(tmp_path) == [tmp_path / name for name in ("ablation/one", "ablation/two", "b")]
    assert find_runs(tmp_path / "b") == [tmp_path / "b"]
    with pytest.raises(RunFolderError, match="there is no folder"):
        find_runs(tmp_path / "c")
