"""An ablation from the command line: previewed, stopped in the middle, and continued."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from configs.schema.ablation import load_ablation
from scripts.cli import main
from tests.kit.fork_server import Driver, ForkServer

BASE = """
device: cpu
threads: 1
report_to: [none]
env: {name: directional, settings: {train: [1, 2], ood_easy: [3], ood_hard: [4]}}
policy: {tiny: {hidden_size: 16, num_layers: 1, num_heads: 2, intermediate_size: 16, max_positions: 64}}
warm_start: {updates: 2, num_problems: 8, batch_size: 4}
rollout: {samples_per_problem: 2, max_prompt_tokens: 32, max_new_tokens: 32}
rewards: {terms: [{name: correct, weight: 1.0}]}
grpo: null
eval: {splits: [id], num_problems: 4, num_samples: 0}
"""
STUDY = """
name: study
question: Which?
base: base.yaml
seeds: [0]
cases:
  short: {}
  long: {warm_start.updates: 300}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def start(server: ForkServer, folder: Path, log: str, **variables: str) -> Driver:
    """Start it in a process of its own, whose output goes into a file of the folder."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return server.run(
        "ablate",
        [str(folder / "study.yaml"), "--output", str(folder / "out")],
        log=folder / log,
        environment={"HOME": str(home), "MPLCONFIGDIR": str(folder / "mpl"), "RAY_ADDRESS": "", **variables},
    )


def updates(folder: Path, trial: str) -> list[int]:
    path = folder / "out" / trial / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line)["update"] for line in lines]


def wait_for_update(driver: Driver, folder: Path, log: str, trial: str, update: int) -> None:
    while max(updates(folder, trial), default=0) < update:
        assert driver.poll() is None, (folder / log).read_text()
        time.sleep(0.02)


def descendants(pid: int) -> dict[int, str]:
    """Descendants of a process with their start times, since process numbers are reused."""
    parents, started = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            parents[int(path.parent.name)], started[int(path.parent.name)] = int(fields[1]), fields[19]
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return {child: started[child] for child in found}


def alive(processes: dict[int, str]) -> set[int]:
    left = set()
    for pid, started in processes.items():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z" and fields[19] == started:
            left.add(pid)
    return left


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_terminated_ablation_continues(
    fork_server: ForkServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = load_ablation(folder / "study.yaml", (), folder / "out")
    short, long = [trial.name for trial in study.trials]
    driver = start(fork_server, folder, "first.log")
    wait_for_update(driver, folder, "first.log", long, 9)
    below = descendants(driver.pid)
    assert int((folder / "out" / long / ".lock").read_text().split()[1]) in below
    driver.send(signal.SIGTERM)
    code, shown = driver.wait(120), (folder / "first.log").read_text()
    assert code == 128 + signal.SIGTERM, shown
    assert f"{short}: done" in shown and "Traceback" not in shown
    while alive(below):  # gone, or going
        time.sleep(0.1)
    reached = max(updates(folder, long))
    assert reached < 300
    lines = shown.splitlines()
    assert "stopping: the run that is running saves its last update; a second signal ends at once" in lines
    assert f"{long}: stopped; the same command continues warm start from update {reached}" in lines
    assert lines[-1] == "stopped; the same command continues where each run was stopped"

    before = (folder / "out" / short / "provenance.json").read_text()
    with contextlib.chdir(folder):
        assert main(["ablate", "study.yaml", "--output", "out", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    (row,) = [line.split() for line in shown.splitlines() if line.startswith(long.removesuffix("-seed0"))]
    assert row[1:] == ["long", "-", "from", "warm", str(reached)]

    driver = start(fork_server, folder, "second.log")
    wait_for_update(driver, folder, "second.log", long, reached + 1)
    os.kill(int((folder / "out" / long / ".lock").read_text().split()[1]), signal.SIGSTOP)  # it cannot save
    below = descendants(driver.pid)
    driver.send(signal.SIGINT)
    time.sleep(1.0)
    assert driver.poll() is None
    driver.send(signal.SIGINT)
    assert driver.wait(30) == 128 + signal.SIGINT
    while alive(below):
        time.sleep(0.1)

    driver = start(fork_server, folder, "third.log")
    code, shown = driver.wait(300), (folder / "third.log").read_text()
    assert code == 0, shown
    assert "2 runs, 1 of them finished before" in shown and f"{short}: started" not in shown
    assert f"warm start: continuing from update {reached}" in (folder / "out" / f"{long}.log").read_text()
    assert updates(folder, long) == list(range(1, 301))
    assert (folder / "out" / short / "provenance.json").read_text() == before
    assert "report: " in shown and "Traceback" not in shown
    assert not (folder / "out/.tune").exists() and list((folder / "home").iterdir()) == []


@pytest.mark.slow
def test_lack_of_memory_is_reported(fork_server: ForkServer, folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY.partition("  long:")[0])
    # More than a hundredth of the memory of any machine is in use.
    limits = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "200"}
    code, shown = start(fork_server, folder, "log", **limits).wait(120), (folder / "log").read_text()
    assert code == 1
    said = "FAILED: Ray ended its process because the node ran low on memory; run fewer at a time"
    assert shown.count(said) == 1
    assert "Traceback" not in shown


def test_a_preview_names_what_a_task_does_not_take(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "study.yaml").write_text(f"{STUDY}  other: {{env.settings: {{ood_easy: [4]}}}}\n")
    with contextlib.chdir(folder), pytest.raises(SystemExit) as exit_info:
        main(["ablate", "study.yaml", "--output", "out", "--dry-run"])
    assert exit_info.value.code == 2
    shown, errors = capsys.readouterr()
    assert shown == "" and "case 'other'" in errors and "share" in errors and errors.count("\n") == 1
