"""The head of a Ray cluster as its dashboard answers for it: the address, the token, requests.

A head that asks for no token is refused: whoever reaches its dashboard, or the other ports that Ray opens on
every interface, runs code there as the user who started it (CVE-2023-48022).
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from envs.one_line import one_line
from scripts.jobs.errors import HeadLostError, SubmitError
from scripts.jobs.token import VARIABLE, read_token, token_file, token_source

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
TIMEOUT_S = 8.0
"""Seconds for an answer; an address is tried twice at most."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A head that answers.

    Attributes:
        address: Of its dashboard, such as `http://10.0.0.5:8265`.
        token: What it asks for; None if it asks for nothing.
    """

    address: str
    token: str | None = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a request."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def request(self, path: str, *, method: str = "GET") -> Any:
        """The answer to a request, from JSON.

        Raises:
            SubmitError: There is nothing at this path (404).
            HeadLostError: No answer, or an error of the head's.
        """
        try:
            status, content = _send(f"{self.address}{path}", self.headers, method)
        except _UnreachableError as error:
            raise HeadLostError(f"the head at {self.address} does not answer ({error})") from None
        if status == http.client.NOT_FOUND:
            raise SubmitError(content.decode(errors="replace").strip()[:300] or f"{path}: not found")
        try:
            if status == http.client.OK:
                return json.loads(content)
        except ValueError:
            pass
        raise HeadLostError(f"the head at {self.address} answers with status {status}")

    def num_gpus(self) -> float | None:
        """GPUs of the nodes that are there now; None if the head does not say."""
        try:
            nodes = self.request("/api/v0/nodes?limit=10000&detail=1")["data"]["result"]["result"]
            return sum(
                node["resources_total"].get("GPU", 0.0) for node in nodes if node.get("state") == "ALIVE"
            )
        except (HeadLostError, SubmitError, KeyError, TypeError, AttributeError):
            return None


def reach_head(address: str | None = None, *, allow_unauthenticated: bool = False) -> Head:
    """Find the head and what it asks for, within about twenty seconds.

    Args:
        address: Of its dashboard; None: that of `RAY_API_SERVER_ADDRESS` or `RAY_ADDRESS`, or this machine's.
        allow_unauthenticated: Accept a head that asks for no token.

    Raises:
        SubmitError: Nothing answers there, it is no Ray head, or the token does not fit.
    """
    address = find_address(address)
    status, content = _probe(address, {})
    if status == http.client.UNAUTHORIZED:
        token = read_token()
        if token is None:
            raise SubmitError(
                f"the head at {address} asks for a token (401), and there is none in ${VARIABLE} or "
                f"{token_file()}; copy the head's token file there, with mode 0600"
            )
        head = Head(address=address, token=token)
        status, content = _probe(address, head.headers)
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            raise SubmitError(
                f"the head at {address} refuses the token in {token_source()} ({status}): it belongs to "
                "another cluster, or the head has a new one; copy the head's token file"
            )
    else:
        head = Head(address=address, token=None)
    if not _is_ray(status, content):
        raise SubmitError(
            f"what answers at {address} (status {status}) is no Ray dashboard; give that of the head, such as "
            "http://HEAD:8265"
        )
    if head.token is None and not allow_unauthenticated:
        raise SubmitError(
            f"the head at {address} asks for no token: whoever reaches one of its ports runs code there as you "
            "(CVE-2023-48022), and Ray opens some on every interface. Start it with a token (stride submit "
            "--make-token says how), or accept that with --allow-unauthenticated"
        )
    return head


def find_address(given: str | None) -> str:
    """The address of the dashboard, as a URL without a slash at the end.

    Raises:
        SubmitError: It is none of a dashboard.
    """
    fallback = os.environ.get("RAY_ADDRESS", "")
    if not fallback.startswith(("http://", "https://")):
        fallback = DEFAULT_ADDRESS  # RAY_ADDRESS may name the port of drivers, which has no jobs
    address = given or os.environ.get(ADDRESS_VARIABLE) or fallback
    url = address if "://" in address else f"http://{address}"
    try:
        parts = urllib.parse.urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SubmitError(f"{address} is no address of a dashboard; give one such as http://HEAD:8265")
    return url.rstrip("/")


def _is_ray(status: int, content: bytes) -> bool:
    try:
        return status == http.client.OK and "ray_version" in json.loads(content)
    except (ValueError, TypeError):
        return False


def _probe(address: str, headers: dict[str, str]) -> tuple[int, bytes]:
    try:
        return _send(f"{address}/api/version", headers, "GET")
    except _UnreachableError as error:
        raise SubmitError(
            f"no Ray head answers at {address} ({error}); check the address, that the head runs, and that this "
            "machine reaches the port of its dashboard"
        ) from None


class _UnreachableError(Exception):
    """No answer; the message says why."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        """Follow none: the token would go along."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def _send(url: str, headers: dict[str, str], method: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except http.client.HTTPException:
        raise _UnreachableError("what listens there does not speak HTTP") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise _UnreachableError(f"no answer within {TIMEOUT_S:g} s") from None
        said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise _UnreachableError(one_line(said)) from None
