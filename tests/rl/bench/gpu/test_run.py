"""Parts of the GPU run end in time, lose only their own remaining figures, and show what they measured."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from pathlib import Path

import pytest

from rl.bench.gpu.figure import Figure, Setting
from rl.bench.gpu.report import as_json, as_table
from rl.bench.gpu.run import BUDGET_S, PARTS, PartResult, environment, run_parts
from scripts.bench import main

SETTING = Setting(device="cpu", tiny=True)
ONE = json.dumps({"figure": {"name": "one", "value": 1.5, "unit": "s", "at_least": 1.0, "at_most": None}})
SCRIPTS = {
    "machine": f"print('{ONE}', file=out); print('{{\"done\": true}}', file=out)",
    "graphs": f"print('{ONE}', file=out, flush=True); print('a word'); raise SystemExit(3)",
    "logprobs": f"print('{ONE}', file=out, flush=True); time.sleep(600)",
    "suite": (
        "started = subprocess.Popen(['sleep', '600'])\n"
        "print(json.dumps({'figure': {'name': 'pid', 'value': started.pid}}), file=out, flush=True)\n"
        "signal.signal(15, lambda *a: (print('stopped', flush=True), sys.exit(1)))\n"
        "time.sleep(600)"
    ),
    "sampling": 'print(\'{"skipped": "no weights"}\', file=out)',
    "update": f"print('{ONE}', file=out); out.write('{{\"figure\": '); out.flush(); os.kill(os.getpid(), 9)",
}


def scripted(part: str, setting: Setting, out: Path) -> list[str]:
    start = f"import json, os, signal, subprocess, sys, time; out = open({str(out)!r}, 'w')\n"
    return [sys.executable, "-c", start + SCRIPTS[part]]


def run(*parts: str, budget_s: float) -> dict[str, PartResult]:
    results = run_parts(parts, SETTING, budget_s=budget_s, command=scripted)
    assert [result.part for result in results] == list(parts)
    return {result.part: result for result in results}


def test_a_part_that_fails_keeps_its_figures_and_the_rest_runs() -> None:
    results = run("machine", "graphs", "sampling", "update", budget_s=60)
    states = {part: (result.state, len(result.figures)) for part, result in results.items()}
    assert states == {
        "machine": ("done", 1),
        "graphs": ("failed", 1),
        "sampling": ("skipped", 0),
        "update": ("failed", 1),  # killed in the middle of a line
    }
    assert results["graphs"].reason == "the process ended with exit code 3"
    assert results["graphs"].log == "a word\n" and results["machine"].log == ""
    assert results["sampling"].reason == "no weights"
    assert [result.passed for result in results.values()] == [True, False, True, False]


@pytest.mark.slow
def test_a_part_that_hangs_is_stopped_at_its_deadline_with_what_it_measured() -> None:
    started = time.monotonic()
    (result,) = run("logprobs", budget_s=5.0).values()
    assert time.monotonic() - started < 60  # it would go on for 600
    assert (result.state, len(result.figures), result.passed) == ("out of time", 1, False)


@pytest.mark.slow
def test_a_part_can_end_by_itself_and_what_it_started_ends_too() -> None:
    (result,) = run("suite", budget_s=5.0).values()
    assert (result.state, result.log) == ("out of time", "stopped\n")
    due = time.monotonic() + 60
    while is_alive(pid := int(result.figures[0].value)):
        assert time.monotonic() < due, f"{pid} goes on"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_time_that_a_part_leaves_goes_to_the_next() -> None:
    lines: list[str] = []
    run_parts(["machine", "sampling"], SETTING, budget_s=100, say=lines.append, command=scripted)
    # Shares of 20 and 135 seconds: the second part may end at 100, though the first one needed none of its 13.
    assert lines[0] == "machine: up to 13 s" and re.match(r"machine: done in \d+ s", lines[1])
    found = re.fullmatch(r"sampling: up to (\d+) s", lines[2])
    assert found is not None and 87 < int(found[1]) <= 100
    assert re.fullmatch(r"sampling: skipped in \d+ s no weights", lines[3])


def test_all_parts_have_ten_minutes() -> None:
    assert sum(PARTS.values()) == BUDGET_S == 580


@pytest.mark.parametrize(
    ("given", "card"), [({}, "0"), ({"CUDA_VISIBLE_DEVICES": "3,5"}, "3"), ({"CUDA_VISIBLE_DEVICES": ""}, "")]
)
def test_a_part_sees_one_gpu_and_no_network(given: dict[str, str], card: str) -> None:
    own = environment({"HOME": "/home", **given})
    assert (own["CUDA_VISIBLE_DEVICES"], own["HF_HUB_OFFLINE"], own["HOME"]) == (card, "1", "/home")


def test_a_figure_must_keep_its_bounds() -> None:
    assert Figure(name="x", value=2.0).passed is None
    assert Figure(name="x", value=2.0, at_least=2.0, at_most=2.0).passed
    assert Figure(name="x", value=2.0, at_least=2.1).passed is False
    assert Figure(name="x", value=math.nan, at_least=0.0).passed is False
    assert Figure(name="x", value=math.nan, at_most=0.0).passed is False


def test_table_and_json_have_every_figure_and_what_went_wrong() -> None:
    card = Figure(name="card", value="Card 9000")
    broken = Figure(name="speed", value=12345.678, unit="tokens/s", at_least=2e4)
    results = [
        PartResult(part="machine", state="done", reason="", seconds=1.0, figures=(card,)),
        PartResult(part="update", state="failed", reason="no memory", seconds=2.0, figures=(broken,), log="oh"),
    ]
    assert [line.split() for line in as_table(results).splitlines()[2:]] == [
        ["machine", "card", "Card", "9000"],
        ["update", "speed", "1.235e+04", "tokens/s", ">=", "20000", "NO"],
        ["update", "failed:", "no", "memory"],
    ]
    plain = json.loads(json.dumps(as_json(results, SETTING)))
    assert plain["machine"] == {"card": "Card 9000"} and plain["device"] == "cpu"
    assert plain["parts"][1]["figures"][0]["passed"] is False
    assert (plain["parts"][1]["log"], plain["parts"][1]["passed"]) == ("oh", False)


@pytest.mark.slow
def test_the_command_measures_and_writes_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gpu.json"
    assert main(["gpu", "--device", "cpu", "--tiny", "--parts", "machine", "--json", str(file)]) == 0
    shown = capsys.readouterr()
    assert "machine  copying memory" in shown.out and "machine: done in" in shown.err
    machine = json.loads(file.read_text())["machine"]
    assert machine["card"].startswith("none") and len(machine["commit"]) in (7, 40)
    assert {"torch", "CUDA", "transformers", "trl"} <= machine.keys()


def test_the_command_asks_for_a_gpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["gpu"])
    assert "torch sees no GPU; --device cpu --tiny tries the run itself" in capsys.readouterr().err
