"""Runs that are killed again and again, resumed each time, and compared with runs that were left alone.

A chain is one run: it is started, killed by SIGKILL, resumed, killed, ..., and ends when a driver gets to the
end of the run alive. Drivers are killed before or shortly after a change of a file in the run's folder (half of
these inside a save), or at any time. Moments follow from the seed and the scenario; after a failure the chain's
log names them.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.family import command, started_with
from tests.kit.finding import Finding, share
from tests.kit.fork_server import ROOT, ForkServer, Moment
from tests.kit.same_run import differences, leftovers
from tests.kit.tiny_config import write_tiny

_LIMIT_S = 300.0
_SAVE_S = 0.03
_MAX_FAILURES = 5
_LINGER_S = {"local": 30.0, "ray": 60.0}
"""How long processes of a run may live after its driver."""
_CHANGES = """
name: chaos
eval: {every: 3, every_problems: 3}
"""
_OWN_REWARD = """
import time
from rewards import reward

@reward(when_wrong=(0, 0.5))
def slow(problem, trace):
    time.sleep(0.01)
    return 0.5 / (1 + trace.num_tokens)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A run that is killed.

    Attributes:
        name: For the table.
        kills: Kills at full size.
        config: YAML of what differs from the tiny config.
        backend: Where it samples.
    """

    name: str
    kills: int
    config: str
    backend: str = "local"


SCENARIOS = (
    Scenario(
        name="warm start and GRPO, two updates a batch, rewards with a memory",
        kills=40,
        config="""
warm_start: {updates: 12, num_problems: 24, batch_size: 4, learning_rate: 3.0e-3, save_every: 4}
rewards:
  terms:
    - {name: correct, weight: 1.0}
    - {name: format, weight: 0.2}
    - {name: length_over_history, weight: -0.1}
    - {name: token_count, weight: -0.1, schedule: {0: 0.5, 12: 1}}
grpo: {updates: 12, num_iterations: 2, save_every: 2, budget_frac: 0.5}
""",
    ),
    Scenario(
        name="LoRA with a KL term, one checkpoint kept, saved at every update",
        kills=30,
        config="""
warm_start: {updates: 4, num_problems: 12, batch_size: 4, learning_rate: 3.0e-3, save_every: 1}
policy: {lora: {r: 4, alpha: 8}}
grpo: {updates: 10, beta: 0.1, save_every: 1, keep_checkpoints: 1}
""",
    ),
    Scenario(
        name="a reward of the user's",
        kills=22,
        config="""
rewards: {terms: [{name: correct, weight: 1.0}, {name: "chaos_reward:slow", weight: 0.5}]}
grpo: {updates: 10, save_every: 2}
""",
    ),
    Scenario(
        name="two Ray actors that sample ahead",
        kills=8,
        backend="ray",
        config="""
rollout: {backend: ray, num_actors: 2, cpus_per_actor: 0.5, max_staleness: 1, problems_per_batch: 1,
  max_new_tokens: 16}
grpo: {updates: 12, save_every: 4}
""",
    ),
)


@dataclass(kw_only=True, slots=True)
class Tally:
    """What happened to the runs of a scenario."""

    kills: int = 0
    in_saves: int = 0
    chains: int = 0
    same: int = 0
    failures: list[str] = field(default_factory=list)


def run(scale: float) -> Iterator[Finding]:
    """A line for each scenario."""
    with ForkServer() as server:
        for number, scenario in enumerate(SCENARIOS):
            yield kill_often(server, scenario, share(scenario.kills, scale), seed=number)


def kill_often(server: ForkServer, scenario: Scenario, kills: int, *, seed: int, fresh: bool = True) -> Finding:
    """Kill runs of a scenario so many times, and see how each ends.

    Args:
        server: Forks the drivers.
        scenario: The runs.
        kills: How many.
        seed: Of the moments.
        fresh: Compare with a run in a process of its own too, which has other hashes than forked ones.
    """
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    found = _Chains(server, scenario, folder, random.Random(seed)).go(kills, fresh=fresh)
    if not found.failures:
        shutil.rmtree(folder)
    return Finding(
        test=f"SIGKILL: {scenario.name}",
        size=found.kills,
        figures=f"{found.in_saves} inside a save; {found.same} of {found.chains} runs end like one left alone",
        failures=tuple(found.failures),
    )


def write_config(scenario: Scenario, folder: Path) -> Path:
    """Write the config of a scenario, with what it needs, into a folder."""
    path = write_tiny(folder / "config.yaml", _CHANGES + scenario.config)
    (folder / "chaos_reward.py").write_text(_OWN_REWARD)
    return path


class _Chains:
    """The runs of a scenario, one after the other."""

    def __init__(self, server: ForkServer, scenario: Scenario, folder: Path, rng: random.Random) -> None:
        self._server, self._scenario, self._folder, self._rng = server, scenario, folder, rng
        self._config = write_config(scenario, folder)
        self._found = Tally()
        self._seconds = 0.0
        self._changes: list[str] = []

    def go(self, kills: int, *, fresh: bool) -> Tally:
        """Kill runs so many times."""
        whole, found = self._folder / "whole", self._found
        self._leave_alone(whole)
        if fresh:
            self._compare_with_fresh(whole)
        while found.kills < kills and len(found.failures) < _MAX_FAILURES:
            found.chains += 1
            run = self._folder / f"run{found.chains}"
            code, temporary = self._chain(run, kills)
            wrong = [f"exit code {code}"] if code else [*differences(run, whole), *self._left(temporary)]
            found.failures += [f"{self._scenario.name}: {run}: {text}" for text in wrong]
            found.same += not wrong
            shutil.rmtree(temporary, ignore_errors=True)
        return found

    def _leave_alone(self, whole: Path) -> None:
        """The run that is not killed, which notes its changes of files."""
        changes, started = self._folder / "changes", time.monotonic()
        driver = self._server.train(self._arguments(whole), log=whole.with_suffix(".log"), changes=changes)
        if code := driver.wait(_LIMIT_S):
            raise RuntimeError(f"the run that is left alone ended with {code}; see {whole}.log")
        self._seconds = time.monotonic() - started
        self._changes = [line for line in changes.read_text().splitlines() if f" {whole}" in line]

    def _compare_with_fresh(self, whole: Path) -> None:
        fresh = self._folder / "fresh"
        train = [sys.executable, "-m", "scripts.train", *self._arguments(fresh)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(train, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        wrong = [done.stderr[-2000:]] if done.returncode else differences(whole, fresh)
        self._found.failures += [f"forked and fresh: {text}" for text in wrong]

    def _chain(self, run: Path, kills: int) -> tuple[int, Path]:
        """Start a run, kill and resume it until it ends: its exit code, and its folder of temporary files."""
        found, temporary = self._found, Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
        log = run.with_suffix(".log")
        while True:
            moment = self._moment(run) if found.kills < kills else None
            with log.open("a") as file:
                file.write(f"---- {moment}\n")
            driver = self._server.train(
                [*self._arguments(run), *(["--resume"] if (run / "config.yaml").exists() else [])],
                log=log,
                environment={"TMPDIR": str(temporary)},
                moment=moment,
            )
            code = driver.wait(_LIMIT_S)
            if code != -signal.SIGKILL:
                return code, temporary
            found.kills += 1
            if self._scenario.backend == "local":  # a cluster takes longer; it is looked at once, in the end
                found.failures += [f"{run}: {text}" for text in self._processes_left(temporary)]
            found.in_saves += any(leftovers(run / "checkpoints"))

    def _arguments(self, run: Path) -> list[str]:
        return [str(self._config), f"output_dir={run}"]

    def _moment(self, run: Path) -> Moment:
        """A random moment, such that a run is killed a few times before it ends."""
        draw, rng = self._rng.random(), self._rng
        if draw < 0.3:
            return Moment(change=0, delay_s=rng.uniform(0, self._seconds / 3), folder=str(run))
        part = "/checkpoints" if draw < 0.8 else ""
        num = sum(part in line for line in self._changes)
        delay_s = rng.choice([0.0, rng.uniform(0, _SAVE_S)])
        return Moment(change=rng.randint(1, max(1, num // 3)), delay_s=delay_s, folder=f"{run}{part}")

    def _left(self, temporary: Path) -> Iterator[str]:
        """What is left of the run's processes and temporary files."""
        yield from self._processes_left(temporary)
        yield from (f"{path} is left" for path in temporary.iterdir())

    def _processes_left(self, temporary: Path) -> Iterator[str]:
        deadline = time.monotonic() + _LINGER_S[self._scenario.backend]
        while (pids := started_with(f"TMPDIR={temporary}")) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield from (f"process {pid} is left: {command(pid)[:80]}" for pid in pids)
