"""Jobs on a Ray head with a token that are stopped and killed, and sent again with `--resume` until they end.

In: how often a job is interrupted. Out: whether each job ended with the exit code of what happened to it, and
each run like one that was left alone. ``python -m tests.kit.chaos jobs`` prints the table.
"""

from __future__ import annotations

import os
import random
import re
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rl.runs.lock import lock_holder
from scripts.jobs.head import Head
from tests.kit.chaos_actors import is_actor, logged_updates
from tests.kit.family import started_with
from tests.kit.finding import Finding, share
from tests.kit.ray_head import TINY, RunningHead, running_head
from tests.kit.same_run import differences

INTERRUPTIONS = 20
UPDATES = 16
_AT_ONCE = 3
"""Most updates that a job makes before it is interrupted, so that a run is interrupted several times."""
_LIMIT_S = 600.0
_KINDS = ("stopped", "drivers killed", "actors killed", "left and stopped")
_KEYS = (
    f"grpo.updates={UPDATES}",
    "rewards.allow_wrong_above_right=true",
    "rewards.terms=[{name: format, weight: 1.0}, {name: token_count, weight: -0.3}]",
)
_STOPPED, _KILLED, _LEFT = 128 + signal.SIGTERM, 128 + signal.SIGKILL, 128 + signal.SIGINT


@dataclass(kw_only=True, slots=True)
class _Tally:
    """What happened to the jobs."""

    done: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    same: int = 0
    failures: list[str] = field(default_factory=list)


def run(scale: float) -> Iterator[Finding]:
    """One line: jobs that are stopped, whose driver is killed, whose actor is killed, that are left."""
    with tempfile.TemporaryDirectory(prefix="jobs-") as folder, running_head() as head:
        yield interrupt_often(head, Path(folder), share(INTERRUPTIONS, scale))


def interrupt_often(head: RunningHead, folder: Path, number: int, *, seed: int = 0) -> Finding:
    """Interrupt jobs so many times, and see how their runs end.

    Args:
        head: Where they run.
        folder: For the runs.
        number: How often.
        seed: Of kinds and moments.
    """
    tally, draw = _Tally(), random.Random(seed)
    whole = folder / "whole"
    calm = _Job(head, whole)
    if (code := calm.end()) != 0:
        raise RuntimeError(f"the calm job ended with {code}: {calm.said}")
    while tally.done.total() < number and not tally.failures:
        run, code = folder / f"run{tally.runs}", -1
        while code != 0 and tally.done.total() < number and not tally.failures:
            code = _interrupt(_Job(head, run), draw, tally)
        if code != 0:
            code = _Job(head, run).end()
        tally.runs += 1
        found = differences(run, whole) if code == 0 else [f"ended with {code}"]
        tally.same += not found
        tally.failures += [f"{run.name}: {one}" for one in found]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.done.items()))
    return Finding(
        test="jobs on a head with a token",
        size=tally.done.total(),
        figures=f"{kinds}; {tally.same} of {tally.runs} runs end like one left alone",
        failures=tuple(tally.failures),
    )


class _Job:
    """A job whose run goes on where there is one, and the client that follows it."""

    def __init__(self, head: RunningHead, run: Path) -> None:
        self._head, self.run = head, run
        resume = ["--resume"] if (run / "config.yaml").exists() else []
        self._client = head.submit(run.parent, "cluster", *TINY, *_KEYS, f"output_dir={run}", *resume)
        self.said = ""

    def wait_for(self, update: int) -> int | None:
        """Wait until the run has logged an update; returns its driver's process, None if the job has ended."""
        until = time.monotonic() + _LIMIT_S
        while (driver := self._driver()) is None or logged_updates(self.run) < update:
            if self._client.poll() is not None:
                return None
            if time.monotonic() > until:
                self._client.kill()
                raise RuntimeError(f"no update {update} within {_LIMIT_S:g} s: {self._client.communicate()}")
            time.sleep(0.02)
        return driver

    def end(self) -> int:
        """The exit code of the client once it has ended."""
        self.said = "".join(self._client.communicate(timeout=_LIMIT_S))[-1500:]
        return self._client.returncode

    def leave(self) -> int:
        """Ctrl-C in the client; returns its exit code."""
        self._client.send_signal(signal.SIGINT)
        return self.end()

    def stop(self) -> int:
        """`stride submit --stop`; returns its exit code."""
        jobs = Head(address=self._head.address, token=self._head.environment["RAY_AUTH_TOKEN"])
        mine = [
            str(job["submission_id"])
            for job in jobs.request("/api/jobs/")
            if f"output_dir={self.run}" in job["entrypoint"].split() and job["status"] == "RUNNING"
        ]
        if not mine:
            return 0  # it has got to its end meanwhile
        asked = self._head.submit(self.run.parent, "--stop", mine[0])
        self.said = "".join(asked.communicate(timeout=_LIMIT_S))[-1500:]
        return asked.returncode

    def actors(self) -> list[int]:
        """The processes of the rollout actors on the head, of which this job has the only ones."""
        mark = f"RAY_TMPDIR={self._head.environment['RAY_TMPDIR']}"
        return [pid for pid in started_with(mark) if is_actor(pid)]

    def _driver(self) -> int | None:
        match = re.match(r"process ([0-9]+) ", lock_holder(self.run) or "")
        return int(match[1]) if match else None


def _interrupt(job: _Job, draw: random.Random, tally: _Tally) -> int:
    """Do something to a job at a random moment, and have it end; returns its exit code."""
    driver = job.wait_for(logged_updates(job.run) + draw.randrange(_AT_ONCE))
    if driver is None:
        return job.end()
    time.sleep(draw.random() * 0.3)
    kind = draw.choice(_KINDS)
    asked, left, wanted = 0, 0, _STOPPED
    if kind == "actors killed":
        for pid in job.actors():
            _kill(pid)
        wanted = 0  # it goes on
    elif kind == "drivers killed":
        if not _kill(driver):
            return job.end()  # it has got to its end meanwhile
        wanted = _KILLED
    elif kind == "stopped":
        asked = job.stop()
    else:
        left = job.leave()
        asked = job.stop()
        wanted = _LEFT
    code = left if kind == "left and stopped" else job.end()
    tally.done[kind] += 1
    if asked or code not in (wanted, 0):
        tally.failures.append(f"{kind}: the job ended with {code}, what was asked with {asked}: {job.said}")
    return code


def _kill(pid: int) -> bool:
    """SIGKILL to a process; returns whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
