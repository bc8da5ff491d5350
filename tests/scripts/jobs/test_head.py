"""The way to a head: its token, and one line for everything that can be in the way."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from configs import load_config
from scripts import submit
from scripts.jobs import head as head_module
from scripts.jobs.errors import HeadLostError, SubmitError
from scripts.jobs.head import Head, find_address, reach_head
from scripts.jobs.token import make_token, read_token

TOKEN = "0123abcd" * 8
VERSION = {"ray_version": "2.60.0"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


Answer = Callable[[str | None], tuple[int, Any]]


@contextmanager
def serving(answer: Answer, headers: dict[str, str] | None = None) -> Iterator[tuple[str, list[str | None]]]:
    """A head that answers with a status and JSON to a token; gives its address and the tokens it was sent."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            status, content = answer(seen[-1])
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def protected(sent: str | None) -> tuple[int, Any]:
    if sent is None:
        return 401, b"Unauthorized: Missing authentication token"
    return (200, VERSION) if sent == f"Bearer {TOKEN}" else (403, b"Forbidden")


def test_a_token_is_sent_to_a_head_that_asks_for_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(protected) as (address, seen):
        with pytest.raises(SubmitError, match=r"asks for a token \(401\), .* copy the head's token file there"):
            reach_head(address)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
        with pytest.raises(SubmitError, match=r"refuses the token in \$RAY_AUTH_TOKEN \(403\): it belongs to"):
            reach_head(address)
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        assert reach_head(f"{address}/").headers == {"Authorization": f"Bearer {TOKEN}"}
        assert TOKEN not in repr(reach_head(address))
    assert seen[0] is None


def test_a_head_without_a_token_is_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    with serving(lambda _: (200, VERSION)) as (address, seen):
        with pytest.raises(SubmitError, match=r"asks for no token: .*CVE-2023-48022.*--allow-unauthenticated"):
            reach_head(address)
        assert reach_head(address, allow_unauthenticated=True).headers == {}
    assert seen == [None, None]  # it never sees ours


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (200, b"<html>", {}),
        (200, {"a": 1}, {}),
        (404, b"", {}),
        (302, b"", {"Location": "http://127.0.0.1:1/"}),
    ],
)
def test_what_is_no_head_is_said(status: int, content: Any, headers: dict[str, str]) -> None:
    with (
        serving(lambda _: (status, content), headers) as (address, _),
        pytest.raises(SubmitError, match=rf"\(status {status}\) is no Ray dashboard; give that of the head"),
    ):
        reach_head(address, allow_unauthenticated=True)


def test_a_head_that_does_not_answer_is_said_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 * head_module.TIMEOUT_S <= 20
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            SubmitError, match=rf"no Ray head answers at {address} \(Connection refused\); check"
        ):
            reach_head(address)
        silent.listen()
        started = time.monotonic()
        with monkeypatch.context() as patched:
            patched.setattr(head_module, "TIMEOUT_S", 0.2)
            with pytest.raises(SubmitError, match=r"\(no answer within 0.2 s\)"):
                reach_head(address)
        assert time.monotonic() - started < 60
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            with other.accept()[0] as connection:
                connection.recv(10_000)
                connection.sendall(b"\0\1\2@\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SubmitError, match="what listens there does not speak HTTP"):
            reach_head(f"http://127.0.0.1:{other.getsockname()[1]}")
        thread.join()
    with pytest.raises(SubmitError, match=r"no Ray head answers at http://no-such-host.invalid:1"):
        reach_head("http://no-such-host.invalid:1")


def test_an_address_is_given_or_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.5:6379")  # of drivers, which knows no jobs
    assert find_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "https://head:8265/")
    assert find_address(None) == "https://head:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "head2:8265")
    assert find_address(None) == "http://head2:8265"
    assert find_address("10.0.0.5:8265") == "http://10.0.0.5:8265"
    for wrong in ("ray://head:10001", "http://", "http://head:x"):
        with pytest.raises(SubmitError, match=f"{wrong} is no address of a dashboard; give one such as http"):
            find_address(wrong)


def test_a_token_is_made_for_its_owner_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        path = make_token()
    finally:
        os.umask(before)
    assert path == home / ".ray" / "auth_token"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    token = read_token()
    assert token is not None and len(token) == 64 and int(token, 16)
    with pytest.raises(SubmitError, match=f"there is a token in {path} already"):
        make_token()
    assert read_token() == token
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "other"))
    assert read_token() is None
    assert make_token() == home / "other" and read_token() != token


def test_a_token_file_that_others_can_read_is_refused(home: Path) -> None:
    path = make_token()
    for mode in (0o644, 0o640, 0o602):
        path.chmod(mode)
        with pytest.raises(SubmitError, match=rf"\(mode {mode:04o}\), .* close it: chmod 600 {path}"):
            read_token()
    path.chmod(0o600)
    path.write_text(" \n")
    with pytest.raises(SubmitError, match="is empty"):
        read_token()
    path.unlink()
    path.mkdir()
    with pytest.raises(SubmitError, match="cannot be read: Is a directory"):
        read_token()


def test_ray_reads_the_token_that_is_made(home: Path) -> None:
    path = make_token()
    # Ray reads environment and file once in a process.
    script = "from ray._raylet import AuthenticationTokenLoader as L; print(L.instance().get_raw_token(True))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == path.read_text()


def test_requests_say_what_went_wrong() -> None:
    with (
        serving(lambda _: (404, b"Job x does not exist")) as (address, _),
        pytest.raises(SubmitError, match="Job x does not exist"),
    ):
        Head(address=address, token=None).request("/api/jobs/x")
    for status, content in ((500, b"no"), (200, b"{")):
        with (
            serving(lambda _, answer=(status, content): answer) as (address, _),
            pytest.raises(HeadLostError, match=f"answers with status {status}") as lost,
        ):
            Head(address=address, token=None).request("/x")
        assert lost.value.exit_code == 75


@pytest.mark.parametrize(
    ("device", "there", "gpus"),
    [
        ("cpu", 8.0, 0),
        ("cuda", 8.0, 1),
        ("auto", 8.0, 1),
        ("auto", 0.0, 0),  # a GPU if there is one
        ("cuda", 0.0, 1),  # waits for one
        ("auto", None, 1),
    ],
)
def test_the_learners_gpu_is_reserved_where_it_uses_one(
    device: str, there: float | None, gpus: int, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [
        {"state": "ALIVE", "resources_total": {"CPU": 4.0, **({"GPU": there} if there else {})}},
        {"state": "DEAD", "resources_total": {"GPU": 8.0}},
    ]
    answer = {"data": {"result": {"result": nodes}}} if there is not None else {"msg": "what?"}
    with serving(lambda _: (200, answer)) as (address, _):
        config = load_config("cluster", [f"device={device}"])
        head = Head(address=address, token=None)
        assert submit.choose_gpus(config, head) == gpus
        waits = "the job waits until a node with enough of them joins"
        assert (waits in capsys.readouterr().err) == (gpus > 0 and there == 0)
        assert submit.choose_gpus(config, head, 0) == 0
        assert submit.choose_gpus(config, head, 16) == 16
        assert (waits in capsys.readouterr().err) == (there is not None)
