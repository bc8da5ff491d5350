"""An ablation from the command line: previewed, stopped in the middle, and continued."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from configs.schema.ablation import load_ablation
from scripts.cli import main

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


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(home), "MPLCONFIGDIR": str(folder / "mpl")}
    environment.pop("RAY_ADDRESS", None)
    environment.update(variables)
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.cli", "ablate", "study.yaml", "--output", "out", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def updates(folder: Path, trial: str) -> list[int]:
    path = folder / "out" / trial / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line)["update"] for line in lines]


def wait_for_update(process: subprocess.Popen[str], folder: Path, trial: str, update: int) -> None:
    while max(updates(folder, trial), default=0) < update:
        assert process.poll() is None, process.communicate()
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
def test_a_terminated_ablation_continues(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = load_ablation(folder / "study.yaml", (), folder / "out")
    short, long = [trial.name for trial in study.trials]
    process = start(folder)
    wait_for_update(process, folder, long, 9)
    below = descendants(process.pid)
    assert int((folder / "out" / long / ".lock").read_text().split()[1]) in below
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert f"{short}: done" in errors and "Traceback" not in errors
    while alive(below):  # gone, or going
        time.sleep(0.1)
    reached = max(updates(folder, long))
    assert reached < 300
    lines = errors.splitlines()
    assert "stopping: the run that is running saves its last update; a second signal ends at once" in lines
    assert f"{long}: stopped; the same command continues warm start from update {reached}" in lines
    assert lines[-1] == "stopped; the same command continues where each run was stopped"

    before = (folder / "out" / short / "provenance.json").read_text()
    with contextlib.chdir(folder):
        assert main(["ablate", "study.yaml", "--output", "out", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    (row,) = [line.split() for line in shown.splitlines() if line.startswith(long.removesuffix("-seed0"))]
    assert row[1:] == ["-", "from", "warm", str(reached)]

    process = start(folder)
    wait_for_update(process, folder, long, reached + 1)
    os.kill(int((folder / "out" / long / ".lock").read_text().split()[1]), signal.SIGSTOP)  # it cannot save
    below = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None
    second = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 128 + signal.SIGINT and time.monotonic() - second < 1.0
    process.communicate()
    while alive(below):
        time.sleep(0.1)

    process = start(folder)
    shown, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "2 runs, 1 of them finished before" in errors and f"{short}: started" not in errors
    assert f"warm start: continuing from update {reached}" in (folder / "out" / f"{long}.log").read_text()
    assert updates(folder, long) == list(range(1, 301))
    assert (folder / "out" / short / "provenance.json").read_text() == before
    assert "report: " in shown and "Traceback" not in errors
    assert not (folder / "out/.tune").exists() and list((folder / "home").iterdir()) == []


@pytest.mark.slow
def test_lack_of_memory_is_reported(folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY.partition("  long:")[0])
    # More than a hundredth of the memory of any machine is in use.
    process = start(folder, RAY_memory_usage_threshold="0.01", RAY_memory_monitor_refresh_ms="200")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert (
        errors.count("FAILED: Ray ended its process because the node ran low on memory; run fewer at a time")
        == 1
    )
    assert "Traceback" not in errors


def test_a_preview_names_what_a_task_does_not_take(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "study.yaml").write_text(f"{STUDY}  other: {{env.settings: {{ood_easy: [4]}}}}\n")
    with contextlib.chdir(folder), pytest.raises(SystemExit) as exit_info:
        main(["ablate", "study.yaml", "--output", "out", "--dry-run"])
    assert exit_info.value.code == 2
    shown, errors = capsys.readouterr()
    assert shown == "" and "case 'other'" in errors and "share" in errors and errors.count("\n") == 1


@pytest.mark.slow
def test_the_reader_of_a_preview_may_leave_early(folder: Path) -> None:
    with start(folder, "--dry-run") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # as `head` does
        assert process.stderr.read() == ""
    assert process.returncode in (0, 128 + signal.SIGPIPE)  # done, or cut off
