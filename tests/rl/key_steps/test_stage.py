"""The stage in a run: its place among the others, its files, and that it goes on where it was stopped."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accelerate.optimizer import AcceleratedOptimizer

from rl.key_steps.trainer import KeyStepsTrainer
from rl.runs.log import metrics_log, read_summary
from rl.runs.models import find_trained
from rl.runs.read import read_run
from rl.runs.record import Stage
from rl.runs.state import Condition, read_state
from tests.kit.small_run import train, untimed

pytestmark = pytest.mark.slow

STAGE = (
    "key_steps.updates=3",
    "key_steps.num_problems=16",
    "key_steps.batch_size=4",
    "key_steps.micro_batch_size=2",
    "key_steps.num_samples=2",
    "key_steps.learning_rate=1e-3",
    "warm_start.updates=2",
    "grpo.updates=2",
    "eval.every=null",
)


def digests(folder: Path) -> list[str]:
    files = [folder / "models" / name / "model.safetensors" for name in ("warm", "key_steps", "grpo")]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder, *STAGE)
    return folder


def test_it_stands_between_warm_start_and_grpo(whole: Path) -> None:
    summary = read_summary(whole)
    assert list(summary.stages) == [*Stage]
    assert summary.updates == {Stage.WARM: 2, Stage.KEY_STEPS: 3, Stage.GRPO: 2}
    assert len(set(digests(whole))) == 3
    rows = metrics_log(whole).read()
    assert [(row.stage, row.update) for row in rows] == [
        *[(Stage.WARM, number) for number in (1, 2)],
        *[(Stage.KEY_STEPS, number) for number in (1, 2, 3)],
        *[(Stage.GRPO, number) for number in (1, 2)],
    ]
    figures = rows[2].metrics
    assert figures["key/right_nll"] > 0 and 0 < figures["key_lines/right/line_precision"] <= 1
    assert (whole / "eval" / "key_steps.jsonl").is_file()
    assert read_run(whole).before_after("id") == (Stage.KEY_STEPS, Stage.GRPO)
    assert find_trained(whole / "models" / "key_steps").stage is Stage.KEY_STEPS
    page = (whole / "report.html").read_text()
    for words in ("key steps: 3 updates", "Edit distance: key lines found (recall)", "Time training key steps"):
        assert words in page


def signals_at(call: int, function: Any) -> Any:
    calls: Iterator[int] = iter(range(1, 1000))

    def sends(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            signal.raise_signal(signal.SIGTERM)
        return function(*args, **kwargs)

    return sends


def test_stopped_and_resumed_equals_uninterrupted(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    starts = [
        # In the second pass of the second update: the first update is saved.
        (
            KeyStepsTrainer,
            "compute_loss",
            4,
            "key steps: saved update 1 ",
            "continues key steps from update 1",
        ),
        (AcceleratedOptimizer, "step", 2, "", "goes on with the evaluation of key steps"),
    ]
    for number, (owner, name, call, saved, goes_on) in enumerate(starts):
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            patched.setattr(owner, name, signals_at(call, getattr(owner, name)))
            train(folder, *STAGE, *(["--resume"] if number else []))
        lines = capsys.readouterr().err.splitlines()
        assert goes_on in lines[-1]
        assert not saved or any(line.startswith(saved) for line in lines)
        state = read_state(folder)
        assert state.condition is Condition.INTERRUPTED and state.stage is Stage.KEY_STEPS
        assert state.checkpoint is not None and state.checkpoint.parent.name == "key_steps"
        assert (state.update, state.updates) == ((1, 3), (3, 3))[number]
    train(folder, *STAGE, "--resume")
    assert digests(folder) == digests(whole)
    assert untimed(folder) == untimed(whole)


def test_what_was_trained_does_not_change(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without = [argument for argument in STAGE if not argument.startswith("key_steps")]
    for arguments, why in (
        ((*STAGE, "key_steps.beta=0.1"), "key steps have been trained"),
        (without, "whether there is a stage of key steps is part of what the run is"),
    ):
        with pytest.raises(SystemExit):
            train(whole, *arguments, "--resume")
        assert why in capsys.readouterr().err
