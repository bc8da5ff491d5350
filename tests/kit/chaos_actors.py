"""Actors that are killed and stopped while a run trains: nothing is lost, counts twice or changes.

In: how many of four actors are killed after each update, and how many are stopped in all. Out: the run's groups
and weights, beside those of a calm run without actors. ``python -m tests.kit.chaos actors`` prints the figures.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.runs.trajectories import trajectory_log
from tests.kit.family import command, descendants
from tests.kit.finding import Finding, share
from tests.kit.fork_server import ForkServer
from tests.kit.tiny_config import write_tiny

ACTOR = "ray::RolloutActor"
NUM_ACTORS, UPDATES = 4, 10
LIMIT_S = 900.0
CHANGES = """
rollout:
  backend: ray
  cpus_per_actor: 0.1
  samples_per_problem: 2
  problems_per_batch: 1
  deadline_s: 15
  max_restarts: 1000
rewards:
  allow_wrong_above_right: true
  terms:
    - {name: format, weight: 1.0}
    - {name: token_count, weight: -0.3}
grpo: {problems_per_update: 8, max_resamples: 0}
eval: {num_problems: 2}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run has trained.

    Attributes:
        weights: SHA-256 of the final weights.
        groups: Update and number of every group that was sampled, sorted.
        faults: Processes that were killed or stopped.
        seconds: Its time.
        log: What it printed.
    """

    weights: str
    groups: list[tuple[int, int]]
    faults: int
    seconds: float
    log: str


def run(scale: float) -> Iterator[Finding]:
    """Kill 1, 2 and 4 of four actors after each update, and stop some."""
    updates = max(2, share(UPDATES, scale))
    with tempfile.TemporaryDirectory() as folder, ForkServer() as server:
        untroubled = train(server, Path(folder) / "calm", "rollout.backend=local", updates=updates)
        for kills, stops in ((1, 0), (2, 0), (4, 0), (1, 2)):
            name = f"{kills} of {NUM_ACTORS} actors killed per update" + (f", {stops} stopped" if stops else "")
            trouble = Trouble(kills=kills, stops=stops)
            tried = train(server, Path(folder) / f"{kills}-{stops}", updates=updates, trouble=trouble)
            yield compare(name, untroubled, tried)


def compare(name: str, calm: Outcome, tried: Outcome) -> Finding:
    """The line of a run beside the calm one."""
    lost, twice = set(calm.groups) - set(tried.groups), len(tried.groups) - len(set(tried.groups))
    failures = [f"{name}: group {group} of update {update} was lost" for update, group in sorted(lost)]
    if twice:
        failures.append(f"{name}: {twice} groups counted twice")
    if tried.weights != calm.weights:
        failures.append(f"{name}: other weights, {tried.weights[:12]} instead of {calm.weights[:12]}")
    same = "the calm run's weights" if tried.weights == calm.weights else "other weights"
    return Finding(
        test=name,
        size=tried.faults,
        figures=(
            f"{len(tried.groups)} of {len(calm.groups)} groups, {len(lost)} lost, {twice} twice; {same}; "
            f"{tried.seconds:.0f} s (calm: {calm.seconds:.0f} s)"
        ),
        failures=tuple(failures),
    )


class Trouble:
    """Kills so many actors after each update, and stops one after each of the first updates."""

    def __init__(self, *, kills: int, stops: int, seed: int = 0) -> None:
        self._kills, self._stops, self._draw = kills, stops, random.Random(seed)

    def __call__(self, update: int, driver: int) -> int:
        """Do so after an update of a driver; returns how many there were."""
        time.sleep(self._draw.random() * 0.3)  # while the learner works, or while the actors do
        actors = rollout_actors(driver)
        chosen = self._draw.sample(actors, min(self._kills, len(actors)))
        done = sum(_send(pid, signal.SIGKILL) for pid in chosen)
        if update <= self._stops and (left := [pid for pid in actors if pid not in chosen]):
            done += _send(self._draw.choice(left), signal.SIGSTOP)
        return done


def calm(update: int, driver: int) -> int:
    """No trouble."""
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A driver that has ended.

    Attributes:
        code: Its exit code.
        faults: Processes that were killed or stopped.
        seconds: Its time.
        log: What it printed.
    """

    code: int
    faults: int
    seconds: float
    log: str


def train(server: ForkServer, folder: Path, *keys: str, **how: Any) -> Outcome:
    """Train to the end, as `drive` does.

    Raises:
        RuntimeError: The run has failed.
    """
    ended = drive(server, folder, *keys, **how)
    if ended.code:
        raise RuntimeError(f"the run ended with exit code {ended.code}: {ended.log[-2000:]}")
    return Outcome(
        weights=weights_digest(folder),
        groups=trained_groups(folder),
        faults=ended.faults,
        seconds=ended.seconds,
        log=ended.log,
    )


def drive(
    server: ForkServer,
    folder: Path,
    *keys: str,
    updates: int,
    trouble: Callable[[int, int], int] = calm,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Train in a process of its own, and trouble it.

    Args:
        server: Forks the driver.
        folder: For the run.
        keys: Further keys of its config.
        updates: Its length.
        trouble: Called after each update but the last, with its number and the driver's process id; returns how
            many processes it has killed or stopped.
        environment: Further variables of the driver.
    """
    config, log = write_tiny(folder.with_suffix(".yaml"), CHANGES), folder.with_suffix(".log")
    own = [f"output_dir={folder}", f"rollout.num_actors={NUM_ACTORS}", f"grpo.updates={updates}"]
    began, seen, faults = time.monotonic(), 0, 0
    variables = {"RAY_ADDRESS": "", **(environment or {})}
    driver = server.train([str(config), *own, *keys], log=log, environment=variables)
    try:
        while driver.poll() is None:
            done = logged_updates(folder)
            while seen < min(done, updates - 1):
                seen += 1
                faults += trouble(seen, driver.pid)
            time.sleep(0.02)
            if time.monotonic() - began > LIMIT_S:
                raise RuntimeError(f"the run has not ended within {LIMIT_S:g} s: {log.read_text()[-2000:]}")
    except BaseException:
        driver.send(signal.SIGKILL)
        raise
    seconds = time.monotonic() - began
    return Ended(code=driver.wait(0), faults=faults, seconds=seconds, log=log.read_text())


def _send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; returns whether the process was there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def rollout_actors(driver: int) -> list[int]:
    """The rollout actors among the descendants of a driver."""
    return sorted(filter(is_actor, descendants(driver)))


def is_actor(pid: int) -> bool:
    """Whether a process is a rollout actor, by its exact title."""
    return command(pid).partition(" ")[0].partition(".")[0] == ACTOR


def logged_updates(folder: Path) -> int:
    """How many updates of GRPO a run has logged."""
    path = folder / "metrics.jsonl"
    rows = path.read_text().split("\n")[:-1] if path.exists() else []
    return sum(json.loads(row)["stage"] == "grpo" for row in rows)


def weights_digest(folder: Path) -> str:
    """SHA-256 of a run's final weights."""
    return hashlib.sha256((folder / "models" / "grpo" / "model.safetensors").read_bytes()).hexdigest()


def trained_groups(folder: Path) -> list[tuple[int, int]]:
    """Update and number of every group in the trajectories, sorted."""
    rows = trajectory_log(folder).read(tokens=False)
    return sorted((row.update, row.group) for row in rows if row.sample == 0)
