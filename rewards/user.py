"""A user's own reward: a function in their file, called in a process that can be ended.

In: `package.module:function`. Out: a `UserReward`, which a term uses like a registered one. What goes wrong
in it is never a score: a value that is no finite number or outside the declared range, a wrong count, an
exception, a hang or the end of its process are an `UnscoredError` that says which samples it was and why. An
exception is tried once more in a fresh process.

::

    from rewards import reward

    @reward(when_wrong=(0, 0))
    def brevity(problem, trace, *, limit=200):
        return max(0.0, 1 - trace.num_tokens / limit) if trace.correct else 0.0
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from envs import Problem, Trace
from rewards.history import History

F = TypeVar("F", bound=Callable[..., Any])
_START_S = 60.0
_CHILD = "import sys; from rewards.user import serve; serve(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])"
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class UnscoredError(Exception):
    """A reward failed on some samples of a group.

    Attributes:
        failures: What was wrong, by the sample's place in the group.
    """

    def __init__(self, failures: Mapping[int, str]) -> None:
        """Keep the failures; the first one is the message."""
        self.failures = dict(failures)
        super().__init__(next(iter(self.failures.values())))


def reward(
    *, when_wrong: tuple[float, float] = (0.0, 1.0), when_right: tuple[float, float] = (0.0, 1.0)
) -> Callable[[F], F]:
    """Declare the smallest and largest value of a reward where the answer is wrong, and where it is right.

    Without it both are (0, 1). From these the weights are checked: no wrong answer may earn as much as a
    right one.
    """

    def declare(function: F) -> F:
        function.when_wrong, function.when_right = when_wrong, when_right  # type: ignore[attr-defined]
        return function

    return declare


class UserReward:
    """A function of a user's, `(problem, trace, *, ...)`, or `(problem, traces, *, ...)` for a whole group.

    It is handed `history` too where it takes a keyword of that name. Attributes are those of `Reward`.
    """

    def __init__(self, name: str, *, timeout_s: float, folder: str | None = None) -> None:
        """Import the function here, to know what it takes; it is called elsewhere.

        Raises:
            ValueError: It cannot be imported, or is not of this form.
        """
        self.name = name
        self.function, self._folder = _load(name, folder)
        self._timeout_s = timeout_s
        self._child: _Child | None = None
        parameters = list(inspect.signature(self.function).parameters.values())
        places = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
        if len(places) != 2 or places[1] not in ("trace", "traces"):
            raise ValueError(
                f"reward '{name}' takes ({', '.join(places)}); it must take (problem, trace), or (problem, "
                "traces) for a whole group, and keywords after a '*'"
            )
        self.group = places[1] == "traces"
        self.history = any(p.name == "history" and p.kind is p.KEYWORD_ONLY for p in parameters)
        self.when_wrong = _range(self.function, "when_wrong", name)
        self.when_right = _range(self.function, "when_right", name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name; the process that calls the function stays behind."""
        return _again, (self.name, self._timeout_s, self._folder)

    def __call__(
        self, problem: Problem, traces: Sequence[Trace], history: History | None = None, **args: object
    ) -> list[float]:
        """Values for the traces of one group.

        Raises:
            UnscoredError: It failed on some of them, or with `group` on the whole.
        """
        if self.history:
            args = {**args, "history": history or History()}
        if self.group:
            values, failure = self._ask(problem, list(traces), args)
            if not failure and len(values) != len(traces):
                failure = f"gave {len(values)} values for {len(traces)} traces"
            if failure:
                text = self._said(failure, problem, None)
                raise UnscoredError(dict.fromkeys(range(len(traces)), text))
        else:
            values = []
            for trace in traces:
                value, failure = self._ask(problem, trace, args)
                values.append(failure or value[0])
        failures = {}
        for place, (trace, value) in enumerate(zip(traces, values, strict=True)):
            fault = value if isinstance(value, str) else self._outside(trace, value)
            if fault:
                failures[place] = self._said(fault, problem, trace)
        if failures:
            raise UnscoredError(failures)
        return values

    def close(self) -> None:
        """End the process, if there is one; the next call starts another."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _ask(self, problem: Problem, what: Any, args: Mapping[str, Any]) -> tuple[list[Any], str]:
        """Values, each a number or what is wrong with it, and what went wrong with the call; "" for nothing."""
        failure = ""
        for _ in range(2):
            if self._child is None:
                self._child = _Child(self.name, self._folder)
            try:
                kind, answer = self._child.ask((problem, what, dict(args)), self._timeout_s)
            except TimeoutError:
                self.close()
                return [], f"took more than {self._timeout_s:g} s (rewards.timeout_s)"
            except (EOFError, OSError):
                kind, answer = "failure", f"ended its process ({self._child.how_it_ended()})"
            if kind == "values":
                return answer, ""
            failure = answer
            self.close()
        return [], failure

    def _outside(self, trace: Trace, value: float) -> str:
        right = bool(trace.correct)
        low, high = self.when_right if right else self.when_wrong
        if low <= value <= high:
            return ""
        kind = "right" if right else "wrong"
        return (
            f"gave {value:g} for a {kind} answer, outside [{low:g}, {high:g}]; declare its range with "
            f"@reward(when_{kind}=(low, high))"
        )

    def _said(self, failure: str, problem: Problem, trace: Trace | None) -> str:
        where = f"{problem.env}/{problem.split}/{problem.index}"
        text = "" if trace is None else " ".join(step.text for step in trace.steps)
        return f"reward '{self.name}' {failure}, on {where}" + (f", text '{text[:60]}'" if text else "")


def load_user_reward(name: str, *, timeout_s: float) -> UserReward:
    """Import a user's reward.

    Raises:
        ValueError: It cannot be imported or has not the right form.
    """
    return UserReward(name, timeout_s=timeout_s)


def serve(fd: int, parent: int, name: str, folder: str) -> None:
    """The process that calls the function: one question after the other, until the other side is gone."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    function, _ = _load(name, folder)
    with Connection(fd) as connection:
        connection.send(("ready", ""))
        while True:
            try:
                problem, what, args = connection.recv()
            except EOFError:
                return
            connection.send(_answer(function, problem, what, args))


class _Child:
    """One such process."""

    def __init__(self, name: str, folder: str) -> None:
        self._connection, theirs = Pipe()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        with theirs:
            arguments = [sys.executable, "-c", _CHILD, str(theirs.fileno()), str(os.getpid()), name, folder]
            self._process = subprocess.Popen(
                arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment
            )
        self._ready = False

    def ask(self, question: Any, timeout_s: float) -> tuple[str, Any]:
        if not self._ready:
            self._receive(_START_S)
            self._ready = True
        self._connection.send(question)
        return self._receive(timeout_s)

    def how_it_ended(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "no exit code"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _receive(self, timeout_s: float) -> tuple[str, Any]:
        if not self._connection.poll(timeout_s):
            raise TimeoutError
        answer: tuple[str, Any] = self._connection.recv()
        return answer


def _again(name: str, timeout_s: float, folder: str) -> UserReward:
    return UserReward(name, timeout_s=timeout_s, folder=folder)


def _answer(function: Callable[..., Any], problem: Problem, what: Any, args: dict[str, Any]) -> tuple[str, Any]:
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


def _load(name: str, folder: str | None) -> tuple[Callable[..., Any], str]:
    """The function, and the folder its module was found in."""
    module_name, _, function_name = name.partition(":")
    for place in (str(Path.cwd()), folder):
        if place and place not in sys.path:
            sys.path.append(place)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
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
    file = Path(module.__file__ or ".").resolve()
    depth = module_name.count(".") + (file.name == "__init__.py")
    return function, str(file.parents[depth])


def _range(function: Callable[..., Any], key: str, name: str) -> tuple[float, float]:
    given = getattr(function, key, (0.0, 1.0))
    low, high = map(float, given)
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"reward '{name}' declares {key}={given}; give two finite numbers, the smaller first")
    return low, high


def _end_with(parent: int) -> None:
    """A function that hangs must not outlive the run."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
