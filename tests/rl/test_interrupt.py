"""A run that a signal stops, wherever it is, saves its last update and ends as if it had not been stopped."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer

import rl.grpo.evaluations
from rl.grpo.trainer import StrideTrainer
from rl.runs.log import metrics_log
from rl.runs.record import Stage
from rl.runs.trajectories import during_log, trajectory_log
from rl.sft.trainer import WarmStartTrainer
from rl.trainer_callback import UpdateCallback
from rollout.pools.local import LocalPool
from rollout.source import GroupSource
from tests.kit.fork_server import Driver, ForkServer
from tests.kit.small_run import digests, start, train, untimed
from tests.kit.stuck_runs import STUCK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder)
    return folder


def send(call: int, function: Callable[..., Any], number: int = signal.SIGTERM) -> Callable[..., Any]:
    """The function, at whose n-th call this process gets a signal, before it does anything."""
    calls = iter(range(1, 1_000_000))

    def sends(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), number)
        return function(*args, **kwargs)

    return sends


# One start after the other: where a signal arrives (class, method, the call of it), what is said to be saved,
# and where the run is said to go on.
WARM, GRPO = "warm start: saved update ", "GRPO: saved update "
STARTS: dict[str, tuple[Any, str, int, str, str]] = {
    "before anything is saved": (WarmStartTrainer, "training_step", 1, "", "starts warm start at update 1"),
    "between two passes": (Accelerator, "backward", 6, f"{WARM}2 ", "warm start from update 2"),
    "in a step of the warm start": (AcceleratedOptimizer, "step", 1, f"{WARM}3 ", "warm start from update 3"),
    "in the evaluation of a stage": (LocalPool, "rollout", 1, "", "the evaluation of warm start"),
    "in the first sampling": (GroupSource, "next_update", 1, "", "starts GRPO at update 1"),
    "in sampling": (GroupSource, "next_update", 2, f"{GRPO}2 ", "GRPO from update 2"),
    "in an evaluation": (rl.grpo.evaluations, "evaluate", 1, f"{GRPO}3 ", "GRPO from update 3"),
    "in the same again": (rl.grpo.evaluations, "evaluate", 1, "", "GRPO from update 3"),
    "in a backward pass": (Accelerator, "backward", 2, f"{GRPO}4 ", "GRPO from update 4"),
    "in the optimizer step": (AcceleratedOptimizer, "step", 1, f"{GRPO}5 ", "GRPO from update 5"),
    "in the log": (UpdateCallback, "on_log", 1, "", "the evaluation of GRPO"),
    "in the last evaluation": (LocalPool, "rollout", 1, "", "the evaluation of GRPO"),
}


def test_stopped_and_resumed_again_and_again_equals_uninterrupted(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    for number, (owner, name, call, saved, goes_on) in enumerate(STARTS.values()):
        sent = (signal.SIGTERM, signal.SIGINT)[number % 2]
        with monkeypatch.context() as patched, pytest.raises(SystemExit) as ended:
            patched.setattr(owner, name, send(call, getattr(owner, name), sent))
            train(folder, *(["--resume"] if number else []))
        lines = capsys.readouterr().err.splitlines()
        assert ended.value.code == 128 + sent
        assert lines[-1].startswith("stopped; --resume ") and goes_on in lines[-1]
        said = [line for line in lines if ": saved update" in line or "could not" in line]
        assert [line[: len(saved)] for line in said] == [saved] * bool(saved)
    train(folder, "--resume")
    assert digests(folder) == digests(uninterrupted)
    assert untimed(folder) == untimed(uninterrupted)
    assert any(row.metrics["grad_norm"] > 0 for row in metrics_log(folder).read() if row.stage is Stage.GRPO)
    for log in (trajectory_log, during_log):
        assert log(folder).read() == log(uninterrupted).read() != []


def test_a_checkpoint_that_time_asks_for_changes_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(folder, "grpo.save_minutes=1e-9", "warm_start.save_minutes=1e-9", "grpo.keep_checkpoints=9")
    assert len(list((folder / "checkpoints" / "grpo").glob("checkpoint-*"))) == 6
    assert digests(folder) == digests(uninterrupted)


def test_what_cannot_be_saved_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StrideTrainer, "_save_optimizer_and_scheduler", full)
    monkeypatch.setattr(AcceleratedOptimizer, "step", send(6 + 2, AcceleratedOptimizer.step))
    with pytest.raises(SystemExit) as ended:
        train(tmp_path / "run")
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 128 + signal.SIGTERM
    assert lines[-2].startswith("GRPO: update 2 could not be saved: ") and "No space left" in lines[-2]
    assert lines[-1] == "stopped; --resume starts GRPO at update 1: nothing of it is saved"


def start_stuck(server: ForkServer, folder: Path, where: str, *arguments: str) -> Driver:
    """Start a run, and wait until it is stuck."""
    log = folder.with_suffix(".log")
    log.touch()
    driver = start(server, folder, *arguments, log=log, prepare=f"tests.kit.stuck_runs:{where}")
    deadline = time.monotonic() + 120
    while STUCK not in log.read_text().splitlines():
        assert driver.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return driver


def test_a_run_that_is_stuck_outside_python_is_saved_too(
    fork_server: ForkServer, uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    driver = start_stuck(fork_server, folder, "in_a_backward_pass")
    driver.send(signal.SIGTERM)
    code, said = driver.wait(60), folder.with_suffix(".log").read_text()
    assert code == 128 + signal.SIGTERM, said
    assert "GRPO: saved update " in said.splitlines()[-2] and "continues GRPO from update" in said
    train(folder, "--resume")
    assert digests(folder) == digests(uninterrupted)


def test_a_second_signal_ends_a_run_at_once(fork_server: ForkServer, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    driver = start_stuck(fork_server, folder, "in_a_save", "grpo.save_every=2")
    driver.send(signal.SIGTERM)
    time.sleep(0.6)
    assert driver.poll() is None  # still saving
    driver.send(signal.SIGINT)
    assert driver.wait(30) == 128 + signal.SIGINT
    assert Stage.GRPO not in {
        Stage(stage) for stage in json.loads((folder / "summary.json").read_text())["updates"]
    }
