"""A run that is killed and resumed ends with the weights of one that was not.

The run is killed by SIGKILL in a process of its own, past a boundary of the trainer's data order (every update
is an epoch of its placeholder rows), and resumed from the last checkpoint.
"""

from __future__ import annotations

import hashlib
import io
import json
import signal
import time
from pathlib import Path

import pytest

from configs import load_config
from rl.runs.trajectories import during_log, trajectory_log
from rl.train import train
from tests.kit.fork_server import Driver, ForkServer
from tests.kit.tiny_config import write_tiny

pytestmark = pytest.mark.slow

CHANGES = """
policy: {tiny: {positions: lines, line_window: 3}}
warm_start:
  {updates: 24, num_problems: 60, batch_size: 8, learning_rate: 3.0e-3, save_every: 8, position_jumps: 20}
rewards:
  terms:
    - {name: correct, weight: 1.0}
    - {name: format, weight: 0.2}
    - {name: step_count, weight: -0.3, gate: correct}
    # What these pay hangs on all updates before.
    - {name: length_over_history, weight: -0.1}
    - {name: within_target_length, weight: 0.1}
    - {name: token_count, weight: -0.1, when: {off_best: 0.02}, schedule: {0: 0.5, 12: 1}}
grpo:
  updates: 12
  problems_per_update: 4
  micro_batch_tokens: 200
  num_iterations: 2
  save_every: 4
  budget_frac: 0.5
eval: {every: 2, every_problems: 3}
"""


def start(server: ForkServer, folder: Path, *arguments: str) -> Driver:
    """Train in a process of its own."""
    return server.train(
        [str(write_config(folder)), f"output_dir={folder}", *arguments], log=folder.with_suffix(".log")
    )


def run(folder: Path, *overrides: str, resume: bool = False) -> None:
    """Train in this process."""
    config = load_config(write_config(folder), [f"output_dir={folder}", *overrides])
    train(config, resume=resume, out=io.StringIO())


def write_config(folder: Path) -> Path:
    return write_tiny(folder.parent / "config.yaml", CHANGES)


def finish(driver: Driver, folder: Path) -> None:
    assert driver.wait(240) == 0, said(folder)


def said(folder: Path) -> str:
    """What the processes of a run have printed."""
    return folder.with_suffix(".log").read_text()


def wait_for(driver: Driver, folder: Path, stage: str, update: int) -> None:
    """Wait until the run has logged an update of a stage."""
    deadline = time.monotonic() + 240
    while not any(row["stage"] == stage and row["update"] >= update for row in rows(folder)):
        assert driver.poll() is None, said(folder)
        assert time.monotonic() < deadline, "the run did not get that far"
        time.sleep(0.02)


def kill_at(driver: Driver, folder: Path, stage: str, update: int) -> None:
    """SIGKILL the run once it has logged an update of a stage."""
    wait_for(driver, folder, stage, update)
    driver.send(signal.SIGKILL)
    assert driver.wait(60) == -signal.SIGKILL, said(folder)


def rows(folder: Path) -> list[dict]:
    path = folder / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def digest(folder: Path, stage: str, name: str = "model") -> str:
    return hashlib.sha256((folder / "models" / stage / f"{name}.safetensors").read_bytes()).hexdigest()


def untimed_rows(folder: Path) -> list[tuple]:
    """The logged rows without their timings."""
    keys = (
        "stage",
        "update",
        "loss",
        "reward",
        "accuracy",
        "cursor",
        "tokens/mean",
        "grad_norm",
        "eval_id/tokens",
    )
    return [tuple(row.get(key) for key in keys) for row in rows(folder)]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(folder)
    return folder


def test_killed_and_resumed_equals_uninterrupted(
    fork_server: ForkServer, uninterrupted: Path, tmp_path: Path
) -> None:
    """Killed in the warm start, and in GRPO."""
    folder = tmp_path / "run"
    kill_at(start(fork_server, folder), folder, "warm", 11)
    assert not (folder / "models" / "warm").exists()
    kill_at(start(fork_server, folder, "--resume"), folder, "grpo", 7)
    assert not (folder / "models" / "grpo").exists()
    run(folder, resume=True)
    for trained in ("warm", "grpo", "best"):
        assert digest(folder, trained) == digest(uninterrupted, trained)
    state_file = "checkpoints/grpo/checkpoint-12/stride_state.json"
    states = [json.loads((path / state_file).read_text()) for path in (folder, uninterrupted)]
    assert states[0] == states[1] and states[0]["history"]["update"] == 12
    assert untimed_rows(folder) == untimed_rows(uninterrupted)
    for log in (trajectory_log, during_log):
        assert log(folder).read() == log(uninterrupted).read() != []
    one, two = (json.loads((f / "summary.json").read_text())["stages"] for f in (folder, uninterrupted))
    assert one == two


AHEAD = (
    "rollout.backend=ray",
    "rollout.max_staleness=1",
    "rollout.num_actors=1",
    "rollout.cpus_per_actor=0.5",
    "grpo.num_iterations=1",
)


def test_a_run_sampled_ahead_resumes_exactly(fork_server: ForkServer, tmp_path: Path) -> None:
    """Stopped and killed while actors sample for later updates; made longer from an end where they do not."""
    whole, folder = tmp_path / "whole", tmp_path / "run"
    finish(start(fork_server, whole, *AHEAD), whole)
    staleness = [row["staleness/max"] for row in rows(whole) if row["stage"] == "grpo"]
    assert staleness == [0] + [1] * 11

    stopped = start(fork_server, folder, *AHEAD, "grpo.updates=8")
    wait_for(stopped, folder, "grpo", 3)
    stopped.send(signal.SIGTERM)
    assert stopped.wait(240) == 128 + signal.SIGTERM, said(folder)
    saved, how = said(folder).splitlines()[-2:]
    update = int(saved.removeprefix("GRPO: saved update ").partition(" ")[0])
    assert update >= 3 and how == f"stopped; --resume continues GRPO from update {update}"
    kill_at(start(fork_server, folder, *AHEAD, "grpo.updates=8", "--resume"), folder, "grpo", 6)
    finish(start(fork_server, folder, *AHEAD, "grpo.updates=8", "--resume"), folder)
    finish(start(fork_server, folder, *AHEAD, "--resume"), folder)
    assert digest(folder, "grpo") == digest(whole, "grpo")
    assert untimed_rows(folder) == untimed_rows(whole)


LORA = ("policy.lora={r: 4, alpha: 8}", "grpo.num_iterations=1", "grpo.save_every=2", "grpo.updates=6")


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_an_adapter_resumes_exactly(tmp_path: Path, beta: float) -> None:
    """With a KL term the model has a second adapter, the reference, which is no part of a checkpoint."""
    whole, folder = tmp_path / "whole", tmp_path / "run"
    overrides = (*LORA, f"grpo.beta={beta}")
    run(whole, *overrides)
    run(folder, *overrides, "grpo.updates=4")
    assert not (folder / "checkpoints" / "grpo" / "checkpoint-4" / "ref").exists()
    run(folder, *overrides, resume=True)
    for stage in ("warm", "grpo"):
        assert digest(folder, stage, "adapter_model") == digest(whole, stage, "adapter_model")
    assert untimed_rows(folder) == untimed_rows(whole)
    assert digest(folder, "warm", "adapter_model") != digest(folder, "grpo", "adapter_model")


def test_a_finished_run_can_be_made_longer(uninterrupted: Path, tmp_path: Path) -> None:
    """Six updates, then `--resume` to twelve: as twelve at once, with a checkpoint at the end alone."""
    folder = tmp_path / "run"
    every = ("warm_start.save_every=null", "grpo.save_every=null")
    run(folder, *every, "grpo.updates=6")
    # As if the run had been killed while the model after GRPO was evaluated.
    summary = json.loads((folder / "summary.json").read_text())
    del summary["stages"]["grpo"]
    (folder / "summary.json").write_text(json.dumps(summary))
    evaluated = digest(folder, "grpo")
    run(folder, *every, "grpo.updates=6", resume=True)
    assert digest(folder, "grpo") == evaluated
    run(folder, *every, resume=True)
    for stage in ("warm", "grpo"):
        assert digest(folder, stage) == digest(uninterrupted, stage)
    assert untimed_rows(folder) == untimed_rows(uninterrupted)
