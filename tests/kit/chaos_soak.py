"""Long runs: what driver and actors hold must not grow.

In: runs of many updates, with checkpoints, evaluations and a reward of the user's. Out: the growth of memory by
update with its interval, and descriptors, threads and files for temporary use early and late. The runs are
watched from outside, in /proc; the first quarter, in which caches fill, is left out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from rl.stats.intervals import t_quantile
from tests.kit.family import command, descendants, held
from tests.kit.finding import Finding, share
from tests.kit.fork_server import Driver, ForkServer
from tests.kit.tiny_config import tiny_config

MB_PER_100_UPDATES = 1.0
"""Resident memory may grow by less."""
_LOOK_S = 0.05
_BLOCKS, _MIN_LOOKS = 15, 12
_LIMIT_S = 3600.0
_ROLES = {"ray::RolloutActor": "actor", "rewards.user_process": "reward"}
_CHANGES = """
name: soak
policy: {tiny: {hidden_size: 16, num_heads: 1, intermediate_size: 16, max_positions: 64}}
rollout: {max_new_tokens: 8}
rewards:
  terms:
    - {name: correct, weight: 1.0}
    - {name: token_count, weight: -0.2}
    - {name: length_over_history, weight: -0.1}
    - {name: "soak_reward:length", weight: 0.1}
grpo: {learning_rate: 1.0e-6, save_every: 20, max_logprob_diff: null}
eval: {every: 25, every_problems: 4}
"""
_REWARD = """
from rewards import reward

@reward(when_wrong=(0, 1))
def length(problem, trace):
    return 1 / (1 + trace.num_tokens)
"""
_RAY = {"backend": "ray", "num_actors": 2, "cpus_per_actor": 0.5, "max_staleness": 1, "problems_per_batch": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Soak:
    """A long run.

    Attributes:
        name: For the table.
        updates: Updates at full size; more with actors, whose memory moves more.
        rollout: Keys of `rollout` beside what all have.
        prepare: See `ForkServer.train`.
    """

    name: str
    updates: int
    rollout: Mapping[str, object]
    prepare: str = ""


SOAKS = (
    Soak(name="fake engine, in the driver", updates=2000, rollout={}, prepare="tests.kit.fake_engine:install"),
    Soak(name="fake engine, two actors", updates=2000, rollout=_RAY, prepare="tests.kit.fake_engine:install"),
    Soak(name="real engine, in the driver", updates=300, rollout={}),
    Soak(name="real engine, two actors", updates=2000, rollout=_RAY),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """The slope of a figure by update, in its unit per 100 updates, with the ends of its 95 % interval."""

    slope: float
    low: float
    high: float

    def __str__(self) -> str:
        """In words."""
        return f"{self.slope:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def growth(updates: Sequence[float], values: Sequence[float]) -> Growth:
    """The slope of a series.

    Neighbouring looks depend on each other, so the line is fitted to the means of up to 15 blocks, and the
    interval is that of a slope over as many independent values.
    """
    num = min(_BLOCKS, len(updates) // 2)
    order = np.argsort(updates, kind="stable")
    blocks_x = [block.mean() for block in np.array_split(np.asarray(updates, float)[order], num)]
    blocks_y = [block.mean() for block in np.array_split(np.asarray(values, float)[order], num)]
    x, y = np.array(blocks_x) - np.mean(blocks_x), np.array(blocks_y) - np.mean(blocks_y)
    slope = float(x @ y / (x @ x))
    error = float(np.sqrt(np.sum((y - slope * x) ** 2) / (num - 2) / (x @ x)))
    half = t_quantile(0.05, num - 2) * error
    return Growth(slope=100 * slope, low=100 * (slope - half), high=100 * (slope + half))


def run(scale: float) -> Iterator[Finding]:
    """A line for each soak."""
    with ForkServer() as server:
        for soak in SOAKS:
            yield long_run(server, soak, share(soak.updates, scale))


def long_run(
    server: ForkServer, soak: Soak, updates: int, *, mb_per_100_updates: float = MB_PER_100_UPDATES
) -> Finding:
    """Run a soak of so many updates, and see what grows."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    temporary = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))  # short: sockets lie in it
    sections = tiny_config(_CHANGES)
    sections["rollout"].update(soak.rollout)
    sections["grpo"]["updates"] = updates
    (folder / "config.yaml").write_text(yaml.safe_dump(sections))
    (folder / "soak_reward.py").write_text(_REWARD)
    log = folder / "log"
    driver = server.train(
        [str(folder / "config.yaml"), f"output_dir={folder / 'run'}"],
        log=log,
        environment={"TMPDIR": str(temporary)},
        prepare=soak.prepare,
    )
    looks = _watch(driver, folder / "run" / "metrics.jsonl", temporary)
    figures, failures = judge(looks, updates, mb_per_100_updates)
    if code := driver.wait(0):
        failures.append(f"exit code {code}: {log.read_text()[-2000:]}")
    failures += [f"{path} is left" for path in temporary.iterdir()]
    if not failures:
        shutil.rmtree(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    return Finding(
        test=f"soak: {soak.name}",
        size=updates,
        figures="; ".join(figures),
        failures=tuple(f"{soak.name}: {failure}" for failure in failures),
    )


Looks = Mapping[str, Sequence[tuple[int, float]]]
"""Figures by name, each a series of (update, value)."""


def _watch(driver: Driver, metrics: Path, temporary: Path) -> Looks:
    """Look at the processes of a run until it ends."""
    looks: dict[str, list[tuple[int, float]]] = defaultdict(list)
    update, offset, deadline = 0, 0, time.monotonic() + _LIMIT_S
    while driver.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the run is at update {update} after {_LIMIT_S:g} s")
        if metrics.exists():
            with metrics.open("rb") as file:
                file.seek(offset)
                new = file.read()
            update, offset = update + new.count(b"\n"), offset + len(new)
        names = {driver.pid: "driver"}
        for pid in descendants(driver.pid):
            role = next((role for mark, role in _ROLES.items() if mark in command(pid)), None)
            if role is not None:
                names[pid] = role
        totals: dict[str, float] = defaultdict(float)
        for pid, role in names.items():
            if found := held(pid):
                totals[f"{role} MB"] += found.rss_mb
                totals[f"{role} files"] += found.files
                totals[f"{role} threads"] += found.threads
        totals["files in /tmp"] = sum(len(files) for _, _, files in os.walk(temporary))  # passes over what goes
        totals["files in /dev/shm"] = sum(1 for _ in Path("/dev/shm").iterdir())
        for name, value in totals.items():
            looks[name].append((update, value))
        time.sleep(_LOOK_S)
    return looks


def judge(looks: Looks, updates: int, mb_per_100_updates: float) -> tuple[list[str], list[str]]:
    """The figures in words, and what grows."""
    figures, failures = [], []
    for name, series in looks.items():
        late = [(update, value) for update, value in series if updates / 4 <= update < updates]
        if len(late) < _MIN_LOOKS:
            failures.append(f"{name}: only {len(late)} looks")
            continue
        if name.endswith(" MB"):
            found = growth(*zip(*late, strict=True))
            figures.append(f"{name} {np.mean([value for _, value in late]):.0f}, {found} per 100 updates")
            if found.high >= mb_per_100_updates:
                failures.append(f"{name} grows by {found} per 100 updates")
            continue
        third = len(late) // 3
        # The least of them: a file that is being written is open for a moment, one that is left stays open.
        early, end = (min(value for _, value in part) for part in (late[:third], late[-third:]))
        figures.append(f"{name} {early:.0f} → {end:.0f}")
        if end > early:
            failures.append(f"{name} {early:.0f} → {end:.0f}")
    return figures, failures
