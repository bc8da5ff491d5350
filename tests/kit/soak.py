"""A soak test of the sandbox: many calls in a row, some of which hang, crash or use up the memory.

In: a number of calls and a seed. Out: figures about the replies and about processes, files and memory left
behind. The mix has 5 % hangs, 5 % crashes and 2 % memory bombs.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.sandbox.client import ReplyStatus, Sandbox

OPERATIONS = Path(__file__).with_name("soak_operations.py")
HANGS = ("hang", "hang_in_c")
DEATHS = ("exit_quietly", "kill_itself", "segfault", "abort", "exit_python")
# Filling memory takes processor time, on some machines more than the limit: either limit may end it.
BOMBS = {
    "grab_at_once": {ReplyStatus.CRASH},
    "grab_slowly": {ReplyStatus.CRASH, ReplyStatus.TIMEOUT},
}
_HANG_FRAC, _DEATH_FRAC, _BOMB_FRAC = 0.05, 0.05, 0.02
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True, slots=True)
class SoakFigures:
    """The figures of a soak test.

    Attributes:
        num_calls: Number of calls; each got a reply.
        num_wrong: Number of replies with the status or value of another call.
        statuses: Number of replies by status.
        median_s: Median time of a plain call after a plain call, in seconds.
        p99_s: 99th percentile of the same, in seconds.
        recovery_s: Longest time of a plain call after a call that killed its worker.
        overrun_s: Longest time that a hang lasted beyond its limit.
        files_added: Open files of this process, after minus before.
        zombies_added: Dead children of this process and the zygote, after minus before.
        processes_left: Processes of the sandbox that outlived it.
        zygote_growth_bytes: Resident memory of the zygote at the last call, minus that after a tenth of the
            calls.
        first_wrong: The first wrong reply, as a message; empty if there is none.
    """

    num_calls: int
    num_wrong: int
    statuses: dict[ReplyStatus, int]
    median_s: float
    p99_s: float
    recovery_s: float
    overrun_s: float
    files_added: int
    zombies_added: int
    processes_left: int
    zygote_growth_bytes: int
    first_wrong: str


def soak(num_calls: int, seed: int, *, timeout_s: float = 0.3, memory_mb: int = 256) -> SoakFigures:
    """Make the calls in one sandbox, which this function starts and ends.

    Args:
        num_calls: Number of calls, at least 20.
        seed: Seed of the mix.
        timeout_s: Time limit of a call.
        memory_mb: Memory limit of a worker in MiB.
    """
    assert num_calls >= 20
    rng = random.Random(seed)
    before, zombies_before = _num_files(), len(_zombies(os.getpid()))
    statuses: Counter[ReplyStatus] = Counter()
    plain: list[float] = []
    recovery, overrun = [0.0], [0.0]
    wrong: list[str] = []
    family: set[int] = set()
    rss_early = rss_late = 0
    with Sandbox(OPERATIONS, timeout_s=timeout_s, memory_mb=memory_mb) as sandbox:
        killed = True
        for number in range(num_calls):
            operation, expected = _draw(rng)
            arguments = {"value": [number, "ä"]} if operation == "echo" else {}
            start = time.monotonic()
            reply = sandbox.call(operation, **arguments)
            taken_s = time.monotonic() - start
            statuses[reply.status] += 1
            if reply.status not in expected or reply.value != arguments.get("value"):
                wrong.append(f"call {number}, {operation}: {reply}")
            if operation == "echo":
                (recovery if killed else plain).append(taken_s)
            elif operation in HANGS:
                overrun.append(taken_s - timeout_s)
            killed = operation != "echo"
            if number == num_calls // 10 or number == num_calls - 1:
                rss_early, rss_late = rss_early or _rss_bytes(sandbox), _rss_bytes(sandbox)
                family |= {sandbox.zygote_pid or 0, *_children(sandbox.zygote_pid or 0)}
        zombies = len(_zombies(os.getpid())) + len(_zombies(sandbox.zygote_pid or 0)) - zombies_before
    return SoakFigures(
        num_calls=num_calls,
        num_wrong=len(wrong),
        statuses=dict(statuses),
        median_s=statistics.median(plain),
        p99_s=sorted(plain)[int(0.99 * len(plain))],
        recovery_s=max(recovery),
        overrun_s=max(overrun),
        files_added=_num_files() - before,
        zombies_added=zombies,
        processes_left=sum(Path(f"/proc/{pid}").exists() for pid in family),
        zygote_growth_bytes=rss_late - rss_early,
        first_wrong=wrong[0] if wrong else "",
    )


def _draw(rng: random.Random) -> tuple[str, Collection[ReplyStatus]]:
    draw = rng.random()
    if draw < _HANG_FRAC:
        return rng.choice(HANGS), {ReplyStatus.TIMEOUT}
    if draw < _HANG_FRAC + _DEATH_FRAC:
        return rng.choice(DEATHS), {ReplyStatus.CRASH}
    if draw < _HANG_FRAC + _DEATH_FRAC + _BOMB_FRAC:
        return rng.choice(list(BOMBS.items()))
    return "echo", {ReplyStatus.OK}


def _num_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _children(pid: int) -> Sequence[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _zombies(pid: int) -> Sequence[int]:
    states = {}
    for child in _children(pid):
        try:
            states[child] = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
    return [child for child, state in states.items() if state == "Z"]


def _rss_bytes(sandbox: Sandbox) -> int:
    return int(Path(f"/proc/{sandbox.zygote_pid}/statm").read_text().split()[1]) * _PAGE_BYTES
