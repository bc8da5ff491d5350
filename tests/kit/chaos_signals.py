"""Signals at random moments of tiny runs: what is saved, how fast, and that the end is that of a calm run.

A run is started, gets a signal after a random time, is resumed, gets another one, and so on until it ends.
``python -m tests.kit.chaos signals`` prints the table.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rl.runs.checkpoints import checkpoint_update, checkpoints, find_fault, newest_first
from rl.runs.log import metrics_log
from rl.runs.manifest import find_damage
from rl.runs.record import Stage
from rl.runs.trajectories import trajectory_log
from tests.kit.family import command, started_with
from tests.kit.finding import Finding, share
from tests.kit.fork_server import Driver, ForkServer
from tests.kit.small_run import digests, start, untimed

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
_STOPPED = tuple(128 + number for number in _NUMBERS)
_LIMIT_S = 300.0


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
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as name, ForkServer() as server:
        folder = Path(name)
        yield _chains(server, "signals, one process", folder / "a", _LONG, share(50, scale), longest_s=4.0)
        ahead = (*_AHEAD, "grpo.updates=60")
        yield _chains(
            server,
            "signals, Ray, sampled ahead",
            folder / "b",
            ahead,
            share(10, scale),
            longest_s=2.0,
            training=True,
        )
        yield _while_ray_starts(server, folder / "c", share(10, scale))
        yield _twice(server, folder / "d", share(10, scale))


def _chains(
    server: ForkServer,
    test: str,
    folder: Path,
    overrides: Sequence[str],
    num_signals: int,
    *,
    longest_s: float,
    training: bool = False,
) -> Finding:
    """Interrupt runs until there were so many signals, each up to `longest_s` after the run is loaded.

    With `training` the time counts from the first update that it logs: Ray takes longer to start than that.
    """
    folder.mkdir()
    rng, counts = random.Random(0), _Counts()
    whole = _Run(server, folder / "whole", *overrides)
    assert whole.finish() == 0, whole.said()
    chain = 0
    while len(counts.ended_s) < num_signals:
        run_folder, code, resumed = folder / f"run{chain}", _STOPPED[0], False
        while code in _STOPPED:
            one = _Run(server, run_folder, *overrides, *(["--resume"] if resumed else []))
            if len(counts.ended_s) < num_signals:
                one.wait_until_loaded()
                if training:
                    one.wait_for_an_update()
                code = _signal(one, rng, rng.uniform(0, longest_s), counts)
            elif code := one.finish():
                counts.failures.append(f"resuming ended with {code}: {one.said()[-500:]}")
            resumed = (run_folder / "config.yaml").exists()
        if digests(run_folder) != digests(whole.folder):
            counts.failures.append(f"{run_folder.name}: other weights than those of the calm run")
        if untimed(run_folder) != untimed(whole.folder):
            counts.failures.append(f"{run_folder.name}: other updates in metrics.jsonl")
        if trajectory_log(run_folder).read() != trajectory_log(whole.folder).read():
            counts.failures.append(f"{run_folder.name}: other trajectories")
        chain += 1
    return counts.finding(test, f"; {chain} runs, weights of the calm run in each")


def _signal(run: _Run, rng: random.Random, after_s: float, counts: _Counts) -> int:
    """Send a signal after a time, unless the run is over; note what it said, and whether that is true."""
    try:
        return run.driver.wait(after_s)
    except TimeoutError:
        number = rng.choice(_NUMBERS)
    folder = run.folder
    logged = metrics_log(folder).last() if (folder / "metrics.jsonl").exists() else None
    sent = time.monotonic()
    run.driver.send(number)
    code, output = run.finish(), run.said()
    if "\nreport: " in output:
        return 0  # everything is written; the interpreter was ending, and no handler is left
    counts.ended_s.append(time.monotonic() - sent)
    if code != 128 + number:
        counts.failures.append(f"ended with {code} at {number.name}: {output[-500:]}")
    saved = re.search(r"(warm start|GRPO): saved update ([0-9]+) in ([0-9.]+) s", output)
    if saved is None:
        if logged is not None and not _is_kept(folder, logged.stage, logged.update):
            counts.failures.append(f"{logged.stage} {logged.update} was logged, and is lost: {output[-300:]}")
        return code
    counts.num_saved += 1
    counts.saved_s.append(float(saved[3]))
    stage = next(stage for stage in Stage if stage.label == saved[1])
    path = checkpoints(folder, stage) / f"checkpoint-{saved[2]}"
    if fault := find_fault(path):
        counts.failures.append(f"{path}: {fault}")
    if logged is not None and logged.stage is stage and int(saved[2]) < logged.update:
        counts.failures.append(f"saved update {saved[2]}, but {logged.update} was logged")
    return code


def _is_kept(folder: Path, stage: Stage, update: int) -> bool:
    """Whether an update is in a checkpoint of its stage, or in the model of a stage that is over."""
    whole = [path for path in newest_first(checkpoints(folder, stage)) if not find_fault(path)]
    if whole and checkpoint_update(whole[0]) >= update:
        return True
    return not find_damage(folder / "models" / stage)


def _while_ray_starts(server: ForkServer, folder: Path, num: int) -> Finding:
    """A signal from before Ray starts until after it; no process and no temporary file may stay."""
    rng, counts = random.Random(1), _Counts()
    folder.mkdir()
    for number in range(num):
        temporary = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))  # Ray's folder must have a short path
        run = _Run(server, folder / f"run{number}", *_AHEAD, TMPDIR=str(temporary))
        deadline = time.monotonic() + 120
        while not any(temporary.iterdir()) and run.driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 4.0))
        sent, kind = time.monotonic(), rng.choice(_NUMBERS)
        run.driver.send(kind)
        code = run.finish()
        counts.ended_s.append(time.monotonic() - sent)
        if code != 128 + kind:
            counts.failures.append(f"ended with {code} at {kind.name}: {run.said()[-500:]}")
        deadline = time.monotonic() + 10  # a node takes a while to notice that it is dead
        while (pids := started_with(f"TMPDIR={temporary}")) or any(temporary.iterdir()):
            if time.monotonic() > deadline:
                names = [command(pid)[:80] for pid in pids] + [path.name for path in temporary.iterdir()]
                counts.failures.append(f"left: {names}")
                break
            time.sleep(0.1)
        shutil.rmtree(temporary, ignore_errors=True)
    return counts.finding("signals while Ray starts", "; no process and no temporary file left")


def _twice(server: ForkServer, folder: Path, num: int) -> Finding:
    """A second signal ends a run at once, and what was saved before stays whole."""
    rng, counts = random.Random(2), _Counts()
    folder.mkdir()
    for number in range(num):
        run = _Run(server, folder / f"run{number}", *_LONG, "grpo.save_every=2", "warm_start.save_every=2")
        run.wait_until_loaded()
        time.sleep(rng.uniform(0, 4.0))
        run.driver.send(signal.SIGTERM)
        time.sleep(0.4)
        sent = time.monotonic()
        run.driver.send(signal.SIGTERM)
        code = run.finish()
        counts.ended_s.append(time.monotonic() - sent)
        if counts.ended_s[-1] > 1.0:
            counts.failures.append(f"ended {counts.ended_s[-1]:.1f} s after the second signal")
        ending = code == -signal.SIGTERM and "\nstopped; " in run.said()  # no handler is left by then
        if code not in (0, 128 + signal.SIGTERM) and not ending:
            counts.failures.append(f"ended with {code}: {run.said()[-500:]}")
        for stage in (Stage.WARM, Stage.GRPO):
            for path in checkpoints(run.folder, stage).glob("checkpoint-*[0-9]"):
                if fault := find_fault(path):
                    counts.failures.append(f"{path}: {fault}")
    return counts.finding("two signals")


class _Run:
    """A driver and what it prints."""

    def __init__(self, server: ForkServer, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self._log = folder.with_suffix(f".{uuid.uuid4().hex}.log")
        self.driver: Driver = start(server, folder, *arguments, log=self._log, environment=environment)

    def said(self) -> str:
        return self._log.read_text()

    def wait_until_loaded(self) -> None:
        """Wait for its first line, which comes once everything is loaded."""
        while not (self._log.exists() and self.said()) and self.driver.poll() is None:
            time.sleep(0.01)

    def wait_for_an_update(self) -> None:
        """Wait until it logs an update."""
        before = self._num_logged()
        while self._num_logged() <= before and self.driver.poll() is None:
            time.sleep(0.01)

    def finish(self) -> int:
        return self.driver.wait(_LIMIT_S)

    def _num_logged(self) -> int:
        path = self.folder / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0
