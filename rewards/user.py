"""A user's own reward: a function in their file, called in a process that can be killed.

In: `package.module:function`. Out: a `UserReward`, which a term uses like a built-in one. A failure is never a
score. A value that is not finite or outside the declared range, a wrong number of values, an exception, a hang,
too much memory and the end of the process are an `UnscoredError`, which names the samples and the reason. After
an exception the call is repeated once in a fresh process. A reward that fails 8 times in a row ends the run.

::

    from rewards import reward

    @reward(when_wrong=(0, 0))
    def brevity(problem, trace, *, limit=200):
        return max(0.0, 1 - trace.num_tokens / limit) if trace.correct else 0.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from envs import GraderError, Problem, Trace
from rewards.declare import declaration_of
from rewards.history import History
from rewards.user_process import START_S, EndedError, LateStartError, RewardProcess, load_function

MAX_IN_A_ROW = 8
TIMEOUT_S = 10.0
MEMORY_GIB = 8.0


class UnscoredError(Exception):
    """A reward failed on some samples of a group.

    Attributes:
        failures: The reason, by the sample's position in the group.
    """

    def __init__(self, failures: Mapping[int, str]) -> None:
        """Keep the failures; the first one is the message."""
        self.failures = dict(failures)
        super().__init__(next(iter(self.failures.values())))


class UserReward:
    """A user's function with what it declares; it is called like a `Reward`.

    Attributes:
        name: `package.module:function`.
        function: `(problem, trace, *, ...)`, or `(problem, traces, *, ...)` where it declares `group`.
        declared: Its declaration.
    """

    def __init__(
        self,
        name: str,
        *,
        timeout_s: float = TIMEOUT_S,
        memory_gib: float = MEMORY_GIB,
        folder: str | None = None,
    ) -> None:
        """Import the function here, to read its declaration; it is called in another process.

        Args:
            name: `package.module:function`.
            timeout_s: Seconds that a call may take.
            memory_gib: Memory that its process, with what it has started, may hold, in GiB.
            folder: Folder of its module, if that is neither the current folder nor on the path.

        Raises:
            ValueError: It cannot be imported, or its declaration does not fit its signature.
        """
        self.name = name
        self.function, self._folder = load_function(name, folder)
        self._timeout_s, self._memory_gib = timeout_s, memory_gib
        self._process: RewardProcess | None = None
        self._in_a_row = 0
        self.declared = declaration_of(self.function, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name; the process that calls the function stays behind."""
        again = partial(
            UserReward,
            self.name,
            timeout_s=self._timeout_s,
            memory_gib=self._memory_gib,
            folder=self._folder,
        )
        return again, ()

    def __call__(
        self, problem: Problem, traces: Sequence[Trace], history: History | None = None, **args: object
    ) -> list[float]:
        """Values for the traces of one group.

        Raises:
            UnscoredError: It failed on some of them, or on all if it declares `group`.
            GraderError: It failed too often in a row, or its process does not start.
        """
        if self.declared.history:
            args = {**args, "history": history or History()}
        if self.declared.group:
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
                failures[place] = self._message(fault, problem, trace)
        if failures:
            raise UnscoredError(failures)
        return found

    def close(self) -> None:
        """Kill the process, if there is one; the next call starts another."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _ask(self, problem: Problem, scored: Any, args: Mapping[str, Any]) -> tuple[list[Any], str]:
        """Call the function: its values, each a number or an error text, and why the call failed or ""."""
        failure = ""
        for _ in range(2):
            self._process = self._process or RewardProcess(
                self.name, self._folder, timeout_s=self._timeout_s, memory_gib=self._memory_gib
            )
            try:
                kind, answer = self._process.ask((problem, scored, dict(args)))
            except LateStartError:
                self.close()
                raise GraderError(f"reward '{self.name}' took more than {START_S:g} s to import") from None
            except TimeoutError:
                self.close()
                failure = f"took more than {self._timeout_s:g} s (rewards.timeout_s)"
                break
            except MemoryError:
                self.close()
                failure = f"held more than {self._memory_gib:g} GiB of memory (rewards.memory_gib)"
                break
            except EndedError as error:
                kind, answer = "failure", f"ended its process ({error})"
            if kind == "values":
                self._in_a_row = 0
                return answer, ""
            failure = answer
            self.close()
        self._in_a_row += 1
        if self._in_a_row >= MAX_IN_A_ROW:
            message = self._message(failure, problem, None)
            raise GraderError(f"{message}; it has failed {MAX_IN_A_ROW} times in a row")
        return [], failure

    def _outside(self, trace: Trace, value: float) -> str:
        right = bool(trace.correct)
        low, high = self.declared.when_right if right else self.declared.when_wrong
        if low <= value <= high:
            return ""
        kind = "right" if right else "wrong"
        return (
            f"gave {value:g} for a {kind} answer, outside [{low:g}, {high:g}]; declare its range with "
            f"@reward(when_{kind}=(low, high))"
        )

    def _message(self, failure: str, problem: Problem, trace: Trace | None) -> str:
        where = f"{problem.env}/{problem.split}/{problem.index}"
        text = "" if trace is None else " ".join(step.text for step in trace.steps)
        return f"reward '{self.name}' {failure}, on {where}" + (f", text '{text[:60]}'" if text else "")
