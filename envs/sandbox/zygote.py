"""The zygote: a process between a client and its workers that imports the operations once, then forks workers.

In: one line of JSON per call, on stdin. Out: one line of JSON per reply, on the original stdout. The zygote
never processes model text itself. A forked worker does, and it is killed with everything it has started if it
takes too long or sends anything but one valid reply. Replies are JSON and are checked here, so a worker taken
over by a text can at worst fake the value of its own call.

It runs by path with only the standard library: `python -I zygote.py '{"operations": …}'`. It ends when its
stdin is closed or the client's process has ended.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import inspect
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NoReturn

MAX_REPLY_BYTES = 64 * 1024
MAX_REQUEST_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_DETAIL_CHARS = 300
ATTEMPTS = 2
WORKER_START_S = 5.0
# A worker is replaced after this much processor time, so that its limit of it only stops runaways.
_WORKER_BUSY_S = 60.0
_CLIENT_CHECK_S = 2.0
_HEADROOM_MB = 32
_WARM_UP = "warm_up"

Operations = Mapping[str, Callable[..., Any]]


class EndedError(Exception):
    """The other side has closed its pipe or has ended."""


class LateError(Exception):
    """The other side has not finished in time."""


class GarbageError(Exception):
    """The other side sent something other than one valid line."""


class _ClientGoneError(Exception):
    """The client has ended."""


class Lines:
    """Lines of bytes through a pair of pipes, in strict alternation; never waits past a deadline."""

    def __init__(self, read_fd: int, write_fd: int, *, max_bytes: int) -> None:
        """Use two pipe ends.

        Args:
            read_fd: The pipe end that lines are read from.
            write_fd: The pipe end that lines are written to.
            max_bytes: Longest line accepted, without its newline.
        """
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        self._read_fd, self._write_fd, self._max_bytes = read_fd, write_fd, max_bytes
        self._parts: list[bytes] = []
        self._poll = select.poll()
        self._poll.register(read_fd, select.POLLIN)

    def watch(self, fd: int, events: int = 0) -> None:
        """Stop waiting for a line as soon as `fd` hangs up or has one of the events."""
        self._poll.register(fd, events)

    def send(self, line: bytes, due: float) -> None:
        """Write a line.

        Raises:
            LateError: The reader did not take it by `due`, on the monotonic clock.
            EndedError: There is no reader.
        """
        rest = memoryview(line + b"\n")
        while rest:
            try:
                rest = rest[os.write(self._write_fd, rest) :]
            except BlockingIOError:
                room = select.poll()
                room.register(self._write_fd, select.POLLOUT)
                if not room.poll(_milliseconds(due)):
                    raise LateError from None
            except BrokenPipeError:
                raise EndedError from None

    def receive(self, due: float) -> bytes:
        """Read a line, which must be all there is to read. The part of a late line that has arrived is kept.

        Raises:
            LateError: It was not complete by `due`, on the monotonic clock.
            EndedError: The writer or a watched process has ended.
            GarbageError: The line is too long, or more follows it.
        """
        while True:
            late = time.monotonic() > due
            ready = dict(self._poll.poll(_milliseconds(due)))
            if self._read_fd not in ready:
                raise EndedError if ready else LateError
            chunk = os.read(self._read_fd, 65536)
            if not chunk:
                raise EndedError
            end = chunk.find(b"\n")
            if -1 < end < len(chunk) - 1:
                raise GarbageError("more than one line")
            self._parts.append(chunk)
            if sum(map(len, self._parts)) > self._max_bytes + 1:
                raise GarbageError("too long")
            if end >= 0:
                line = b"".join(self._parts)[:-1]
                self._parts.clear()
                return line
            if late:
                raise LateError

    def quiet(self) -> bool:
        """Whether nothing has arrived and no process has ended."""
        return not self._poll.poll(0)

    def close(self) -> None:
        """Close both pipe ends."""
        os.close(self._read_fd)
        os.close(self._write_fd)


def encode(value: Any) -> bytes:
    """JSON on one line, in ASCII; raises ValueError for a number that JSON does not have."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def decode(line: bytes) -> Any:
    """The value of a line of JSON.

    Raises:
        GarbageError: The line is not UTF-8 or not JSON, has a number that is not finite or that Python refuses
            to read, or is nested deeper than `MAX_DEPTH`.
    """
    try:
        value = _DECODER.decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise GarbageError(f"not JSON: {type(error).__name__}") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children_of(node)]
        if not level:
            return value
    raise GarbageError("nested too deep")


def plain(text: str) -> str:
    """The text for a log: printable ASCII, at most `MAX_DETAIL_CHARS` characters."""
    shown = (c if c.isascii() and c.isprintable() else ascii(c)[1:-1] for c in text[:MAX_DETAIL_CHARS])
    return "".join(shown)[:MAX_DETAIL_CHARS]


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)


def _children_of(node: Any) -> Sequence[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else ()


def _milliseconds(due: float) -> float:
    return max(0.0, (due - time.monotonic()) * 1000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of the client; see `client.Sandbox`."""

    operations: str
    timeout_s: float
    wall_timeout_s: float
    memory_mb: int
    calls_per_worker: int
    layers: Sequence[str]
    client_pid: int


@dataclass(kw_only=True, slots=True)
class _Worker:
    """A forked process.

    Attributes:
        pid: Id of the process, of its group and of its session.
        pid_fd: File descriptor that is readable once it has ended; None if the kernel does not have these.
        lines: The pipes to and from it.
        layers: Its confinement; None until it has reported that it is ready.
        calls: Number of calls answered.
    """

    pid: int
    pid_fd: int | None
    lines: Lines
    layers: Sequence[str] | None = None
    calls: int = 0


class Zygote:
    """The supervisor of one worker at a time."""

    def __init__(self, settings: Settings, operations: Operations, client: Lines, client_fds: set[int]) -> None:
        """Fork the first worker.

        Args:
            settings: The client's settings.
            operations: The operations by name.
            client: The pipes to and from the client.
            client_fds: The pipe ends used by `client`.

        Raises:
            RuntimeError: The memory limit leaves a worker no memory to work with.
        """
        self._settings = settings
        self._operations = {name: act for name, act in operations.items() if not name.startswith(_WARM_UP)}
        self._warm_ups = {
            name.removeprefix(_WARM_UP + "_"): operations[name]
            for name in operations.keys() - self._operations.keys()
        }
        self._client = client
        self._client_fds = client_fds
        self._check_memory()
        self._confine = _load(Path(__file__).with_name("confine.py"), "confine")
        self._confine.adopt_orphans()
        self._worker: _Worker | None = self._fork()

    def _check_memory(self) -> None:
        """Refuse a memory limit that the operations exceed before they are called."""
        held_mb, memory_mb = _address_space_mb(), self._settings.memory_mb
        if memory_mb < held_mb + _HEADROOM_MB:
            raise RuntimeError(
                f"memory_mb={memory_mb} is too little: the operations take {held_mb} MiB before the "
                f"first call; give at least {held_mb + _HEADROOM_MB}"
            )

    def _warm_up(self, operation: str) -> None:
        """Before the first call of an operation, run its own `warm_up`; later workers have what it left."""
        if warm_up := self._warm_ups.pop(operation, None):
            warm_up()
            self._check_memory()
            _freeze()
            self._end()

    def serve(self) -> None:
        """Send the operations to the client, then answer its calls until it ends."""
        try:
            parameters = {name: _parameters(act) for name, act in self._operations.items()}
            self._reply({"layers": self._ready().layers, "operations": parameters})
            while True:
                request = json.loads(self._next_line())
                self._warm_up(request["operation"])
                reply = self._call(request["operation"], request["arguments"])
                self._reply({"id": request["id"], **reply})
                self._renew()
        except (_ClientGoneError, EndedError, LateError):
            return
        finally:
            self._end()

    def _next_line(self) -> bytes:
        while True:
            # A process forked from the client may keep the pipe open after the client has ended.
            if os.getppid() != self._settings.client_pid:
                raise _ClientGoneError
            with contextlib.suppress(LateError):
                return self._client.receive(time.monotonic() + _CLIENT_CHECK_S)

    def _reply(self, reply: Mapping[str, Any]) -> None:
        self._client.send(encode(reply), time.monotonic() + 60)

    def _call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The status, value and detail of a call.

        An earlier call may be the cause of a worker's death or invalid reply, so a new worker tries once more.
        """
        how = ""
        for _ in range(ATTEMPTS):
            worker = self._ready()
            used_s = _cpu_s(worker.pid)
            due = time.monotonic() + self._settings.wall_timeout_s
            try:
                reply = self._ask(worker, operation, arguments, used_s + self._settings.timeout_s, due)
            except LateError:
                self._end()
                is_idle = time.monotonic() >= due
                limit = f"{self._settings.wall_timeout_s:g} s of waiting" if is_idle else ""
                return _verdict("timeout", detail=limit or f"{self._settings.timeout_s:g} s")
            except GarbageError as error:
                self._end()
                how = f"no valid reply: {error}"
                continue
            except EndedError:
                how = f"the worker ended: {self._end(by_itself=True)}"
                continue
            worker.calls += 1
            if "error" not in reply:
                return _verdict("ok", value=reply["value"])
            if reply["fatal"]:
                self._end()
            return _verdict("crash", detail=plain(reply["error"]))
        return _verdict("crash", detail=plain(how))

    def _ask(
        self, worker: _Worker, operation: str, arguments: Mapping[str, Any], due_cpu_s: float, due: float
    ) -> dict[str, Any]:
        # It cannot be guessed, so output written before a request cannot pass for its reply.
        token = os.urandom(8).hex()
        worker.lines.send(encode({"id": token, "operation": operation, "arguments": arguments}), due)
        reply = decode(self._line_within(worker, due_cpu_s, due))
        if not isinstance(reply, dict) or reply.get("id") != token:
            raise GarbageError("not a reply to the request")
        is_value = reply.keys() == {"id", "value"}
        is_error = reply.keys() == {"id", "error", "fatal"} and type(reply["fatal"]) is bool
        if not is_value and not (is_error and type(reply["error"]) is str):
            raise GarbageError("not a reply")
        return reply

    def _line_within(self, worker: _Worker, due_cpu_s: float, due: float) -> bytes:
        """The line that a worker sends before it has used `due_cpu_s` of processor time, and before `due`.

        A worker has one thread, so it cannot use more processor time than has passed.
        """
        while True:
            left_s = due_cpu_s - _cpu_s(worker.pid)
            until = min(due, time.monotonic() + max(0.0, left_s))
            try:
                return self._line_of(worker, until)
            except LateError:
                if left_s <= 0 or until == due:
                    raise

    def _line_of(self, worker: _Worker, due: float) -> bytes:
        try:
            return worker.lines.receive(due)
        except EndedError:
            if self._client_has_left():
                raise _ClientGoneError from None
            raise

    def _client_has_left(self) -> bool:
        poll = select.poll()
        for fd in self._client_fds:
            poll.register(fd, 0)
        return bool(poll.poll(0))

    def _ready(self) -> _Worker:
        """A worker that waits for a request.

        Raises:
            RuntimeError: No worker can be started.
        """
        how = ""
        for _ in range(ATTEMPTS + 1):
            worker = self._worker = self._worker or self._fork()
            try:
                if worker.layers is None:
                    layers = decode(self._line_of(worker, time.monotonic() + WORKER_START_S))
                    if not isinstance(layers, list):
                        raise GarbageError(str(layers))
                    worker.layers = layers
                elif not worker.lines.quiet():
                    raise GarbageError("output without a request")
                return worker
            except LateError:
                how = f"not ready within {WORKER_START_S:g} s"
                self._end()
            except GarbageError as error:
                how = str(error)
                self._end()
            except EndedError:
                how = self._end(by_itself=True)
        raise RuntimeError(f"no worker can be started: {how}")

    def _renew(self) -> None:
        """After a call, prepare a new worker for the next one if the current one is used up."""
        worker = self._worker
        if worker and (worker.calls >= self._settings.calls_per_worker or _cpu_s(worker.pid) > _WORKER_BUSY_S):
            self._end()
        self._worker = self._worker or self._fork()

    def _fork(self) -> _Worker:
        request_read, request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                layers = self._confine.confine(
                    parent=zygote,
                    memory_mb=self._settings.memory_mb,
                    cpu_s=math.ceil(_WORKER_BUSY_S + 2 * self._settings.timeout_s),
                    keep=(request_read, reply_write),
                    layers=self._settings.layers,
                )
                _write(reply_write, encode(layers))
                _work(request_read, reply_write, self._operations)
            except BaseException as error:
                _write(reply_write, encode(_describe(error)))
            finally:
                os._exit(1)
        os.close(request_read)
        os.close(reply_write)
        lines = Lines(reply_read, request_write, max_bytes=MAX_REPLY_BYTES)
        for fd in self._client_fds:
            lines.watch(fd)
        pid_fd = None
        with contextlib.suppress(OSError, AttributeError):
            pid_fd = os.pidfd_open(pid)
            # A grandchild may keep the pipe open after the worker has ended.
            lines.watch(pid_fd, select.POLLIN)
        return _Worker(pid=pid, pid_fd=pid_fd, lines=lines)

    def _end(self, *, by_itself: bool = False) -> str:
        """End the worker and every process it has started; returns how it ended.

        Args:
            by_itself: Whether it has ended or is about to end on its own, so that its exit status is wanted.
        """
        worker, self._worker = self._worker, None
        if worker is None:
            return ""
        how = ""
        due = time.monotonic() + (0.1 if by_itself else 0)
        while time.monotonic() < due and not how:
            how = _reap(worker.pid, os.WNOHANG)
            time.sleep(0 if how else 0.001)
        # Before it is reaped, its process id cannot belong to another process.
        if not how:
            self._confine.kill_process(worker.pid)
            how = _reap(worker.pid)
        if worker.pid_fd is not None:
            os.close(worker.pid_fd)
        worker.lines.close()
        self._confine.kill_children()
        return how


def _verdict(status: str, *, value: Any = None, detail: str = "") -> dict[str, Any]:
    return {"status": status, "value": value, "detail": detail}


def _cpu_s(pid: int) -> float:
    """Processor time that a process has used, in seconds; 0 if it has ended.

    The clock of a process has the number that `clock_getcpuclockid` of the C library computes.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _reap(pid: int, options: int = 0) -> str:
    """How a child ended; empty if it has not ended."""
    try:
        reaped, status = os.waitpid(pid, options)
    except ChildProcessError:
        return "unknown"
    if not reaped:
        return ""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _address_space_mb() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def _work(read_fd: int, write_fd: int, operations: Operations) -> None:
    """Answer requests in the worker, until it is killed or the zygote has ended."""
    for line in _requests(read_fd):
        request = json.loads(line)
        token, fatal = request["id"], False
        try:
            value = operations[request["operation"]](**request["arguments"])
            reply = encode({"id": token, "value": value})
            if len(reply) > MAX_REPLY_BYTES:
                reply = encode({"id": token, "error": "reply too long", "fatal": False})
        except BaseException as error:
            fatal = not isinstance(error, Exception) or isinstance(error, (MemoryError, RecursionError))
            reply = encode({"id": token, "error": _describe(error), "fatal": fatal})
        _write(write_fd, reply)


def _describe(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:
        message = ""
    return plain(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def _requests(fd: int) -> Iterator[bytes]:
    parts: list[bytes] = []
    while chunk := os.read(fd, 65536):
        parts.append(chunk)
        if chunk.endswith(b"\n"):
            yield b"".join(parts)
            parts = []


def _write(fd: int, line: bytes) -> None:
    rest = line + b"\n"
    while rest:
        rest = rest[os.write(fd, rest) :]


def _load(path: Path, name: str) -> ModuleType:
    inside = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(
        name, path / "__init__.py" if inside else path, submodule_search_locations=inside
    )
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _operations_of(path: Path) -> Operations:
    """The public functions that a file or package defines; runs its `warm_up` first."""
    module = _load(path, "operations")
    found = {
        name: act
        for name, act in vars(module).items()
        if isinstance(act, FunctionType) and act.__module__ == module.__name__ and not name.startswith("_")
    }
    if warm_up := found.pop(_WARM_UP, None):
        warm_up()
    return found


def _freeze() -> None:
    """Keep what is imported out of later collections, which would copy its memory into each worker."""
    gc.collect()
    gc.freeze()


def _parameters(act: Callable[..., Any]) -> dict[str, bool]:
    """The parameters of an operation, and whether each is required."""
    parameters = inspect.signature(act).parameters.values()
    return {parameter.name: parameter.default is parameter.empty for parameter in parameters}


def main() -> int:
    """Run until the client ends; returns 1, with a message on stderr, if the operations cannot be loaded."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ["OMP_NUM_THREADS"] = "1"  # the threads of a numeric library would not survive the fork
    settings = Settings(**json.loads(sys.argv[1]))
    # Output printed by the operations must not pass for a reply.
    fds = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    path = Path(settings.operations)
    try:
        operations = _operations_of(path)
    except BaseException as error:
        sys.stderr.write(f"cannot load {path}: {type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    _freeze()
    client = Lines(*fds, max_bytes=MAX_REQUEST_BYTES)
    try:
        Zygote(settings, operations, client, set(fds)).serve()
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
