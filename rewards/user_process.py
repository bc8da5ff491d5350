"""The process that calls a user's reward, which may hang, crash, fill the memory or leave children behind.

In: `package.module:function`, then one question after the other. Out: an answer to each. `ask` raises if the
process fails; an exception in the function is part of the answer. A supervisor (`user_supervisor.py`) ends the
process with everything it has started: at a limit, or with the process that asks.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from envs.modules import UserModuleError, find_object
from envs.one_line import one_line
from rewards.user_supervisor import supervise

START_S = 300.0
_CODE = str(Path(__file__).resolve().parent.parent)
_CHILD = "from rewards.user_process import main; main()"
_END_S = 5.0


class LateStartError(Exception):
    """Importing the module took too long."""


class EndedError(Exception):
    """The process has ended; the message is its exit code or signal."""


class RewardProcess:
    """One process that answers questions with a user's function."""

    def __init__(self, name: str, folder: str, *, timeout_s: float, memory_gib: float) -> None:
        """Start the process; it imports the function while this one goes on.

        Args:
            name: `package.module:function`.
            folder: Folder in which the module was found.
            timeout_s: Seconds that an answer may take.
            memory_gib: Memory that it may hold together with what it has started, in GiB.
        """
        self._timeout_s = timeout_s
        self._connection, theirs = Pipe()
        self._report, report = Pipe(duplex=False)
        environment = {
            **os.environ,
            # This package comes first, even if a folder of the user has the same name.
            "PYTHONPATH": os.pathsep.join([_CODE, *filter(None, sys.path)]),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        arguments = [theirs.fileno(), report.fileno(), os.getpid(), memory_gib, name, folder]
        with theirs, report:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, *map(str, arguments)],
                pass_fds=[theirs.fileno(), report.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.__stderr__,  # results go to stdout
                env=environment,
                start_new_session=True,
            )
        self._ready = False

    def ask(self, question: Any) -> tuple[str, Any]:
        """Ask one question; the answer is ("values", numbers or error texts) or ("failure", the exception).

        Raises:
            LateStartError: The process has not started in time.
            TimeoutError: The answer has not come in time.
            MemoryError: The process held more memory than it may.
            EndedError: The process has ended by itself.
        """
        try:
            if not self._ready:
                if not self._connection.poll(START_S):
                    raise LateStartError
                self._connection.recv()
                self._ready = True
            self._connection.send(question)
            if not self._connection.poll(self._timeout_s):
                raise TimeoutError
            answer: tuple[str, Any] = self._connection.recv()
        except TimeoutError:
            raise
        except (EOFError, OSError):
            if (how := self._how_it_ended()) == "memory":
                raise MemoryError from None
            raise EndedError(how) from None
        return answer

    def end(self) -> None:
        """End the process and everything it has started."""
        self._connection.close()
        self._report.close()
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _how_it_ended(self) -> str:
        """What the supervisor reports."""
        try:
            return self._report.recv_bytes().decode() if self._report.poll(_END_S) else "no exit code"
        except EOFError:
            return "with its supervisor"


def load_function(name: str, folder: str | None) -> tuple[Callable[..., Any], str]:
    """Import the function; returns it and the folder in which its module was found.

    Raises:
        ValueError: It cannot be imported.
    """
    try:
        return find_object(name, folder, kind="function", form="package.module:function", fits=callable)
    except UserModuleError as error:
        raise ValueError(f"reward '{name}': {error}") from None


def main() -> None:
    """Entry point of the process; from here on there are two, the supervisor and the worker."""
    connection, report, parent, memory_gib, name, folder = sys.argv[1:]
    supervise(parent=int(parent), memory_gib=float(memory_gib), connection=int(connection), report=int(report))
    serve(int(connection), name, folder)


def serve(fd: int, name: str, folder: str) -> None:
    """Answer questions until the other side is gone."""
    function, _ = load_function(name, folder)
    with Connection(fd) as connection:
        connection.send(("ready", ""))
        while True:
            try:
                problem, scored, args = connection.recv()
            except EOFError:
                return
            connection.send(_answer(function, problem, scored, args))


def _answer(function: Callable[..., Any], problem: Any, scored: Any, args: dict[str, Any]) -> tuple[str, Any]:
    try:
        given = function(problem, scored, **args)
        values = list(given) if isinstance(scored, list) else [given]
    except Exception as error:
        return "failure", f"raised {type(error).__name__}: {one_line(error)}"
    return "values", [_number(value) for value in values]


def _number(value: Any) -> float | str:
    """The number, or why it is none."""
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    return number if math.isfinite(number) else f"gave {repr(value)[:60]}, which is no finite number"
