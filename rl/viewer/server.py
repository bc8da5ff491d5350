"""The viewer's server, which only this machine can reach.

In: trajectories. Out: the page, its columns and its chunks over HTTP on 127.0.0.1, and nothing else. A request
for another host name is refused, so that a website whose name resolves to this address (DNS rebinding) reads
nothing.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

from configs import ConfigError
from rl.runs.errors import RunFolderError
from rl.viewer.page import content_security_policy, page_parts
from rl.viewer.read import Trajectories

_ADDRESS = "127.0.0.1"
_HOSTS = (_ADDRESS, "localhost")
_CHUNK = re.compile(r"/chunk-([0-9]{1,9})")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, trajectories: Trajectories, port: int) -> None:
        page = "".join(page_parts(trajectories, embed=False)).encode()
        self._contents = {"/": page, "/columns": trajectories.columns}
        self._chunks = trajectories.chunks
        self.security_policy = content_security_policy(served=True) + "; frame-ancestors 'none'"
        super().__init__((_ADDRESS, port), _Handler)

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

    def do_GET(self) -> None:
        # The port is not compared: through a tunnel it is the tunnel's.
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in _HOSTS:
            self._answer(HTTPStatus.FORBIDDEN, f"open this page as http://{_ADDRESS}\n".encode(), "text/plain")
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

    def _answer(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": self.server.security_policy,
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""


def make_server(trajectories: Trajectories, port: int = 0) -> ThreadingHTTPServer:
    """A server that holds its port; it answers once `serve_forever` runs.

    Args:
        trajectories: The data to show.
        port: A port from 1 to 65535, or 0 for a free one.

    Raises:
        ConfigError: The port is invalid, in use or not permitted.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port} is not a port; give one from 1 to 65535, or none for a free one")
    try:
        return _Server(trajectories, port)
    except OSError as error:
        raise ConfigError(
            f"--port {port} cannot be used ({error.strerror or error}); give another, or none for a free one"
        ) from None


def serve(trajectories: Trajectories, port: int, *, on_ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; to be called from the main thread.

    Args:
        trajectories: The data to show.
        port: As for `make_server`.
        on_ready: Called with the page's address once it can be opened.

    Raises:
        ConfigError: The port is invalid, in use or not permitted.
    """
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    with make_server(trajectories, port) as server:
        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            on_ready(f"http://{_ADDRESS}:{server.server_address[1]}/")
            ended.wait()
        finally:
            server.shutdown()
            thread.join()
            for number, handler in before.items():
                signal.signal(number, handler)
