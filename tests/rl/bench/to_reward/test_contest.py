"""Both contestants at toy size: they start from the same weights, and measuring changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from configs import Config
from rl.bench.to_reward.contest import Contest, train_stride, train_trl, warm_start
from rl.bench.to_reward.curve import Duel, Point
from rl.bench.to_reward.judge import Clock, Judge
from rl.bench.to_reward.report import as_json, as_table
from rl.bench.to_reward.tasks import task_config
from rl.build import build_policy
from rl.parts import Parts, build_parts
from scripts.bench import main

pytestmark = pytest.mark.slow

Weights = dict[str, torch.Tensor]
START = Point(update=0, seconds=0.0, reward=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("to_reward")


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Config, Parts, Path]:
    """A config, its parts and the folder of its warm start."""
    config = task_config("addition", folder, seed=0, threads=1, updates=2, tiny=True)
    parts = build_parts(config)
    return config, parts, warm_start(config, parts)


class Ends(Clock):
    """Keeps the weights before and after the training."""

    first: Weights
    last: Weights

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.first = copied(model)
        super().on_train_begin(args, state, control, **kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.last = copied(model)


def copied(model: torch.nn.Module) -> Weights:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


def equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(name: str, made: tuple[Config, Parts, Path], judge: Judge, *, every: int) -> Ends:
    config, parts, warm = made
    clock = Ends(judge, START, every=every, is_over=lambda points: points[-1].update >= 2)
    if name == "stride":
        train_stride(config, parts, warm, clock)
    else:
        train_trl(config, parts, warm, clock, rows=8, updates=2)
    return clock


def test_both_start_from_the_same_weights_and_measuring_changes_nothing(
    made: tuple[Config, Parts, Path],
) -> None:
    config, parts, warm = made
    policy = build_policy(config, parts, warm)
    judge = Judge(config, parts, policy, num_problems=12)
    start = judge.reward(policy.model)
    for name in ("stride", "trl"):
        measured, alone = (trained(name, made, judge, every=every) for every in (1, 9))
        assert equal(measured.first, copied(policy.model)), name
        assert not equal(measured.last, measured.first), name
        assert equal(measured.last, alone.last), name
        assert [point.update for point in measured.points] == [0, 1, 2]
        seconds = [point.seconds for point in measured.points]
        assert 0.0 == seconds[0] < seconds[1] < seconds[2]
    assert judge.reward(policy.model) == start  # whatever it has judged since
    judge.close()

    weights = warm / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert warm_start(config, parts) == warm
    assert weights.stat().st_mtime_ns == written


class Slow:
    """A judge that takes 100 s of a clock of its own; an update takes 2 s."""

    def __init__(self) -> None:
        self.now = 0.0

    def reward(self, model: torch.nn.Module) -> float:
        self.now += 100.0
        return 0.25

    def close(self) -> None: ...


def test_measuring_is_outside_the_time(tmp_path: Path) -> None:
    judge: Any = Slow()
    clock = Clock(
        judge, START, every=2, clock=lambda: judge.now, is_over=lambda points: points[-1].seconds >= 8
    )
    arguments, state, control = TrainingArguments(output_dir=str(tmp_path)), TrainerState(), TrainerControl()
    clock.on_train_begin(arguments, state, control)
    while not control.should_training_stop:
        state.global_step += 1
        judge.now += 2.0
        clock.on_step_end(arguments, state, control, model=torch.nn.Identity())
    assert clock.points == [START, *(Point(update=n, seconds=2.0 * n, reward=0.25) for n in (2, 4))]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Rewards in the order in which they are measured: the warm start, Stride's, TRL's."""

    def script(rewards: list[float]) -> None:
        values: Iterator[float] = iter(rewards)
        monkeypatch.setattr(Judge, "reward", lambda self, model: next(values))

    return script


def run_script(folder: Path, *more: str) -> dict[str, Any]:
    arguments = ["to_reward", "--tiny", "--tasks", "addition", "--seeds", "0", "--updates", "2", "--every", "1"]
    arguments += ["--judged-on", "4", "--threads", "1", "--share", "0.5", "--folder", str(folder)]
    arguments += ["--json", str(folder / "figures.json"), "--plot", str(folder / "curves.svg")]
    assert main([*arguments, *more]) == 0
    kept: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    return kept


def test_the_script_prints_the_ratio_and_draws_the_curves(
    made: Any, folder: Path, scripted: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted([0.0, 0.4, 0.5, 0.1, 0.2])  # from 0 to a mean of 0.3: the target is 0.15
    kept = run_script(folder, "--patience", "400")
    machine, header, _, row, median = capsys.readouterr().out.splitlines()
    assert machine.endswith(", 1 threads") and machine.startswith(kept["cpu"])
    assert header.split()[-3:] == ["Stride", "/", "TRL"]
    (figure,) = kept["to_reward"]
    assert figure["target"] == pytest.approx(0.15)
    assert figure["stride_to"]["update"] == pytest.approx(0.375)
    assert figure["trl_to"]["update"] == pytest.approx(1.5)
    assert not figure["is_bound"]
    assert figure["ratio"] == pytest.approx(figure["stride_to"]["seconds"] / figure["trl_to"]["seconds"])
    assert row.startswith("addition  0") and row.endswith(f"{figure['ratio']:.3f}")
    assert median.startswith("addition  median")
    drawn = (folder / "curves.svg").read_text()
    assert drawn.startswith("<?xml") and "sampled reward" in drawn and "stock TRL" in drawn


def test_a_rival_that_does_not_arrive_is_said_to(
    made: Any, folder: Path, scripted: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted([0.0, 0.4, 0.5, 0.01, 0.02])
    (figure,) = run_script(folder, "--patience", "1")["to_reward"]
    row = capsys.readouterr().out.splitlines()[3]
    assert figure["trl_to"] is None and figure["is_bound"]
    assert figure["ratio"] == pytest.approx(figure["stride_to"]["seconds"] / figure["trl"][-1]["seconds"])
    assert "not reached in " in row and f"<= {figure['ratio']:.3f}" in row


def test_a_task_without_a_gain_has_a_row_and_no_median() -> None:
    points = tuple(Point(update=n, seconds=1.0 * n, reward=0.5 - 0.1 * n) for n in range(3))
    duel = Duel(task="addition", seed=4, target=None, stride=points, trl=())
    *_, row = as_table([duel], Contest()).splitlines()
    assert row.split() == ["addition", "4", "0.500", "no", "gain"]
    (figure,) = as_json([duel], Contest())["to_reward"]
    assert figure["ratio"] is figure["stride_to"] is None and len(figure["stride"]) == 3


def test_the_script_refuses_a_share_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    for share in ("0", "1.2"):
        with pytest.raises(SystemExit):
            main(["to_reward", "--share", share])
        assert f"--share is {share}; it must be above 0 and at most 1" in capsys.readouterr().err
