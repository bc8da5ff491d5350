"""The Ray cluster of a pool: joined where there is one, else a private one on this machine.

In: number and size of the actors. Out: a `Cluster` with enough resources for them, or a `ResourceError` that
says what is missing; Ray itself would wait for ever without a message. A private cluster has its own folder and
access token and ends with its handle: no process and no file is left behind.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import secrets
import shutil
import signal
import site
import socket
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from rollout.pools.room import (
    GPUS,
    ActorSize,
    ResourceError,
    check_room,
    check_size,
    leaves_first_gpu,
    visible_gpus,
)

_MODE, _TOKEN, _ADDRESS, _PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS", "PYTHONPATH"
_CODE = str(Path(__file__).resolve().parents[2])
# Ray puts sockets below its folder, and the path of a socket has at most 107 characters.
_LONGEST_FOLDER = 30
_KNOCK_S = 5.0


class Cluster:
    """A Ray cluster that this process is connected to; `connect` makes one."""

    def __init__(self, *, folder: Path | None, environment: Mapping[str, str | None], joined: bool) -> None:
        """Keep what `close` has to undo.

        Args:
            folder: Folder of the private cluster; None if one was joined.
            environment: Environment variables to restore at the end; None removes one.
            joined: Whether this process was not connected before.
        """
        self.folder = folder
        self._environment = dict(environment)
        self._joined = joined
        if joined:
            atexit.register(self.close)

    @property
    def private(self) -> bool:
        """Whether this process started it."""
        return self.folder is not None

    def close(self) -> None:
        """End a private cluster, leave a joined one. Closing twice is fine."""
        if not self._joined:
            return
        self._joined = False
        atexit.unregister(self.close)
        ray.shutdown()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        _set_environment(self._environment)


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
        return Cluster(folder=None, environment={}, joined=False)
    handler = signal.getsignal(signal.SIGTERM)
    address = os.environ.get(_ADDRESS)
    try:
        if address:
            return _join(address)
        num_cpus = max(1, min(len(os.sched_getaffinity(0)), -int(-cpus_wanted // 1)))
        return _start(num_cpus=num_cpus, gpus=gpus)
    finally:
        # Ray replaces the handler, which may save a checkpoint.
        if callable(handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _join(address: str) -> Cluster:
    try:
        _knock(address)
        ray.init(logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ResourceError(f"cannot join the Ray cluster at {_ADDRESS}={address}: {reason}") from None
    return Cluster(folder=None, environment={}, joined=True)


def _knock(address: str) -> None:
    """Try the address first: Ray takes minutes to report that nothing listens there."""
    host, _, port = address.rpartition(":")
    if "/" not in host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def _start(*, num_cpus: int, gpus: Sequence[str]) -> Cluster:
    folder = _make_folder()
    environment = {name: os.environ.get(name) for name in (_MODE, _TOKEN, _PATH)}
    if _CODE not in site.getsitepackages():
        # Actors must find this package, wherever the driver was started.
        os.environ[_PATH] = os.pathsep.join(filter(None, (_CODE, environment[_PATH])))
    if environment[_MODE] is None:
        # Without a mode, Ray requires tokens (it reads the variable when imported, so setting it here would
        # be too late). With a token in the environment it writes none into the home folder.
        os.environ.setdefault(_TOKEN, _token())
    cluster = Cluster(folder=folder, environment=environment, joined=True)
    visible = os.environ.get(GPUS)
    try:
        if gpus:  # Ray hands out those that are visible as it starts
            os.environ[GPUS] = ",".join(gpus)
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=str(folder),
        )
    except BaseException:
        cluster.close()
        raise
    finally:
        _set_environment({GPUS: visible})
    return cluster


@functools.cache
def _token() -> str:
    """The same token throughout a process, because Ray reads it once."""
    return secrets.token_hex(32)


def _make_folder() -> Path:
    parent = tempfile.gettempdir()
    if len(parent) + len("/stride-xxxxxxxx") > _LONGEST_FOLDER:
        parent = "/tmp"
    return Path(tempfile.mkdtemp(prefix="stride-", dir=parent))


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
