"""The caller's side of the sandbox.

In: the name of an operation and JSON arguments. Out: a `Reply`, in bounded time. A computation on what a model
wrote may never return, use up the memory or kill its process. Here it runs in a worker that is confined before
it reads anything and killed at a time limit. There are three processes: the caller's, a zygote that has
imported the operations, and a worker forked from the zygote. Anything that the text causes is a reply, even the
death of the worker. A failure of the sandbox itself is a `GraderError`.

This process uses no signals or alarms, so any thread of any Ray task or actor can call. Linux only.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from envs.grading import Grade, GraderError
from envs.sandbox.confine import Layer
from envs.sandbox.zygote import (
    ATTEMPTS,
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    WORKER_START_S,
    EndedError,
    GarbageError,
    LateError,
    Lines,
    decode,
    encode,
)

CALLS_PER_WORKER = 2000
WALL_PER_CPU = 20.0
START_DEADLINE_S = 60.0
GRACE_S = (ATTEMPTS + 1) * WORKER_START_S
_CLOSE_S = 1.0
_ZYGOTE = Path(__file__).with_name("zygote.py")
_T = TypeVar("_T")


class ReplyStatus(StrEnum):
    """How a call ended."""

    OK = "ok"
    """The operation returned."""
    TIMEOUT = "timeout"
    """The operation exceeded the time limit."""
    CRASH = "crash"
    """The operation raised, killed its process twice in a row, or its process sent an invalid reply."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The result of a call.

    Example: `Reply(status=ReplyStatus.CRASH, value=None, detail="MemoryError")`.

    Attributes:
        status: How the call ended.
        value: The JSON value that the operation returned; None unless `OK`.
        detail: The exception, or how the process ended, in printable ASCII; empty if `OK`.
    """

    status: ReplyStatus
    value: Any
    detail: str

    @property
    def fault(self) -> Grade | None:
        """The grade if the text was not judged (time limit, crash, or no value); None if it was."""
        if self.status is ReplyStatus.TIMEOUT:
            return Grade.TIMEOUT
        if self.status is ReplyStatus.CRASH:
            return Grade.CRASH
        return Grade.MALFORMED if self.value is None else None


class _LostError(Exception):
    """The zygote can no longer be used; the message is the reason."""


class Sandbox:
    """Runs operations on hostile text, one at a time, from any thread.

    It starts at the first call, and ends with `close`, with this object or with the process. A forked process
    and an unpickled copy start processes of their own.
    """

    def __init__(
        self,
        operations: Path,
        *,
        timeout_s: float = 2.0,
        wall_timeout_s: float | None = None,
        memory_mb: int = 1024,
        calls_per_worker: int = CALLS_PER_WORKER,
        layers: Collection[Layer] = tuple(Layer),
    ) -> None:
        """Store the settings; nothing starts before the first call.

        Args:
            operations: A Python file or package. Each of its public functions is an operation that takes and
                returns JSON. It may import installed packages and its own modules, but nothing next to it. A
                function `warm_up` runs once before workers are forked, `warm_up_NAME` once before the first
                call of operation NAME; they must leave no threads or processes behind.
            timeout_s: Time limit of an operation, in seconds of its process's processor time, so that a busy
                machine changes no verdict.
            wall_timeout_s: Time limit in seconds of waiting, for an operation that does not compute; None for
                `WALL_PER_CPU` times `timeout_s`.
            memory_mb: Address space of a worker in MiB, including imports.
            calls_per_worker: Number of calls after which a worker is replaced. Use 1 if text can influence
                later calls, for example if the operation evaluates it.
            layers: Layers of confinement to apply, if the system has them. Tests leave some out.

        Raises:
            ValueError: A limit is not positive.
        """
        if wall_timeout_s is None:
            wall_timeout_s = WALL_PER_CPU * timeout_s
        if not (0 < timeout_s < 1e6 and 0 < wall_timeout_s < 1e8 and memory_mb > 0 and calls_per_worker > 0):
            raise ValueError(
                f"sandbox with timeout_s={timeout_s}, wall_timeout_s={wall_timeout_s}, memory_mb={memory_mb}, "
                f"calls_per_worker={calls_per_worker}; each must be above 0, timeout_s below 1e6 and "
                "wall_timeout_s below 1e8"
            )
        self._settings: dict[str, Any] = {
            "operations": Path(operations).absolute(),
            "timeout_s": timeout_s,
            "wall_timeout_s": wall_timeout_s,
            "memory_mb": memory_mb,
            "calls_per_worker": calls_per_worker,
            "layers": tuple(layers),
        }
        self._lock = threading.Lock()
        self._zygote: _Zygote | None = None
        self._clean_up: Callable[[], object] = _nothing
        _sandboxes.add(self)

    def call(self, operation: str, /, **arguments: Any) -> Reply:
        """Run an operation and wait for it. From an event loop, call it with `asyncio.to_thread`.

        Args:
            operation: Name of the operation.
            arguments: JSON values, by parameter name.

        Raises:
            GraderError: The sandbox failed twice, so the text was not judged.
            ValueError: The operation does not exist or takes other arguments, the arguments are too long, or
                one is a number that JSON does not have.
            TypeError: An argument is not a JSON value.
        """
        body = encode(arguments)
        if len(body) > MAX_REQUEST_BYTES // 2:
            raise ValueError(
                f"the arguments are {len(body)} bytes of JSON; at most {MAX_REQUEST_BYTES // 2} are allowed"
            )

        def ask(zygote: _Zygote) -> Reply:
            zygote.check(operation, arguments)
            return zygote.call(operation, body)

        return self._with_zygote(ask)

    @property
    def confinement(self) -> frozenset[Layer]:
        """The layers of confinement in force; starts the sandbox."""
        return self._with_zygote(lambda zygote: zygote.layers)

    @property
    def zygote_pid(self) -> int | None:
        """Process id of the zygote; None if it is not running."""
        zygote = self._zygote
        return zygote.pid if zygote else None

    def close(self) -> None:
        """End all processes of the sandbox. A later call starts it again."""
        with self._lock:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[[], Sandbox], tuple[()]]:
        return functools.partial(Sandbox, **self._settings), ()

    def _with_zygote(self, act: Callable[[_Zygote], _T]) -> _T:
        """The result of `act`; if the zygote is lost, `act` runs again with a new one."""
        reason = ""
        with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    if self._zygote is None:
                        self._zygote = _Zygote(self._settings)
                        self._clean_up = weakref.finalize(self, self._zygote.end)
                    return act(self._zygote)
                except _LostError as error:
                    reason = str(error)
                    self._drop()
                except ValueError:
                    raise  # refused before anything was sent
                except BaseException:
                    self._drop()  # a late reply must not be taken for that of another call
                    raise
        raise GraderError(f"the sandbox of {self._settings['operations']} failed {ATTEMPTS} times: {reason}")

    def _drop(self) -> None:
        self._clean_up()
        self._zygote, self._clean_up = None, _nothing

    def _forget(self) -> None:
        """Reset after a fork: another thread may have held the lock, and the zygote belongs to the parent."""
        self._lock = threading.Lock()
        if self._zygote is not None:
            self._zygote.abandon()
        self._drop()


class _Zygote:
    """A zygote process.

    Attributes:
        pid: Its process id.
        layers: The confinement of its workers.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """Start the process and wait until it has a worker.

        Raises:
            _LostError: It did not start.
        """
        self._wall_timeout_s: float = settings["wall_timeout_s"]
        self._num_calls = 0
        self._process: subprocess.Popen[bytes] | None = None
        to_send = {**settings, "operations": str(settings["operations"]), "client_pid": os.getpid()}
        with contextlib.ExitStack() as on_failure:
            try:
                self._errors = on_failure.enter_context(tempfile.TemporaryFile())
                self._process = process = subprocess.Popen(
                    [sys.executable, "-I", str(_ZYGOTE), json.dumps(to_send)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    bufsize=0,
                    cwd="/",
                    env={},
                    start_new_session=True,
                )
            except OSError as error:
                raise _LostError(f"the zygote cannot be started: {error}") from None
            on_failure.pop_all()
        assert process.stdin and process.stdout
        self.pid = process.pid
        self._lines = Lines(process.stdout.fileno(), process.stdin.fileno(), max_bytes=8 * MAX_REPLY_BYTES)
        try:
            hello = self._receive(START_DEADLINE_S)
        except BaseException:
            self.end()
            raise
        self.layers = frozenset(map(Layer, hello["layers"]))
        self._operations: dict[str, dict[str, bool]] = hello["operations"]

    def check(self, operation: str, arguments: Collection[str]) -> None:
        """Refuse a call with a wrong operation or wrong arguments, which is an error of the caller."""
        takes = self._operations.get(operation)
        if takes is None:
            near = difflib.get_close_matches(operation, self._operations, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; "
            raise ValueError(
                f"unknown operation {operation!r}{hint} known: {', '.join(sorted(self._operations))}"
            )
        missing = [name for name, required in takes.items() if required and name not in arguments]
        if missing or not takes.keys() >= set(arguments):
            raise ValueError(
                f"operation {operation!r} got ({', '.join(arguments)}), but takes ({', '.join(takes)})"
                f"{'; missing: ' + ', '.join(missing) if missing else ''}"
            )

    def call(self, operation: str, body: bytes) -> Reply:
        """Send a call and wait for its reply.

        Raises:
            _LostError: No reply came in time.
        """
        self._num_calls += 1
        longest_s = ATTEMPTS * self._wall_timeout_s + GRACE_S
        request = b'{"id":%d,"operation":%s,"arguments":%s}' % (self._num_calls, encode(operation), body)
        try:
            self._lines.send(request, time.monotonic() + longest_s)
        except EndedError:
            raise _LostError(self._why_it_ended()) from None
        except LateError:
            raise _LostError("the zygote does not accept requests") from None
        reply = self._receive(longest_s)
        if reply["id"] != self._num_calls:
            raise _LostError("the zygote answered another call")
        return Reply(status=ReplyStatus(reply["status"]), value=reply["value"], detail=reply["detail"])

    def end(self) -> None:
        """End the process, and with it its workers. May be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        self._close_files(process)
        try:
            process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def abandon(self) -> None:
        """After a fork: close the inherited files, but leave the zygote of the parent running."""
        process, self._process = self._process, None
        if process is not None:
            self._close_files(process)
            process.returncode = 0  # it is not a child of this process, so Popen must not wait for it

    def _close_files(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout
        for file in (process.stdin, process.stdout, self._errors):
            with contextlib.suppress(OSError):
                file.close()

    def _receive(self, longest_s: float) -> dict[str, Any]:
        try:
            reply = decode(self._lines.receive(time.monotonic() + longest_s))
        except EndedError:
            raise _LostError(self._why_it_ended()) from None
        except LateError:
            raise _LostError(f"no reply from the zygote within {longest_s:g} s") from None
        except GarbageError as error:
            raise _LostError(f"no valid reply from the zygote: {error}") from None
        assert isinstance(reply, dict)
        return reply

    def _why_it_ended(self) -> str:
        assert self._process is not None
        try:
            code: object = self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            code = "unknown"
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4096))
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "nothing on stderr")
        return f"the zygote ended with {code}: {last.strip()[:500]}"


def _nothing() -> None: ...


def _forget_all() -> None:
    for sandbox in _sandboxes:
        sandbox._forget()


_sandboxes: weakref.WeakSet[Sandbox] = weakref.WeakSet()
os.register_at_fork(after_in_child=_forget_all)
