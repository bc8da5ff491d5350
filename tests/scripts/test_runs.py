"""The table of `stride runs`, and that what it says to type works."""

from __future__ import annotations

import shlex
import signal
import time
from pathlib import Path

import pytest
from accelerate.optimizer import AcceleratedOptimizer

from rl.runs.record import Stage
from rl.runs.state import Condition, read_state
from scripts.cli import main
from tests.kit.runs_by_hand import traces, write_run
from tests.kit.small_run import train


def test_hundreds_of_runs_take_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(200):
        write_run(tmp_path / f"run{number:03}", {Stage.BASE: traces(2, num=2)}, updates=[{"loss": 0.1}] * 3)
    began = time.process_time()
    assert main(["runs", str(tmp_path)]) == 0
    assert time.process_time() - began < 20.0  # about 1 s on an idle core
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "state", "progress", "accuracy", "changed", "checkpoint"]
    row = next(line for line in lines if line.startswith(str(tmp_path / "run123")))
    assert row.split()[1:6] == ["interrupted", "GRPO", "3/4", "100.0", "%"]


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no run in {tmp_path}\n"
    with pytest.raises(SystemExit) as ended:
        main(["runs", str(tmp_path / "none")])
    assert ended.value.code == 2 and "there is no folder" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_that_goes_on_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "a run"
    with monkeypatch.context() as patched:

        def interrupts(*args: object) -> None:
            signal.raise_signal(signal.SIGTERM)

        patched.setattr(AcceleratedOptimizer, "step", interrupts)
        with pytest.raises(SystemExit):
            train(run)
    capsys.readouterr()
    assert main(["runs", str(tmp_path)]) == 0
    command = read_state(run).command
    assert f"  {command}    # continues warm start from update 1" in capsys.readouterr().out.splitlines()
    assert main(shlex.split(command)[1:]) == 0
    assert read_state(run).condition is Condition.ENDED
