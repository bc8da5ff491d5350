"""The rollout benchmark: its workloads, and that all contestants do the same work."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from rl.bench import floor as bench_floor
from rl.bench.floor import floor, memory_floor
from rl.bench.models import MODELS, TRAINED
from rl.bench.rollout import CONTESTANTS, rollout
from rl.bench.workload import Case, Workload, make_bench_model, make_workload
from scripts.bench import main

pytestmark = pytest.mark.slow

CASE = Case(model="tiny", kind="skewed", samples=16, mean=6, prompt_tokens=8, threads=1)


def test_skewed_lengths_are_log_normal_and_capped() -> None:
    workload = make_workload("skewed", samples=8000, mean=50, prompt_tokens=40)
    assert len(workload.prompts) == 1000 and len(workload.lengths) == 8000
    assert min(map(len, workload.prompts)) >= 30 and max(map(len, workload.prompts)) <= 50
    assert statistics.mean(workload.lengths) == pytest.approx(50, rel=0.05)
    assert statistics.median(workload.lengths) == pytest.approx(50 * 2.718281828 ** (-0.32), rel=0.05)
    assert max(workload.lengths) == 400
    equal = make_workload("equal", samples=16, mean=50, prompt_tokens=40)
    assert equal.lengths == (50,) * 16 and equal.prompts == workload.prompts[:2]


def test_positions_are_all_prompts_and_completions() -> None:
    workload = Workload(prompts=((2,) * 10, (3,) * 4), lengths=(5,) * 16)
    assert (workload.tokens, workload.positions) == (80, 8 * 14 + 80)
    assert workload.repeated == [[2] * 10] * 8 + [[3] * 4] * 8


@pytest.mark.parametrize("name", CONTESTANTS)
def test_every_contestant_samples_the_given_number_of_tokens(name: str) -> None:
    """A lap raises an error if one does not."""
    assert rollout(CASE)[name]().per_s > 0


def test_every_contestant_does_so_in_bfloat16() -> None:
    laps = {name: work for name, work in rollout(replace(CASE, dtype="bfloat16")).items() if name != "vllm"}
    assert all(lap().per_s > 0 for lap in laps.values())


def test_contestants_leave_the_model_as_it_was() -> None:
    model, workload = CASE.make_model(), CASE.make_workload()
    strides = {name: parameter.stride() for name, parameter in model.named_parameters()}
    with CONTESTANTS["stride"](model, workload, 1) as run:
        run()
    assert {name: parameter.stride() for name, parameter in model.named_parameters()} == strides


def test_a_contestant_that_does_less_work_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workload, "tokens", property(lambda self: 1))
    with pytest.raises(RuntimeError, match=r"^generate sampled \d+ tokens instead of 1$"):
        rollout(CASE)["generate"]()


def test_the_floor_grows_with_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_floor, "memory_rate", lambda like: 1e9)
    monkeypatch.setattr(bench_floor, "_matmul_rate", lambda like, width, rows: 1e18)
    model = make_bench_model("tiny")
    weights = sum(p.numel() for p in model.parameters()) - model.lm_head.weight.numel()
    # One group of 8 with a prompt of 10, two tokens each: weights twice, the prompt twice, 8 earlier tokens.
    workload = Workload(prompts=((2,) * 10,), lengths=(2,) * 8)
    moved = 4 * (2 * weights + 2 * 2 * 64 * (2 * 10 + 8))
    assert floor(model, workload) == pytest.approx(16 / (moved / 1e9))
    assert memory_floor(model, workload) == pytest.approx(16 / (moved / 1e9))
    # Arithmetic, at 1 a second: 2 steps of 8 rows through the weights; keys and values of each position read.
    monkeypatch.setattr(bench_floor, "_matmul_rate", lambda like, width, rows: 1.0)
    computed = 2 * 2 * weights * 8 + 2 * (2 * 2 * 64) * (2 * 8 * 10 + 8)
    assert floor(model, workload) == pytest.approx(16 / computed)
    assert memory_floor(model, workload) == pytest.approx(16 / (moved / 1e9))


def test_the_script_prints_ratios_and_keeps_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["rollout", "--models", "tiny", "--workloads", "equal", "--samples", "16", "--mean", "4"]
    more = ["--prompt", "8", "--rounds", "1", "--threads", "1", "--no-memory"]
    assert main([*arguments, *more, "--json", str(tmp_path / "bench.json")]) == 0
    table = capsys.readouterr().out
    assert "tiny (0.20 M)  equal     16       stride" in table and " x " in table
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["threads"] == 1
    assert [row["contestant"] for row in kept["rollout"]] == list(CONTESTANTS)
    assert main([*arguments, *more, "--rivals", "generate", "--json", str(tmp_path / "bench.json")]) == 0
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert [row["contestant"] for row in kept["rollout"]] == ["stride", "generate"]
    with pytest.raises(SystemExit):
        main([*arguments, *more, "--rivals", "genrate"])
    assert "--rivals: no 'genrate' here; known: stride, generate" in capsys.readouterr().err
    assert set(MODELS) - set(TRAINED) == {"0.5b"}
    with pytest.raises(SystemExit):
        main(["end_to_end", "--models", "tiny", "0.5b"])
    assert "--models 0.5b is for rollout; end_to_end takes tiny, 1m, 6m, 30m" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["update", "--device", "cuda"])
    assert "--device and --dtype are for rollout; update learns in float32" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["rollout", "--samples", "12"])
    assert "--samples are multiples of 8, got 12" in capsys.readouterr().err
