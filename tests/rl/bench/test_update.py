"""The update benchmark: both trainers do the same work, which is counted correctly."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rl.bench import trainers
from rl.bench.checksum_task import sample_groups
from rl.bench.machine import describe_cpu
from rl.bench.models import PAD
from rl.bench.trainers import Training, train_stride, train_trl
from rl.bench.update import end_to_end, update
from rl.bench.workload import Case, Workload, make_bench_model, make_workload
from scripts.bench import main

pytestmark = pytest.mark.slow

CASE = Case(model="tiny", kind="skewed", samples=24, mean=12, prompt_tokens=8, threads=1)
BOTH = [train_stride, train_trl]

Row = tuple[tuple[int, ...], tuple[int, ...]]  # prompt, completion


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Every row of a training pass, without padding."""
    seen: list[Row] = []
    count = trainers._Counter._count

    def record(self: Any, model: torch.nn.Module, args: Any, inputs: dict[str, Any]) -> None:
        count(self, model, args, inputs)
        if torch.is_grad_enabled():
            for ids, labels in zip(inputs["input_ids"].tolist(), inputs["labels"].tolist(), strict=True):
                first = next(i for i, label in enumerate(labels) if label != -100)
                prompt = tuple(token for token in ids[:first] if token != PAD)  # no prompt has that token
                seen.append((prompt, tuple(label for label in labels if label != -100)))

    monkeypatch.setattr(trainers._Counter, "_count", record)
    return seen


@pytest.mark.parametrize("train", BOTH)
def test_both_learners_see_the_given_tokens(train: Callable[..., Training], rows: list[Row]) -> None:
    model, workload = make_bench_model("tiny"), CASE.make_workload()
    groups = sample_groups(model, workload)
    given = [(group.prompt_ids, sample.completion.ids) for group in groups for sample in group.samples]
    assert [len(completion) for _, completion in given] == list(workload.lengths)
    training = train(model, workload, groups, updates=1)
    assert Counter(rows) == Counter(given)
    assert training.tokens == workload.tokens


@pytest.mark.parametrize("train", BOTH)
def test_both_sample_the_given_lengths(train: Callable[..., Training], rows: list[Row]) -> None:
    model, workload = make_bench_model("tiny"), CASE.make_workload()
    train(model, workload, updates=2)
    given = [(tuple(prompt), n) for prompt, n in zip(workload.repeated, workload.lengths, strict=True)]
    assert Counter((prompt, len(completion)) for prompt, completion in rows) == Counter(given * 2)
    assert len(set(rows)) > len(given)  # other tokens in the second update


@pytest.mark.parametrize("trl_rows", [8, 24])
def test_both_learners_have_the_same_loss_and_gradient(trl_rows: int) -> None:
    """Up to the 1e-4 that TRL adds to a group's deviation, here about 0.3."""
    model, workload = make_bench_model("tiny"), CASE.make_workload()
    groups = sample_groups(model, workload)
    ours = train_stride(model, workload, groups, updates=2)
    theirs = train_trl(model, workload, groups, updates=2, rows=trl_rows)
    assert len(ours.losses) == len(theirs.losses) == 2
    assert all(abs(loss) > 0.01 for loss in ours.losses)
    assert ours.losses == pytest.approx(theirs.losses, abs=1e-4)
    assert ours.grad_norms == pytest.approx(theirs.grad_norms, rel=1e-3)


def test_positions_are_counted_while_learning_only() -> None:
    model = make_bench_model("tiny").requires_grad_(True)
    counter = trainers._Counter(model)
    ids = torch.tensor([[5, 6, 7, PAD], [5, 6, 7, 8]])
    labels = torch.tensor([[-100, 6, 7, -100], [-100, -100, 7, 8]])
    model(input_ids=ids, labels=labels)
    assert (counter.tokens, counter.positions) == (4, 8)
    with torch.no_grad():
        model(input_ids=ids, labels=labels)
    assert (counter.tokens, counter.positions) == (4, 8)


def test_trl_passes_the_longest_prompt_and_completion_for_every_row() -> None:
    """Prompts of 5 and 3, one completion of 10 among fifteen of 2: 16 x 15 positions for 104 tokens."""
    workload = Workload(prompts=((2,) * 5, (3,) * 3), lengths=(10, *[2] * 15))
    assert workload.positions == 8 * 8 + 40
    groups = sample_groups(make_bench_model("tiny"), workload)
    for rows in (16, 8):
        training = train_trl(make_bench_model("tiny"), workload, groups, updates=1, rows=rows)
        assert training.positions == 16 * 15
    ours = train_stride(make_bench_model("tiny"), workload, groups, updates=1)
    assert workload.positions <= ours.positions <= 16 * 15


def test_at_least_four_fifths_of_what_stride_passes_is_useful() -> None:
    workload = make_workload("skewed", samples=64, mean=64, prompt_tokens=64)
    groups = sample_groups(make_bench_model("tiny"), workload)
    training = train_stride(make_bench_model("tiny"), workload, groups, updates=1)
    assert workload.positions / training.positions >= 0.8


def test_a_lap_is_the_given_number_of_updates_after_one_to_warm_up() -> None:
    training = train_stride(make_bench_model("tiny"), CASE.make_workload(), updates=3)
    assert len(training.seconds) == 2 and len(training.losses) == 3
    assert all(math.isfinite(loss) for loss in training.losses)


@pytest.mark.parametrize("enter", [update, end_to_end])
def test_a_contestant_that_does_less_work_is_detected(enter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    contestants = enter(CASE)
    monkeypatch.setattr(Workload, "tokens", property(lambda self: 1))
    for work in contestants.values():
        with pytest.raises(RuntimeError, match=r"^\d+ tokens were trained on in 2 updates of 1 tokens each$"):
            work()


def run_script(what: str, folder: Path, *more: str) -> list[dict[str, Any]]:
    arguments = [what, "--models", "tiny", "--workloads", "skewed", "--samples", "16", "--mean", "4"]
    arguments += ["--prompt", "8", "--rounds", "1", "--threads", "1", "--json", str(folder / "bench.json")]
    assert main([*arguments, *more]) == 0
    written = json.loads((folder / "bench.json").read_text())
    assert written["cpu"] == describe_cpu()
    kept: list[dict[str, Any]] = written[what]
    return kept


def test_the_script_prints_ratios_and_keeps_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = run_script("update", tmp_path)
    machine, header, _, ours, theirs = capsys.readouterr().out.splitlines()
    assert machine == f"{describe_cpu()}, 1 threads"
    assert "updates/s" in header and "useful" in header and "Stride takes" in header
    assert ours.startswith("tiny (0.20 M)  skewed    16       stride") and " x " not in ours
    assert theirs.startswith("tiny (0.20 M)  skewed    16       trl") and theirs.count(" x") == 2
    assert [row["contestant"] for row in kept] == ["stride", "trl"]
    for row in kept:
        assert row["parameters"] == 196_928 and 0 < row["useful"] <= 1
        assert 0 < row["memory"] < row["at_its_peak"]
    stride, trl = (row["per_s"] for row in kept)
    assert kept[1]["stride_is"] == [pytest.approx(stride[0] / trl[0])]


def test_the_script_times_whole_updates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = run_script("end_to_end", tmp_path, "--no-memory", "--updates", "2")
    assert "Stride takes" not in capsys.readouterr().out
    assert [row["contestant"] for row in kept] == ["stride", "trl"]
    assert all(row["per_s"][0] > 0 and "memory" not in row for row in kept)


def test_the_script_refuses_micro_batches_that_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["update", "--samples", "64", "--trl-rows", "24"])
    assert "--trl-rows is 24, which does not divide --samples 64" in capsys.readouterr().err
