"""What a process needs of a Ray cluster before it joins one, each tried with a time limit.

In: the address that `RAY_ADDRESS` names. Out: nothing, or a `ResourceError` that says what was waited for. Ray
itself tries the same things for minutes without a line.
"""

from __future__ import annotations

import os
import socket
import time

import grpc
from ray._common.network_utils import build_address
from ray._private import services
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.exceptions import AuthenticationError

from envs.one_line import one_line
from rollout.pools.room import ResourceError, TryAgainError

CONNECT_S = 5.0
REPLY_S = 10.0
NODE_S = 5.0
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def check_reachable(address: str) -> None:
    """Refuse an address at which no Ray head answers this process.

    Args:
        address: `host:port` of a head, or `auto` for the one on this machine.

    Raises:
        ResourceError: Nothing listens there, the token is wrong, or no node of the cluster is on this machine.
        TryAgainError: Something listens, but no head answers, or not this machine's node.
    """
    if "://" in address:  # Ray's client, which has limits of its own
        return
    if address == "auto":
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # as Ray does
    try:
        found = services.canonicalize_bootstrap_address_or_die(address)
    except (OSError, ValueError) as error:
        raise ResourceError(one_line(error, most=1000)) from None
    _knock(address, found)
    nodes = alive_nodes(found)
    until = time.monotonic() + NODE_S
    while not (here := nodes.keys() & _local_nodes()):
        if time.monotonic() > until:
            raise ResourceError(
                f"its head at {found} answers, but none of its {len(nodes)} nodes is on this machine, and a "
                f"run needs one: start one here (ray start --address={found}), or run as a job (stride submit)"
            )
        time.sleep(0.5)
        nodes = alive_nodes(found)
    for node in here:
        _wait_for_node(nodes[node])


def _knock(given: str, found: str) -> None:
    try:
        _connect(found)
    except TimeoutError:
        raise TryAgainError(f"waited {CONNECT_S:g} s for a connection to {found}") from None
    except OSError as error:
        reason = f"{error.strerror or error}".lower()
        if given not in (found, "auto"):
            reason += (
                f" at {found}, which is what Ray takes {given} for; give the address that the head listens at"
            )
        raise ResourceError(reason) from None


def listens(address: str) -> bool:
    """Whether a process listens at an address of this machine."""
    try:
        _connect(address)
    except ConnectionRefusedError:
        return False
    except OSError:
        pass  # it is slow
    return True


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()


def alive_nodes(address: str) -> dict[str, str]:
    """The addresses of the cluster's nodes that are alive, by their ids; asked of its head.

    Raises:
        ResourceError: It refuses the token.
        TryAgainError: It does not answer.
    """
    request = gcs_service_pb2.GetAllNodeInfoRequest()  # type: ignore[attr-defined]
    with _channel(address) as channel:
        head = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            reply = head.GetAllNodeInfo(request, timeout=REPLY_S)
        except grpc.RpcError as error:
            if error.code() in _REFUSED:
                raise ResourceError(_about_token()) from None
            if not listens(address):
                raise TryAgainError(f"nothing listens at {address} any more") from None
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                what = f"waited {REPLY_S:g} s for an answer"
            else:
                what = f"{error.code().name}: {one_line(error.details() or 'no details', most=120)}"
            raise TryAgainError(
                f"something listens at {address}, but not a Ray head that works ({what})"
            ) from None
    return {
        node.node_id.hex(): build_address(node.node_manager_address, node.node_manager_port)
        for node in reply.node_info_list
        if node.state == node.ALIVE
    }


def _local_nodes() -> set[str]:
    """Ids of the nodes whose processes run on this machine, of any cluster."""
    found: set[str] = services.find_node_ids()  # type: ignore[no-untyped-call]
    return found


def _wait_for_node(address: str) -> None:
    with _channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=REPLY_S)
        except grpc.FutureTimeoutError:
            raise TryAgainError(
                f"its head answers, but this machine's node at {address} (the process raylet) does not: waited "
                f"{REPLY_S:g} s"
            ) from None


def _channel(address: str) -> grpc.Channel:
    try:
        return init_grpc_channel(address)
    except AuthenticationError:
        raise ResourceError(
            "RAY_AUTH_MODE is token, but this process has no token: set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH "
            "to a file with it, or write it to ~/.ray/auth_token"
        ) from None


def _about_token() -> str:
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return (
            "it refuses the token of this process, which comes from RAY_AUTH_TOKEN, else from the file at "
            "RAY_AUTH_TOKEN_PATH, else from ~/.ray/auth_token; give the token that the head was started with"
        )
    return (
        "it wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the one that the head was started "
        "with"
    )
