"""The Ray cluster of a pool: joined where there is one, else a private one on this machine.

In: number and size of the actors. Out: a `Cluster` with enough resources for them, or a `ResourceError` that
says what is missing; Ray itself would wait for ever without a message. A private cluster has its own folder and
access token and ends with its handle, or with this process: no process and no file is left behind.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import secrets
import signal
import site
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from envs.one_line import one_line
from rollout.pools.ray_thread import HungError, RayThread
from rollout.pools.room import (
    GPUS,
    ActorSize,
    ResourceError,
    TryAgainError,
    check_room,
    check_size,
    leaves_first_gpu,
    visible_gpus,
)
from rollout.pools.watchdog import MARK, Watchdog
from rollout.temporary import OwnedFolder

_MODE, _TOKEN, _ADDRESS, _PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS", "PYTHONPATH"
_CODE = str(Path(__file__).resolve().parents[2])
# Ray puts sockets below its folder, and the path of a socket has at most 107 characters.
_LONGEST_FOLDER = 30
_JOIN_S, _START_S, _END_S = 20.0, 180.0, 30.0
_KILL_S, _CLEAN_S = 1.0, 10.0
_SILENT_S = 20.0  # after 60 s Ray ends the process
_SYSTEM = {"enable_metrics_collection": False}
"""Ray's reports of its own metrics, which nobody reads here, keep 3 to 7 KB/s in every process."""


class Cluster:
    """A Ray cluster that this process is connected to; `connect` makes one."""

    def __init__(
        self,
        *,
        thread: RayThread | None = None,
        folder: OwnedFolder | None = None,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        """Keep what `close` has to undo.

        Args:
            thread: Where Ray is started and ended; None if this process was connected before.
            folder: Folder of the private cluster; None if one was joined.
            environment: Environment variables to restore at the end; None removes one.
        """
        self.folder = None if folder is None else folder.path
        self._owned = folder
        self._thread = thread
        self._environment = dict(environment or {})
        self._answered = time.monotonic()
        self._watchdog = None if folder is None else Watchdog(folder.path)
        if thread is not None:
            atexit.register(self.close)

    @property
    def private(self) -> bool:
        """Whether this process started it."""
        return self.folder is not None

    def check(self) -> None:
        """Ask whether the cluster is still there; Ray's own calls would wait, or end the process.

        Raises:
            TryAgainError: The head has not answered for a while, or this machine's node is dead.
        """
        from rollout.pools.joining import alive_nodes, listens

        context = ray.get_runtime_context()
        lost = "the Ray cluster is lost"
        try:
            alive = alive_nodes(context.gcs_address)
        except ResourceError as error:
            silent_s = time.monotonic() - self._answered
            if silent_s > _SILENT_S:
                raise TryAgainError(
                    f"{lost}: its head has not answered for {silent_s:.0f} s ({error})"
                ) from None
            return
        self._answered = time.monotonic()
        here = alive.get(context.get_node_id())
        if here is None or not listens(here):
            raise TryAgainError(f"{lost}: this machine's node (the process raylet) has died")

    def close(self) -> None:
        """End a private cluster, leave a joined one. Closing twice is fine."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            thread.call(ray.shutdown, limit_s=_END_S)
        except HungError:
            self._leave()
            return
        thread.end()
        atexit.unregister(self.close)
        self._clean_up(ended=True, limit_s=_CLEAN_S)
        _set_environment(self._environment)

    def start(self, *, limit_s: float, **arguments: Any) -> None:
        """Call `ray.init`.

        Raises:
            HungError: It has not come back in time.
            Exception: What it raised.
        """
        assert self._thread is not None
        try:
            self._thread.call(ray.init, limit_s=limit_s, **arguments)
        except Exception as error:
            if isinstance(error, HungError):
                self._leave()
            else:
                self.close()
            raise
        except BaseException:  # a signal
            self._end_once_started()
            raise
        finally:
            _take_back_sigterm()

    def _leave(self) -> None:
        """Let a call into Ray hang that has not come back; a private cluster is killed."""
        self._let_go()
        self._clean_up(ended=False, limit_s=_KILL_S)
        _set_environment(self._environment)

    def _end_once_started(self) -> None:
        """Let Ray go on starting, and end it afterwards; if this process ends before, the watchdog does.

        Ray waits for its servers in C++ code that holds the interpreter's lock, for up to 30 s. Killed now,
        they would never answer, and no thread of this process could go on, or end it.
        """
        thread = self._let_go()
        assert thread is not None
        _set_environment(self._environment)

        def end() -> None:
            ray.shutdown()
            self._clean_up(ended=True, limit_s=_CLEAN_S)

        thread.end_with(end)

    def _let_go(self) -> RayThread | None:
        """Have the end of this process wait for nothing; returns the thread."""
        thread, self._thread = self._thread, None
        atexit.unregister(ray.shutdown)  # it would wait for a call that has not come back
        atexit.unregister(self.close)
        return thread

    def _clean_up(self, *, ended: bool, limit_s: float) -> None:
        if self._watchdog is not None:
            self._watchdog.finish(ended=ended, limit_s=limit_s)
        if self._owned is not None:
            self._owned.close()


def _take_back_sigterm() -> None:
    """Install this program's handler again: that of Ray's C++ code prints a stack and aborts."""
    handler = signal.getsignal(signal.SIGTERM)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def connect(*, num_actors: int, size: ActorSize, learner_on_gpu: bool = False) -> Cluster:
    """Join or start a cluster with enough resources for the actors.

    A process that is connected to Ray keeps its cluster. Otherwise it joins the cluster named by `RAY_ADDRESS`,
    which `ray job submit` sets. Otherwise it starts a private one on this machine, with as many cores as the
    actors ask for and the machine has; the driver asks for none, so two actors of one core each fit on two
    cores. A private cluster has an access token, a new one in each process, unless `RAY_AUTH_MODE` says
    otherwise. It has the GPUs of this machine; with `learner_on_gpu` all but the first, if the actors fit on
    those.

    Raises:
        ResourceError: The resources do not suffice (the message names available and requested ones and the
            keys to change), or the cluster at `RAY_ADDRESS` cannot be joined.
        TryAgainError: A cluster does not answer, or does not start.
    """
    check_size(size)
    gpus = visible_gpus() if learner_on_gpu else []
    others = gpus[1:] if leaves_first_gpu(len(gpus), num_actors, size) else []
    cluster = _connect(cpus_wanted=num_actors * size.cpus, gpus=others)
    try:
        check_room([node["Resources"] for node in _nodes() if node["Alive"]], num_actors, size)
    except ResourceError:
        cluster.close()
        raise
    return cluster


def _nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def _connect(*, cpus_wanted: float, gpus: Sequence[str]) -> Cluster:
    if ray.is_initialized():
        return Cluster()
    # In a thread of its own Ray takes over no signal handler, and warns about that.
    logging.getLogger("ray._private.worker").addFilter(_not_about_signals)
    address = os.environ.get(_ADDRESS)
    if address:
        return _join(address)
    num_cpus = max(1, min(len(os.sched_getaffinity(0)), -int(-cpus_wanted // 1)))
    return _start(num_cpus=num_cpus, gpus=gpus)


def _not_about_signals(record: logging.LogRecord) -> bool:
    return "SIGTERM handler is not set" not in record.getMessage()


def _join(address: str) -> Cluster:
    from rollout.pools.joining import check_reachable

    problem = f"cannot join the Ray cluster at {_ADDRESS}={address}"
    try:
        check_reachable(address)
    except ResourceError as error:
        raise type(error)(f"{problem}: {error}") from None
    cluster = Cluster(thread=RayThread())
    try:
        cluster.start(limit_s=_JOIN_S, logging_level=logging.WARNING)
    except HungError:
        raise TryAgainError(
            f"{problem}: its head answers, but ray.init() has waited {_JOIN_S:g} s for this machine's node"
        ) from None
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ResourceError(f"{problem}: {one_line(error)}") from None
    return cluster


def _start(*, num_cpus: int, gpus: Sequence[str]) -> Cluster:
    folder = OwnedFolder(longest=_LONGEST_FOLDER)
    environment = {name: os.environ.get(name) for name in (_MODE, _TOKEN, _PATH)}
    if _CODE not in site.getsitepackages():
        # Actors must find this package, wherever the driver was started.
        os.environ[_PATH] = os.pathsep.join(filter(None, (_CODE, environment[_PATH])))
    if environment[_MODE] is None:
        # Without a mode, Ray requires tokens (it reads the variable when imported, so setting it here would
        # be too late). With a token in the environment it writes none into the home folder.
        os.environ.setdefault(_TOKEN, _token())
    cluster = Cluster(thread=RayThread(), folder=folder, environment=environment)
    visible = os.environ.get(GPUS)
    try:
        if gpus:  # Ray hands out those that are visible as it starts
            os.environ[GPUS] = ",".join(gpus)
        os.environ[MARK] = str(folder.path)
        cluster.start(
            limit_s=_START_S,
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=str(folder.path),
            _system_config=_SYSTEM,
        )
    except HungError:
        raise TryAgainError(f"Ray has not started on this machine within {_START_S:g} s") from None
    finally:
        _set_environment({GPUS: visible})
    os.environ.pop(MARK)  # after a signal it stays: Ray still starts processes
    return cluster


@functools.cache
def _token() -> str:
    """The same token throughout a process, because Ray reads it once."""
    return secrets.token_hex(32)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
