"""The viewer's server: what it serves, to whom, and what the page may do."""

from __future__ import annotations

import base64
import hashlib
import html
import http.client
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

import pytest

from configs import ConfigError
from rl.runs.errors import RunFolderError
from rl.runs.trajectories import trajectory_log
from rl.viewer import Trajectories, make_server, read_trajectories, write_page
from rl.viewer.page import check_free
from tests.kit.file_rows import row_data, write_rows


@pytest.fixture
def data(tmp_path: Path) -> Trajectories:
    return read_trajectories([write_rows(tmp_path / "a", training=[row_data(i) for i in range(300)])])


@pytest.fixture
def port(data: Trajectories) -> Iterator[int]:
    with make_server(data) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def open_link(data: Trajectories) -> Iterator[SplitResult]:
    """The link to a server that listens on all interfaces."""
    with make_server(data, host="0.0.0.0") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield urlsplit(server.link)
        server.shutdown()
        thread.join()


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_it_hands_out_the_page_the_columns_and_the_chunks(port: int, data: Trajectories) -> None:
    assert get(port, "/columns")[2] == data.columns
    assert [get(port, f"/chunk-{i}")[2] for i in range(2)] == list(data.chunks)
    status, headers, page = get(port, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"chunk-0" not in page


@pytest.mark.parametrize(
    "path", ["/chunk-2", "/chunk--1", "/index.html", "/config.yaml", "/../config.yaml", "//etc/passwd", "/?x"]
)
def test_it_hands_out_nothing_else(port: int, path: str) -> None:
    status, headers, _ = get(port, path)
    assert status == 404
    assert "Content-Security-Policy" in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1]:80"])
def test_a_request_for_another_host_is_refused(port: int, host: str) -> None:
    for path in ("/", "/columns", "/chunk-0", "/x"):
        status, _, content = get(port, path, Host=host)
        assert status == 403
        assert len(content) < 100


def test_the_end_of_a_tunnel_may_have_another_port(port: int) -> None:
    assert get(port, "/columns", Host="localhost:9")[0] == 200


def test_two_host_headers_are_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /columns HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 403 ")


def test_it_answers_head_and_get_alone(port: int, data: Trajectories) -> None:
    status, headers, content = get(port, "/columns", method="HEAD")
    assert (status, int(headers["Content-Length"]), content) == (200, len(data.columns), b"")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:  # http.client reads no body
        connection.sendall(b"HEAD /columns HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(10_000), b"")).endswith(b"\r\n\r\n")
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        status, headers, _ = get(port, "/columns", method=method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert get(port, "/columns", method="TRACE")[0] == 501


def test_listening_further_takes_a_token(open_link: SplitResult, data: Trajectories) -> None:
    port = open_link.port
    assert port is not None and open_link.hostname == socket.gethostname().lower()
    token = open_link.query.removeprefix("token=")
    assert len(token) >= 32
    name = f"stride-{port}"
    for path in ("/", "/columns", "/chunk-0", "/?token=", "/?token=x", f"/?token={token[:-1]}", "/?token=é"):
        for cookie in ("", f"{name}={token[:-1]}", f"other={token}", "=;=", f"{name}=\xe9"):
            status, headers, content = get(port, quote(path, safe="/?="), Cookie=cookie)
            assert status == 401 and len(content) < 100 and "Set-Cookie" not in headers, (path, cookie)
    assert get(port, f"/columns?token={token}")[0] == 401  # the link alone hands out the cookie
    status, headers, content = get(port, f"/?token={token}")
    assert (status, headers["Location"], content) == (303, "/", b"")
    cookie, *attributes = headers["Set-Cookie"].split("; ")
    assert cookie == f"{name}={token}" and {"HttpOnly", "SameSite=Lax"} <= {*attributes}
    assert get(port, "/columns", Cookie=f"a=b; {cookie}")[2] == data.columns
    assert get(port, "/", Cookie=cookie)[0] == 200


def test_listening_further_answers_to_its_own_names_alone(open_link: SplitResult) -> None:
    port = open_link.port
    assert port is not None
    cookie = f"stride-{port}={open_link.query.removeprefix('token=')}"
    for host in ("localhost", "127.0.0.1", socket.gethostname()):
        assert get(port, "/columns", Host=f"{host}:{port}", Cookie=cookie)[0] == 200
    for host in ("evil.example", "0.0.0.0", "10.9.8.7", ""):
        assert get(port, "/columns", Host=f"{host}:{port}", Cookie=cookie)[0] == 403


def test_a_host_of_another_machine_is_one_line(data: Trajectories) -> None:
    for host in ("192.0.2.250", "::1"):
        with pytest.raises(ConfigError, match=f"--host {host} is no IPv4 address or name of this machine"):
            make_server(data, host=host)


def test_the_policy_allows_the_pages_own_script_and_style_alone(
    port: int, tmp_path: Path, data: Trajectories
) -> None:
    _, headers, served = get(port, "/")
    write_page(data, tmp_path / "page.html", overwrite=False)
    for page, policies in (
        (served.decode(), [headers["Content-Security-Policy"]]),
        ((tmp_path / "page.html").read_text(encoding="utf-8"), []),
    ):
        meta = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
        assert meta is not None
        scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
        assert len(scripts) == len(styles) == 1
        for policy in [html.unescape(meta[1]), *policies]:
            rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
            assert rules["default-src"] == "'none'"
            for kind, text in (("script-src", scripts[0]), ("style-src", styles[0])):
                digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
                assert rules[kind] == f"'sha256-{digest}'"
        assert "http://" not in page
        assert "https://" not in page


def test_a_chunk_whose_file_is_gone_is_one_line(port: int, tmp_path: Path) -> None:
    for file in trajectory_log(tmp_path / "a").files():
        file.path.unlink()
    status, _, says = get(port, "/chunk-0")
    assert status == 410
    assert says.endswith(b"has been deleted or replaced since it was read; run stride rollouts again\n")
    assert get(port, "/columns")[0] == 200


def test_more_than_a_page_can_hold_is_refused(data: Trajectories, tmp_path: Path) -> None:
    # 300 rows of 9 tokens: 1000 bytes each, and 8 for each token.
    assert data.chunks.num_bytes == 300 * 1072
    with pytest.raises(RunFolderError, match=r"300 trajectories are about 0 MB, .* choose updates, such as"):
        write_page(data, tmp_path / "page.html", overwrite=False, most_bytes=300_000)
    assert not (tmp_path / "page.html").exists()


def test_an_unavailable_port_is_one_line(data: Trajectories) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {number} cannot be used .*in use.*give another"):
            make_server(data, number)
    for number in (-1, 65536):
        with pytest.raises(ConfigError, match=f"--port {number} is not a port; give one from 1 to 65535"):
            make_server(data, number)


def test_a_file_is_replaced_only_with_overwrite(tmp_path: Path, data: Trajectories) -> None:
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(RunFolderError, match="already exists; replace it with --overwrite"):
        write_page(data, path, overwrite=False)
    assert path.read_text() == "mine"
    write_page(data, path, overwrite=True)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [one.name for one in tmp_path.glob("page*")] == ["page.html"]
    with pytest.raises(RunFolderError, match="is a folder; give a file"):
        check_free(tmp_path, overwrite=True)
    with pytest.raises(RunFolderError, match="there is no folder"):
        check_free(tmp_path / "no" / "page.html", overwrite=True)
