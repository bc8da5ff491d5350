"""Ends a private Ray cluster when the process that started it is gone, however it ended.

A process of its own, which needs nothing but the standard library: it waits for the end of its standard input,
which the kernel closes with the driver, then kills what is left of the cluster and removes its folder. Ray's
agents would stay for up to a minute, and nobody would remove the folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "STRIDE_CLUSTER"
"""Environment variable of the processes that Ray starts: the folder of their cluster."""
_LONGEST_S = 60.0
_STARTING_S = 2.0
_ENDED = b"."


class Watchdog:
    """The process that watches over the cluster in a folder."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # signals to the driver's group are not for it
        )

    def finish(self, *, ended: bool, limit_s: float) -> None:
        """Have it remove what is left, and wait for that; after the time limit it goes on alone.

        Args:
            ended: Whether Ray has ended, so that it starts no further process.
            limit_s: Longest time to wait.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(_ENDED if ended else b"")
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(limit_s)


def end_cluster(folder: Path, *, ended: bool) -> None:
    """Kill the processes of a private cluster and remove its folder.

    Args:
        folder: Its folder.
        ended: Whether Ray has ended; else it may still be starting processes.
    """
    began = last_seen = time.monotonic()
    while time.monotonic() - began < _LONGEST_S:
        pids = cluster_processes(folder)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if pids or folder.exists():
            last_seen = time.monotonic()
        elif ended or time.monotonic() - last_seen > _STARTING_S:
            return
        if not pids:
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


def cluster_processes(folder: Path) -> list[int]:
    """Processes that Ray has started: with the mark of a cluster, or whose output goes to files in its folder.

    Ray's agents are started by a server that dies with the driver, and their first output goes to it.
    """
    mark = f"{MARK}={folder}".encode()
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
                    continue
                outputs = [(process / "fd" / number).readlink() for number in ("1", "2")]
                if any(folder in output.parents for output in outputs):
                    found.append(int(process.name))
    return found


def main() -> None:
    """Wait for the driver to end, then end its cluster."""
    said = b""
    while more := os.read(0, 1):
        said += more
    end_cluster(Path(sys.argv[1]), ended=said == _ENDED)


if __name__ == "__main__":
    main()
