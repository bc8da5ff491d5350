"""Runs that start in a tenth of a second: a process imports what a run needs once, and forks a driver for each.

In: arguments of `stride train`, or of another command. Out: a `Driver`, a process of its own that runs to its
end like any other. It is killed from outside, or at a `Moment`: before its n-th change of a file, or so long
after it.

::

    with ForkServer() as server:
        driver = server.train(["config.yaml", f"output_dir={folder}"], log=path)
        assert driver.wait(60) == 0
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from envs.sandbox.confine import end_with_parent
from tests.kit.file_changes import changed_paths

ROOT = Path(__file__).resolve().parents[2]
_START_S = 300.0
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # a fork takes one thread along
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """When a driver is killed.

    Attributes:
        change: Number of the change of a file in `folder`, from 1; 0: the start of the process.
        delay_s: Seconds after it; 0: before it happens.
        folder: Folder whose files are meant.
    """

    change: int
    delay_s: float
    folder: str


class Driver:
    """A forked process. Its exit code is negative if a signal ended it."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._server.exit_code(self.pid, 0.0)

    def wait(self, timeout_s: float) -> int:
        """Wait for its exit code.

        Raises:
            TimeoutError: It has not come in time.
        """
        code = self._server.exit_code(self.pid, timeout_s)
        if code is None:
            raise TimeoutError(f"driver {self.pid} still runs after {timeout_s:g} s")
        return code

    def send(self, number: int) -> None:
        """Send a signal; nothing if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


class ForkServer:
    """A process that forks drivers."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.fork_server"],
            cwd=ROOT,
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._codes: dict[int, int] = {}
        self._buffer = b""
        ready = self._read(_START_S)
        if ready is None:
            raise TimeoutError(f"the fork server was not ready within {_START_S:g} s")

    def train(self, arguments: Sequence[str], **how: Any) -> Driver:
        """Start `stride train`; `how`: see `run`."""
        return self.run("train", arguments, **how)

    def run(
        self,
        command: str,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        moment: Moment | None = None,
        changes: Path | None = None,
        prepare: str = "",
    ) -> Driver:
        """Start a command of `stride`.

        Args:
            command: Its name.
            arguments: Its arguments.
            log: Where its output goes, behind what is there.
            environment: Environment variables to set.
            moment: When it is killed.
            changes: File to which each change of a file is written as `EVENT PATH`.
            prepare: `package.module:function` that the driver calls first.
        """
        job = {
            "command": command,
            "arguments": list(arguments),
            "log": str(log),
            "environment": dict(environment or {}),
            "moment": asdict(moment) if moment else None,
            "changes": str(changes) if changes else None,
            "prepare": prepare,
        }
        assert self._server.stdin
        self._server.stdin.write(json.dumps(job).encode() + b"\n")
        self._server.stdin.flush()
        while (answer := self._read(60.0)) is not None:
            if "pid" in answer:
                return Driver(self, answer["pid"])
        raise TimeoutError("the fork server did not fork")

    def exit_code(self, pid: int, timeout_s: float) -> int | None:
        """The exit code of a driver; None if it has none in time."""
        deadline = time.monotonic() + timeout_s
        while pid not in self._codes:
            if self._read(deadline - time.monotonic()) is None:
                return None
        return self._codes[pid]

    def close(self) -> None:
        """End the process, and with it drivers that still run."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message; None if none comes in time. Exit codes are kept."""
        assert self._server.stdout
        fd = self._server.stdout.fileno()
        while b"\n" not in self._buffer:
            if not select.select([fd], [], [], max(0.0, timeout_s))[0]:
                return None
            chunk = os.read(fd, 65536)
            if not chunk:
                raise RuntimeError(f"the fork server ended with {self._server.wait()}")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        if "ended" in message:
            self._codes[message["ended"]] = message["code"]
        return message


# ---- the server's side ----


def serve() -> dict[str, Any] | None:
    """Fork a driver for each job; returns the job in a driver, None in the server once its client is gone."""
    drivers: dict[int, int] = {}  # pidfd -> pid
    _send({"ready": True})
    buffer = b""
    while True:
        ready, _, _ = select.select([0, *drivers], [], [])
        for fd in set(ready) - {0}:
            pid = drivers.pop(fd)
            os.close(fd)
            _send({"ended": pid, "code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})
        if 0 not in ready:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            for pid in drivers.values():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            return None
        buffer += chunk
        while b"\n" in buffer:
            line, _, buffer = buffer.partition(b"\n")
            server, pid = os.getpid(), os.fork()
            if pid == 0:
                end_with_parent(server)
                for fd in drivers:
                    os.close(fd)
                job: dict[str, Any] = json.loads(line)
                return job
            drivers[os.pidfd_open(pid)] = pid
            _send({"pid": pid})


def _send(message: Mapping[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def drive(job: Mapping[str, Any]) -> int:
    """Become a driver like one that was started from a shell."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for fd, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(fd, target)
    os.close(null)
    os.close(log)
    os.environ.update(job["environment"])
    tempfile.tempdir = None  # follows TMPDIR again
    sys.argv = [job["command"], *job["arguments"]]
    if job["moment"] or job["changes"]:
        watch = _Watch(Moment(**job["moment"]) if job["moment"] else None, job["changes"])
        sys.addaudithook(watch.see)
        watch.begin()
    if job["prepare"]:
        module, _, function = job["prepare"].partition(":")
        getattr(importlib.import_module(module), function)()
    code: int = importlib.import_module(f"scripts.{job['command']}").main(job["arguments"])
    return code


class _Watch:
    """Sees each change of a file, before it happens; and kills this process at its moment."""

    def __init__(self, moment: Moment | None, changes: str | None) -> None:
        self._moment = moment
        self._count = 0
        self._record = os.open(changes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if changes else None

    def begin(self) -> None:
        if self._moment and self._moment.change == 0:
            _kill_after(self._moment.delay_s)

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        names = changed_paths(event, arguments)
        if not names:
            return
        if self._record is not None:
            os.write(self._record, f"{event} {' '.join(names)}\n".encode())
        moment = self._moment
        if moment is None or not any(name.startswith(moment.folder) for name in names):
            return
        self._count += 1
        if self._count == moment.change:
            _kill_after(moment.delay_s)


def _kill_after(delay_s: float) -> None:
    """Let another process kill this one, which may be anywhere by then."""
    pid = os.getpid()
    if delay_s == 0:
        os.kill(pid, signal.SIGKILL)
    if os.fork() == 0:
        end_with_parent(pid)
        os.closerange(0, 4096)  # the lock of the run among them
        time.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)
        os._exit(0)


def main() -> int:
    """Import what a run needs, then serve."""
    for name in ("rl.stages", "rl.pages.text", "scripts.train"):
        importlib.import_module(name)
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads would not survive a fork"
    gc.collect()
    gc.freeze()
    job = serve()
    return 0 if job is None else drive(job)


if __name__ == "__main__":
    sys.exit(main())
