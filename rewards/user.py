"""A user's own reward: a function in their file, called in a process that can be ended.

In: `package.module:function`. Out: a `UserReward`, which a term uses like a registered one. What goes wrong
in it is never a score: a value that is no finite number or outside the declared range, a wrong count, an
exception, a hang or the end of its process are an `UnscoredError` that says which samples it was and why. An
exception is tried once more in a fresh process. A reward that fails many times in a row ends the run.

::

    from rewards import reward

    @reward(when_wrong=(0, 0))
    def brevity(problem, trace, *, limit=200):
        return max(0.0, 1 - trace.num_tokens / limit) if trace.correct else 0.0
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from envs import GraderError, Problem, Trace
from rewards.history import History
from rewards.user_process import START_S, LateStartError, RewardProcess, load_function

F = TypeVar("F", bound=Callable[..., Any])
MAX_IN_A_ROW = 8
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

        Args:
            name: `package.module:function`.
            timeout_s: How long a call may take.
            folder: Where its module is, if not in the current folder or on the path.

        Raises:
            ValueError: It cannot be imported, or is not of this form.
        """
        self.name = name
        self.function, self._folder = load_function(name, folder)
        self._timeout_s = timeout_s
        self._process: RewardProcess | None = None
        self._in_a_row = 0
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
        return partial(UserReward, self.name, timeout_s=self._timeout_s, folder=self._folder), ()

    def __call__(
        self, problem: Problem, traces: Sequence[Trace], history: History | None = None, **args: object
    ) -> list[float]:
        """Values for the traces of one group.

        Raises:
            UnscoredError: It failed on some of them, or with `group` on the whole.
            GraderError: It has failed too often in a row, or does not start.
        """
        if self.history:
            args = {**args, "history": history or History()}
        if self.group:
            values, failure = self._ask(problem, list(traces), args)
            if not failure and len(values) != len(traces):
                failure = f"gave {len(values)} values for {len(traces)} traces"
            found: list[Any] = [failure] * len(traces) if failure else values
        else:
            found = []
            for trace in traces:
                values, failure = self._ask(problem, trace, args)
                found.append(failure or values[0])
        failures = {}
        for place, (trace, value) in enumerate(zip(traces, found, strict=True)):
            if fault := value if isinstance(value, str) else self._outside(trace, value):
                failures[place] = self._said(fault, problem, trace)
        if failures:
            raise UnscoredError(failures)
        return found

    def close(self) -> None:
        """End the process, if there is one; the next call starts another."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _ask(self, problem: Problem, what: Any, args: Mapping[str, Any]) -> tuple[list[Any], str]:
        """Values, each a number or what is wrong with it, and what went wrong with the call; "" for nothing."""
        failure = ""
        for _ in range(2):
            self._process = self._process or RewardProcess(self.name, self._folder, timeout_s=self._timeout_s)
            try:
                kind, answer = self._process.ask((problem, what, dict(args)))
            except LateStartError:
                self.close()
                raise GraderError(f"reward '{self.name}' took more than {START_S:g} s to import") from None
            except TimeoutError:
                self.close()
                failure = f"took more than {self._timeout_s:g} s (rewards.timeout_s)"
                break
            except (EOFError, OSError):
                kind, answer = "failure", f"ended its process ({self._process.how_it_ended()})"
            if kind == "values":
                self._in_a_row = 0
                return answer, ""
            failure = answer
            self.close()
        self._in_a_row += 1
        if self._in_a_row >= MAX_IN_A_ROW:
            said = self._said(failure, problem, None)
            raise GraderError(f"{said}; it has failed {MAX_IN_A_ROW} times in a row")
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


def _range(function: Callable[..., Any], key: str, name: str) -> tuple[float, float]:
    given = getattr(function, key, (0.0, 1.0))
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"reward '{name}' declares {key}={given}; give two finite numbers, the smaller first")
    return low, high
