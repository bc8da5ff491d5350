"""A run that is killed and resumed ends with the weights of one that was not.

The run is killed by SIGKILL in a process of its own, past a boundary of the trainer's data order (every update
is an epoch of its placeholder rows), and resumed from the last checkpoint.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from configs import load_config
from rl.runs.trajectories import during_log, trajectory_log
from rl.train import train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
name: resume
device: cpu
threads: 1
report_to: []
env:
  name: addition
  settings: {train: ["1_1"], ood_easy: ["2_1"], ood_hard: ["2_2"]}
policy:
  tiny: {hidden_size: 32, num_layers: 2, num_heads: 2, intermediate_size: 64, max_positions: 128}
warm_start: {updates: 24, num_problems: 60, batch_size: 8, learning_rate: 3.0e-3, save_every: 8}
rollout: {samples_per_problem: 4, max_prompt_tokens: 40, max_new_tokens: 40, threads: 1}
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
  learning_rate: 1.0e-3
  save_every: 4
  budget_frac: 0.5
eval: {splits: [id], num_problems: 4, num_samples: 0, every: 2, every_problems: 3}
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    config = folder.parent / "config.yaml"
    config.write_text(CONFIG)
    return subprocess.Popen(
        [sys.executable, "scripts/train.py", str(config), f"output_dir={folder}", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(folder: Path, *overrides: str, resume: bool = False) -> None:
    """Train in this process."""
    config = folder.parent / "config.yaml"
    config.write_text(CONFIG)
    train(load_config(config, [f"output_dir={folder}", *overrides]), resume=resume, out=io.StringIO())


def finish(process: subprocess.Popen[bytes]) -> None:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output.decode()


def wait_for(process: subprocess.Popen[bytes], folder: Path, stage: str, update: int) -> None:
    """Wait until the run has logged an update of a stage."""
    deadline = time.monotonic() + 240
    while not any(row["stage"] == stage and row["update"] >= update for row in rows(folder)):
        assert process.poll() is None, process.communicate()[0].decode()
        assert time.monotonic() < deadline, "the run did not get that far"
        time.sleep(0.02)


def kill_at(process: subprocess.Popen[bytes], folder: Path, stage: str, update: int) -> None:
    """SIGKILL the run once it has logged an update of a stage."""
    wait_for(process, folder, stage, update)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


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


@pytest.mark.parametrize(("stage", "update"), [("warm", 11), ("grpo", 7)])
def test_killed_and_resumed_equals_uninterrupted(
    uninterrupted: Path, tmp_path: Path, stage: str, update: int
) -> None:
    folder = tmp_path / "run"
    kill_at(start(folder), folder, stage, update)
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


@pytest.fixture(scope="module")
def sampled_ahead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ahead") / "run"
    finish(start(folder, *AHEAD))
    staleness = [row["staleness/max"] for row in rows(folder) if row["stage"] == "grpo"]
    assert staleness == [0] + [1] * 11
    return folder


def test_a_run_sampled_ahead_resumes_exactly(sampled_ahead: Path, tmp_path: Path) -> None:
    """Killed while actors sample for later updates, and made longer from an end where they were not."""
    folder = tmp_path / "run"
    kill_at(start(folder, *AHEAD, "grpo.updates=8"), folder, "grpo", 6)
    finish(start(folder, *AHEAD, "grpo.updates=8", "--resume"))
    finish(start(folder, *AHEAD, "--resume"))
    assert digest(folder, "grpo") == digest(sampled_ahead, "grpo")
    assert untimed_rows(folder) == untimed_rows(sampled_ahead)


def test_a_finished_run_can_be_made_longer(uninterrupted: Path, tmp_path: Path) -> None:
    """Eight updates, then `--resume` to twelve: the same as twelve at once."""
    folder = tmp_path / "run"
    run(folder, "grpo.updates=8")
    assert max(row["update"] for row in rows(folder) if row["stage"] == "grpo") == 8
    run(folder, resume=True)
    assert digest(folder, "grpo") == digest(uninterrupted, "grpo")
    assert untimed_rows(folder) == untimed_rows(uninterrupted)


def test_a_terminated_run_saves_releases_everything_and_says_how_to_resume(
    sampled_ahead: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(folder, *AHEAD)
    wait_for(process, folder, "grpo", 5)
    process.terminate()
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGTERM
    saved, stopped = output.decode().splitlines()[-2:]
    update = int(saved.removeprefix("GRPO: saved update ").partition(" ")[0])
    assert update >= 5 and stopped == f"stopped; --resume continues GRPO from update {update}"
    finish(start(folder, *AHEAD, "--resume"))
    assert digest(folder, "grpo") == digest(sampled_ahead, "grpo")
    assert untimed_rows(folder) == untimed_rows(sampled_ahead)


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


def test_the_end_is_a_checkpoint_without_save_every(uninterrupted: Path, tmp_path: Path) -> None:
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
