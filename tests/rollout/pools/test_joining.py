"""Joining a cluster ends in time, and says what it waited for."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from ray._private import services
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from rollout.pools import joining
from rollout.pools.joining import check_reachable
from rollout.pools.room import ResourceError, TryAgainError

HERE = services.get_node_ip_address()


@contextmanager
def listening(host: str) -> Iterator[str]:
    """A port that accepts connections and says nothing."""
    with socket.socket() as silent:
        silent.bind((host, 0))
        silent.listen(5)
        yield f"{HERE if host == '0.0.0.0' else host}:{silent.getsockname()[1]}"


class FakeHead(gcs_service_pb2_grpc.NodeInfoGcsServiceServicer):
    """Answers as Ray's head does."""

    def __init__(self, refuses: grpc.StatusCode | None = None) -> None:
        self.refuses = refuses

    def GetAllNodeInfo(self, request: Any, context: Any) -> Any:
        if self.refuses is not None:
            context.abort(self.refuses, "InvalidAuthToken")
        reply = gcs_service_pb2.GetAllNodeInfoReply()
        for state in ("ALIVE", "DEAD"):
            node = reply.node_info_list.add()
            node.node_id = secrets.token_bytes(28)
            node.state = node.GcsNodeState.Value(state)
        return reply


@contextmanager
def serving(head: FakeHead) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(head, server)
    port = server.add_insecure_port(f"{HERE}:0")
    server.start()
    try:
        yield f"{HERE}:{port}"
    finally:
        server.stop(None).wait()


def test_a_port_that_says_nothing_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "REPLY_S", 0.5)
    started = time.monotonic()
    with (
        listening("0.0.0.0") as address,
        pytest.raises(TryAgainError, match=r"listens .*waited 0.5 s for an answer"),
    ):
        check_reachable(address)
    assert time.monotonic() - started < 60
    assert joining.CONNECT_S + joining.REPLY_S + joining.NODE_S <= 20


@pytest.mark.skipif(HERE == "127.0.0.1", reason="this machine has no other address")
def test_a_head_that_listens_on_loopback_only() -> None:
    with (
        listening("127.0.0.1") as address,
        pytest.raises(ResourceError, match=f"refused at {HERE}:.*takes {address} for"),
    ):
        check_reachable(address)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
@pytest.mark.parametrize(
    ("mode", "message"),
    [("token", r"refuses the token .*RAY_AUTH_TOKEN"), ("disabled", r"wants a token: set RAY_AUTH_MODE=token")],
)
def test_a_wrong_token_is_named(
    code: grpc.StatusCode, mode: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with serving(FakeHead(refuses=code)) as address, pytest.raises(ResourceError, match=message) as raised:
        check_reachable(address)
    assert raised.value.exit_code == 2


def test_a_machine_without_a_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "NODE_S", 0.1)
    with (
        serving(FakeHead()) as address,
        pytest.raises(ResourceError, match="none of its 1 nodes is on this machine"),
    ):
        check_reachable(address)


JOIN = """
import sys, threading, ray
from rollout.pools import cluster, joining
from rollout.pools.room import ActorSize, ResourceError
if "hang" in sys.argv:
    joining.check_reachable = lambda address: None
    cluster._JOIN_S = 0.3
    ray.init = lambda **_: threading.Event().wait()
try:
    cluster.connect(num_actors=1, size=ActorSize(cpus=1, gpus=0))
except ResourceError as error:
    print(error.exit_code, error)
"""


@pytest.mark.parametrize(
    ("hangs", "message"), [(True, "75 {}its head answers, but ray.init"), (False, "2 {}connection refused")]
)
def test_a_process_that_could_not_join_ends(hangs: bool, message: str) -> None:
    """Even while `ray.init` hangs, although Ray's handler at the end of a process waits for it."""
    with socket.socket() as free:
        free.bind((HERE, 0))
        address = f"{HERE}:{free.getsockname()[1]}"
    done = subprocess.run(
        [sys.executable, "-c", JOIN, *(["hang"] if hangs else [])],
        env={**os.environ, "RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith(message.format(f"cannot join the Ray cluster at RAY_ADDRESS={address}: "))
    assert done.returncode == 0, done.stderr
