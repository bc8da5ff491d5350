"""Signals at random moments of tiny runs: what is saved, how fast, and that the end is that of a calm run.

A run is started, gets a signal after a random time, is resumed, gets another one, and so on until it ends.
``python -m tests.kit.chaos signals`` prints the table.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rl.runs.checkpoints import checkpoints, find_fault
from rl.runs.log import metrics_log
from rl.runs.record import Stage
from rl.runs.trajectories import trajectory_log
from tests.kit.finding import Finding, share
from tests.kit.small_run import CONFIG, digests, untimed

ROOT = Path(__file__).resolve().parents[2]
_LONG = ("grpo.updates=40", "warm_start.updates=40", "eval.every=10")
_AHEAD = (
    "rollout.backend=ray",
    "rollout.num_actors=1",
    "rollout.cpus_per_actor=0.5",
    "rollout.max_staleness=1",
    "grpo.num_iterations=1",
    "grpo.updates=20",
    "warm_start.updates=4",
)
_GRACE_S = 3.0  # of `ray job stop`
_NUMBERS = (signal.SIGTERM, signal.SIGINT)


@dataclass(kw_only=True)
class _Counts:
    """What became of the signals of one line."""

    ended_s: list[float] = field(default_factory=list)
    saved_s: list[float] = field(default_factory=list)
    num_saved: int = 0
    failures: list[str] = field(default_factory=list)

    def finding(self, test: str, more: str = "") -> Finding:
        figures = f"{self.num_saved} saved an update"
        if self.saved_s:
            figures += f", in {max(self.saved_s):.1f} s at most"
        if self.ended_s:
            figures += f"; ended {max(self.ended_s):.1f} s after the signal at most"
        return Finding(test=test, size=len(self.ended_s), figures=figures + more, failures=tuple(self.failures))


def run(scale: float) -> Iterator[Finding]:
    """The lines of the table."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as name:
        folder = Path(name)
        yield _chains("signals, one process", folder / "a", _LONG, share(50, scale), longest_s=4.0)
        yield _chains("signals, Ray, sampled ahead", folder / "b", _AHEAD, share(10, scale), longest_s=6.0)
        yield _while_ray_starts(folder / "c", share(10, scale))
        yield _twice(folder / "d", share(10, scale))


def _chains(
    test: str, folder: Path, overrides: Sequence[str], num_signals: int, *, longest_s: float
) -> Finding:
    folder.mkdir()
    rng, counts = random.Random(0), _Counts()
    whole = folder / "whole"
    output, code = _finish(_start(whole, *overrides))
    assert code == 0, output
    chain = 0
    while len(counts.ended_s) < num_signals:
        run_folder, resumed = folder / f"run{chain}", False
        while True:
            process = _start(run_folder, *overrides, *(["--resume"] if resumed else []))
            if len(counts.ended_s) < num_signals:
                _wait_for_run(process)
                _signal(process, rng, rng.uniform(0, longest_s), run_folder, counts)
            else:
                output, code = _finish(process)
                if code:
                    counts.failures.append(f"resuming ended with {code}: {output[-500:]}")
            if process.returncode == 0 or (process.returncode or 0) not in (128 + n for n in _NUMBERS):
                break
            resumed = (run_folder / "config.yaml").exists()
        if digests(run_folder) != digests(whole):
            counts.failures.append(f"{run_folder.name}: other weights than those of the calm run")
        if untimed(run_folder) != untimed(whole):
            counts.failures.append(f"{run_folder.name}: other updates in metrics.jsonl")
        if trajectory_log(run_folder).read() != trajectory_log(whole).read():
            counts.failures.append(f"{run_folder.name}: other trajectories")
        chain += 1
    return counts.finding(test, f"; {chain} runs, weights of the calm run in each")


def _signal(
    process: subprocess.Popen[str], rng: random.Random, after_s: float, folder: Path, counts: _Counts
) -> None:
    """Send a signal after a time, unless the run is over; note what it said and whether it is true."""
    try:
        process.wait(after_s)
        return
    except subprocess.TimeoutExpired:
        number = rng.choice(_NUMBERS)
    logged = metrics_log(folder).last() if (folder / "metrics.jsonl").exists() else None
    sent = time.monotonic()
    process.send_signal(number)
    output, code = _finish(process)
    counts.ended_s.append(time.monotonic() - sent)
    if code == 0:
        return  # it was already writing its report
    if code != 128 + number:
        counts.failures.append(f"ended with {code} at {number.name}: {output[-500:]}")
    saved = re.search(r"(warm start|GRPO): saved update ([0-9]+) in ([0-9.]+) s", output)
    if saved is None:
        at = f"after {logged.stage} {logged.update}" if logged else "before the first update"
        if logged is not None and f"from update {logged.update}" not in output and "evaluation" not in output:
            counts.failures.append(f"nothing saved {at}: {output[-300:]}")
        return
    counts.num_saved += 1
    counts.saved_s.append(float(saved[3]))
    stage = next(stage for stage in Stage if stage.label == saved[1])
    path = checkpoints(folder, stage) / f"checkpoint-{saved[2]}"
    if fault := find_fault(path):
        counts.failures.append(f"{path}: {fault}")
    if logged is not None and logged.stage is stage and int(saved[2]) < logged.update:
        counts.failures.append(f"saved update {saved[2]}, but {logged.update} was logged")


def _while_ray_starts(folder: Path, num: int) -> Finding:
    """A signal from before Ray starts until after it; no process and no temporary file may stay."""
    rng, counts = random.Random(1), _Counts()
    folder.mkdir()
    for number in range(num):
        temporary = folder / f"t{number}"
        temporary.mkdir()
        mark = uuid.uuid4().hex
        process = _start(folder / f"run{number}", *_AHEAD, TMPDIR=str(temporary), STRIDE_CHAOS=mark)
        deadline = time.monotonic() + 120
        while not any(temporary.iterdir()) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 4.0))
        sent, kind = time.monotonic(), rng.choice(_NUMBERS)
        process.send_signal(kind)
        output, code = _finish(process)
        counts.ended_s.append(time.monotonic() - sent)
        if code != 128 + kind:
            counts.failures.append(f"ended with {code} at {kind.name}: {output[-500:]}")
        time.sleep(2.0)
        if left := _processes_with(mark):
            counts.failures.append(f"processes left: {left}")
        if files := [path.name for path in temporary.iterdir()]:
            counts.failures.append(f"temporary files left: {files}")
    return counts.finding("signals while Ray starts", "; no process and no temporary file left")


def _twice(folder: Path, num: int) -> Finding:
    """A second signal ends a run at once, and what was saved before stays whole."""
    rng, counts = random.Random(2), _Counts()
    folder.mkdir()
    for number in range(num):
        run_folder = folder / f"run{number}"
        process = _start(run_folder, *_LONG, "grpo.save_every=2", "warm_start.save_every=2")
        _wait_for_run(process)
        time.sleep(rng.uniform(0, 4.0))
        process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, code = _finish(process)
        counts.ended_s.append(time.monotonic() - sent)
        if counts.ended_s[-1] > 1.0:
            counts.failures.append(f"ended {counts.ended_s[-1]:.1f} s after the second signal")
        if code not in (0, 128 + signal.SIGTERM):
            counts.failures.append(f"ended with {code}: {output[-500:]}")
        for stage in (Stage.WARM, Stage.GRPO):
            for path in checkpoints(run_folder, stage).glob("checkpoint-*[0-9]"):
                if fault := find_fault(path):
                    counts.failures.append(f"{path}: {fault}")
    return counts.finding("two signals")


def _start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    config = folder.parent / "small.yaml"
    config.write_text(CONFIG)
    return subprocess.Popen(
        [sys.executable, "scripts/train.py", str(config), f"output_dir={folder}", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait_for_run(process: subprocess.Popen[str]) -> None:
    """Wait for its first line, which comes once everything is loaded."""
    assert process.stdout is not None
    process.stdout.readline()


def _finish(process: subprocess.Popen[str]) -> tuple[str, int]:
    output, _ = process.communicate(timeout=300)
    return output, process.returncode


def _processes_with(mark: str) -> list[str]:
    """Commands of the processes with a mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:80])
        except OSError:
            continue
    return found
