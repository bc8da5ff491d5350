"""The process in which a user's reward runs: it may hang, crash or leave things running, and is ended then.

In: `package.module:function`, then questions. Out: an answer each. What goes wrong with one is raised by
`ask`; what the function itself raises is part of the answer.
"""

from __future__ import annotations

import contextlib
import importlib
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

START_S = 300.0
_CODE = str(Path(__file__).resolve().parent.parent)
_CHILD = "from rewards.user_process import main; main()"
_GRACE_S = 5.0


class LateStartError(Exception):
    """The module took too long to import."""


class RewardProcess:
    """One process that answers questions with a user's function."""

    def __init__(self, name: str, folder: str, *, timeout_s: float) -> None:
        """Start it; it imports the function while this process goes on.

        Args:
            name: `package.module:function`.
            folder: Where the module was found.
            timeout_s: How long an answer may take.
        """
        self._timeout_s = timeout_s
        self._connection, theirs = Pipe()
        environment = {
            **os.environ,
            # This package comes first, whatever folders of the user's are called.
            "PYTHONPATH": os.pathsep.join([_CODE, *filter(None, sys.path)]),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        arguments = [str(theirs.fileno()), name, folder, str(timeout_s)]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.__stderr__,  # results go to stdout
                env=environment,
                start_new_session=True,
            )
        self._ready = False

    def ask(self, question: Any) -> tuple[str, Any]:
        """Put a question: ("values", numbers or what is wrong with them) or ("failure", what was raised).

        Raises:
            LateStartError: It has not started in time.
            TimeoutError: The answer has not come in time.
            EOFError, OSError: The process has ended.
        """
        if not self._ready:
            if not self._connection.poll(START_S):
                raise LateStartError
            self._connection.recv()
            self._ready = True
        self._connection.send(question)
        if not self._connection.poll(self._timeout_s):
            raise TimeoutError
        answer: tuple[str, Any] = self._connection.recv()
        return answer

    def how_it_ended(self) -> str:
        """Exit code or signal."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "no exit code"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """End it, and what it has started."""
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def load_function(name: str, folder: str | None) -> tuple[Callable[..., Any], str]:
    """The function, and the folder its module was found in.

    Raises:
        ValueError: There is none.
    """
    module_name, _, function_name = name.partition(":")
    for place in (str(Path.cwd()), folder):
        if place and place not in sys.path:
            sys.path.append(place)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"reward '{name}': cannot import {module_name}: {type(error).__name__}: {error}; give "
            "package.module:function, with the module in the current folder or on PYTHONPATH"
        ) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ValueError(
            f"reward '{name}': {module_name} has no function '{function_name}'; it has: "
            f"{', '.join(there) or 'none'}"
        )
    file = getattr(module, "__file__", None)
    if file is None:
        raise ValueError(f"reward '{name}': {module_name} is built in; give a function of your own")
    path = Path(file).resolve()
    return function, str(path.parents[module_name.count(".") + (path.name == "__init__.py")])


def main() -> None:
    """What the process runs."""
    fd, name, folder, timeout_s = sys.argv[1:]
    serve(int(fd), name, folder, float(timeout_s))


def serve(fd: int, name: str, folder: str, timeout_s: float) -> None:
    """Answer questions until the other side is gone. Ends itself where a question takes far too long."""
    function, _ = load_function(name, folder)
    with Connection(fd) as connection:
        connection.send(("ready", ""))
        while True:
            try:
                problem, what, args = connection.recv()
            except EOFError:
                return
            # Its default action needs nobody to look at it: it also ends what holds the interpreter.
            signal.setitimer(signal.ITIMER_REAL, timeout_s + _GRACE_S)
            answer = _answer(function, problem, what, args)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send(answer)


def _answer(function: Callable[..., Any], problem: Any, what: Any, args: dict[str, Any]) -> tuple[str, Any]:
    try:
        given = function(problem, what, **args)
        values = list(given) if isinstance(what, list) else [given]
    except Exception as error:
        return "failure", f"raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "values", [_number(value) for value in values]


def _number(value: Any) -> float | str:
    """The number, or what is wrong with it."""
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    return number if math.isfinite(number) else f"gave {repr(value)[:60]}, which is no finite number"
