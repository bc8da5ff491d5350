"""The parent of the process that calls a user's reward, which ends it together with everything it has started.

::

    driver or actor -> supervisor -> worker (calls the function) -> what the function starts

The supervisor ends the others when its own parent has ended, even by SIGKILL, when it is asked to (SIGTERM),
and when together they hold more memory than they may. It is needed because the worker cannot watch itself: a
function may hold the interpreter's lock for minutes. The kernel's parent-death signal alone would not do
either: it goes by the *thread* that has forked, and the worker would die with a thread of the driver.

Memory is what the processes hold alone: anonymous pages, shared memory and swap, without the pages of files.
Limits of the address space (`RLIMIT_AS`, `RLIMIT_DATA`) would also count what libraries only reserve, for each
process apart.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from envs.sandbox.confine import adopt_orphans, child_pids, end_with_parent, kill_children

TICK_S = 0.1
"""How often the supervisor looks for its parent, and at the memory."""
_HELD = ("status", "RssAnon", "RssShmem", "VmSwap")
_HELD_IN_PARTS = ("smaps_rollup", "Pss_Anon", "Pss_Shmem", "SwapPss")
"""Pages are divided by the number of processes that share them: exact, but the kernel walks the pages."""


def supervise(*, parent: int, memory_gib: float, connection: int, report: int) -> None:
    """Fork; this returns in the worker, and never in the supervisor. Call it while there is one thread.

    Args:
        parent: Process id of the process that the worker works for.
        memory_gib: Memory that worker and descendants may hold, in GiB.
        connection: File descriptor that only the worker keeps, so that its end is noticed at the other end.
        report: File descriptor to which the supervisor writes how the worker ended: `exit code 3`, `signal 9`
            or `memory`.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    awaited = {signal.SIGCHLD, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)  # they wait until they are asked for
    adopt_orphans()
    supervisor = os.getpid()
    worker = os.fork()
    if worker == 0:
        end_with_parent(supervisor)
        os.close(report)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, awaited)
        return
    try:
        os.close(connection)
        how = ""
        while not how and os.getppid() == parent:
            received = signal.sigtimedwait(awaited, TICK_S)
            if received and received.si_signo == signal.SIGTERM:
                break
            how = _ended(worker) or ("memory" if _held_gib() > memory_gib else "")
        with suppress(OSError), Connection(report) as to_parent:
            to_parent.send_bytes(how.encode())
    finally:
        kill_children()
        os._exit(0)


def _ended(worker: int) -> str:
    """How the worker ended; empty if it has not. Adopted processes that have ended are reaped."""
    how = ""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            if found[0] == worker:
                code = os.waitstatus_to_exitcode(found[1])
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return how


def _held_gib() -> float:
    family = list(_descendants("self"))
    held = sum(_gib(pid, *_HELD) for pid in family)
    # Processes that were forked from one another share pages, which have been counted for each.
    return held if len(family) < 2 else min(held, sum(_gib(pid, *_HELD_IN_PARTS) for pid in family) or held)


def _descendants(pid: int | str) -> Iterator[int]:
    for child in child_pids(pid):
        yield child
        yield from _descendants(child)


def _gib(pid: int, file: str, *fields: str) -> float:
    """The sum of some fields of a file in /proc, in GiB; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0.0
    kib = [int(line.split()[1]) for line in lines if line.partition(":")[0] in fields]
    return sum(kib) / 2**20
