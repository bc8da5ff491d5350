"""The viewer's server, which only this machine can reach unless it is asked to listen further.

In: trajectories. Out: the page, its columns and its chunks over HTTP, and nothing else. A request for another
host name is refused, so that a website whose name resolves to this address (DNS rebinding) reads nothing.
Listening on another address than 127.0.0.1 takes a token: the printed link has it, a browser trades it for a
cookie, so that it leaves the address bar, and nobody else is answered. There is no TLS, so it crosses the
network in clear, as the pages do.
"""

from __future__ import annotations

import errno
import hmac
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from configs import ConfigError
from rl.runs.errors import RunFolderError
from rl.viewer.page import content_security_policy, page_parts
from rl.viewer.read import Trajectories

LOOPBACK = "127.0.0.1"
_HERE = (LOOPBACK, "localhost")
_EVERYWHERE = "0.0.0.0"
_TOKEN_BYTES = 24
_CHUNK = re.compile(r"/chunk-([0-9]{1,9})")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, trajectories: Trajectories, port: int, host: str) -> None:
        page = "".join(page_parts(trajectories, embed=False)).encode()
        self._contents = {"/": page, "/columns": trajectories.columns}
        self._chunks = trajectories.chunks
        self.security_policy = content_security_policy(served=True) + "; frame-ancestors 'none'"
        super().__init__((host, port), _Handler)
        self._host = host
        address = str(self.server_address[0])
        self.token = None if address.startswith("127.") else secrets.token_urlsafe(_TOKEN_BYTES)
        self.cookie = f"stride-{self.server_address[1]}"  # browsers share cookies between the ports of a host
        self._names = {*_HERE, host} - {_EVERYWHERE}
        if self.token is not None:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    @property
    def link(self) -> str:
        """What opens the page."""
        host = socket.gethostname() if self._host == _EVERYWHERE else self._host
        start = f"http://{host}:{self.server_address[1]}/"
        return start if self.token is None else f"{start}?token={self.token}"

    def answers_to(self, name: str, reached_at: str) -> bool:
        """Whether a request may be for this host name, given the address of this machine that it came to."""
        return name in self._names or (self.token is not None and name == reached_at)

    def knows(self, token: str) -> bool:
        """Whether this is the token."""
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())

    def content(self, path: str) -> bytes | None:
        """What a path leads to; None if there is nothing.

        Raises:
            RunFolderError: A chunk cannot be read any more.
        """
        chunk = _CHUNK.fullmatch(path)
        if chunk and (number := int(chunk[1])) < len(self._chunks):
            return self._chunks[number]
        return self._contents.get(path)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that hang up; report other errors."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 60  # of a connection that sends nothing

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host") or [""]
        # The port is not compared: through a tunnel it is the tunnel's.
        name = (hosts[0].rpartition(":")[0] or hosts[0]).lower()
        if len(hosts) > 1 or not self.server.answers_to(name, self.connection.getsockname()[0]):
            self._answer(HTTPStatus.FORBIDDEN, b"open this page by the link that was printed\n", "text/plain")
            return
        if self.server.token is not None and not self._has_cookie():
            self._admit(self.server.cookie)
            return
        try:
            content = self.server.content(self.path)
        except RunFolderError as error:
            self._answer(HTTPStatus.GONE, f"{error}\n".encode(), "text/plain; charset=utf-8")
            return
        if content is None:
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such page\n", "text/plain")
        else:
            kind = "text/html; charset=utf-8" if self.path == "/" else "application/octet-stream"
            self._answer(HTTPStatus.OK, content, kind)

    do_HEAD = do_GET

    def _refuse_method(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"GET and HEAD only\n", "text/plain", Allow="GET, HEAD")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse_method

    def _has_cookie(self) -> bool:
        try:
            morsel = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return False
        return morsel is not None and self.server.knows(morsel.value)

    def _admit(self, cookie: str) -> None:
        """Give a cookie for the token of the link, which then leaves the address bar; refuse others."""
        url = urlsplit(self.path)
        token = parse_qs(url.query).get("token", [""])[0]
        if url.path == "/" and self.server.knows(token):
            # Lax: it comes along when a link is followed, and not when another site loads something from here.
            value = f"{cookie}={token}; Path=/; HttpOnly; SameSite=Lax"
            self._answer(HTTPStatus.SEE_OTHER, b"", "text/plain", **{"Location": "/", "Set-Cookie": value})
            return
        says = b"this page needs a token; open it by the link that was printed\n"
        self._answer(HTTPStatus.UNAUTHORIZED, says, "text/plain")

    def _answer(self, status: HTTPStatus, content: bytes, kind: str, **more: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": self.server.security_policy,
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            **more,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""


def make_server(trajectories: Trajectories, port: int = 0, host: str = LOOPBACK) -> _Server:
    """A server that holds its port; it answers once `serve_forever` runs.

    Args:
        trajectories: The data to show.
        port: A port from 1 to 65535, or 0 for a free one.
        host: The IPv4 address or name of this machine to listen on, or 0.0.0.0 for all of them.

    Raises:
        ConfigError: The port is invalid, in use or not permitted, or the host is none of this machine's.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port} is not a port; give one from 1 to 65535, or none for a free one")
    try:
        return _Server(trajectories, port, host.lower() or _EVERYWHERE)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(
                f"--host {host} is no IPv4 address or name of this machine; give one, or 0.0.0.0 for all"
            ) from None
        raise ConfigError(
            f"--port {port} cannot be used ({error.strerror or error}); give another, or none for a free one"
        ) from None


def serve(
    trajectories: Trajectories, port: int, *, host: str = LOOPBACK, on_ready: Callable[[str], None]
) -> None:
    """Serve until Ctrl-C or SIGTERM; to be called from the main thread.

    Args:
        trajectories: The data to show.
        port: As for `make_server`.
        host: As for `make_server`.
        on_ready: Called with the link to the page once it can be opened.

    Raises:
        ConfigError: As `make_server`.
    """
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    with make_server(trajectories, port, host) as server:
        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            on_ready(server.link)
            ended.wait()
        finally:
            server.shutdown()
            thread.join()
            for number, handler in before.items():
                signal.signal(number, handler)
