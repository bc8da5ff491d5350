"""Following and stopping a job, on a head that is scripted: connections break, the job goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from scripts.jobs import follow
from scripts.jobs.errors import HeadLostError, SubmitError
from scripts.jobs.follow import JobState, follow_job, stop_job
from scripts.jobs.head import Head

LOG = [f"line {number}: weiß\n" for number in range(40)]


@dataclass
class Scripted:
    """A head with one job, `j`; the log grows by a line with every look at it.

    Attributes:
        breaks: What the first connections of the log do after some lines: `abort`, `close` or `silence`.
        refused: Requests that are answered with status 503 from the first connection on.
        status: What the job ends with.
        pending: Questions for its state that are answered before it begins.
    """

    breaks: list[str] = field(default_factory=list)
    refused: int = 0
    sockets: bool = True
    status: str = "SUCCEEDED"
    code: int | None = 0
    written: int = 0
    last: int = len(LOG)
    said_at_stop: str = "stopped; saved\n"
    pending: int = 0
    connections: int = 0
    stopped: bool = False

    @property
    def ended(self) -> bool:
        return self.stopped or self.written >= self.last

    @property
    def log(self) -> str:
        return "".join(LOG[: self.written]) + (self.said_at_stop if self.stopped else "")

    def state(self) -> dict[str, Any]:
        if self.pending:
            return {"status": "PENDING", "message": "It may be waiting\nfor resources."}
        if self.ended:
            return {"status": self.status, "driver_exit_code": self.code, "message": "the\nend"}
        return {"status": "RUNNING", "driver_exit_code": None, "message": None}

    async def job(self, request: web.Request) -> web.Response:
        self._check(request)
        if self.connections and self.refused:
            self.refused -= 1
            return web.Response(status=503)
        if not self.sockets:
            self.written += 1
        state = self.state()
        self.pending = max(0, self.pending - 1)
        return web.json_response(state)

    async def logs(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response({"logs": self.log})

    async def stop(self, request: web.Request) -> web.Response:
        self._check(request)
        self.stopped = True
        return web.json_response({"stopped": True})

    async def tail(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        self.connections += 1
        if not self.sockets:
            return web.Response(status=502)
        what = self.breaks.pop(0) if self.breaks else None
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        while self.pending:
            await asyncio.sleep(0.01)
        if self.written:
            await socket.send_str(self.log)
        begun = self.written
        while not self.ended:
            await asyncio.sleep(0.01)
            if what and self.written >= begun + 5:
                break
            self.written += 1
            await socket.send_str(LOG[self.written - 1])
        if what == "abort":
            assert request.transport is not None
            request.transport.abort()
        elif what == "silence":
            self.written = self.last
            await asyncio.sleep(60)
        return socket

    @staticmethod
    def _check(request: web.Request) -> None:
        assert request.headers["Authorization"] == "Bearer secret"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL_S", 0.02)
    monkeypatch.setattr(follow, "SILENT_S", 0.1)


@pytest.fixture
def scripted() -> Iterator[tuple[Scripted, Head]]:
    script = Scripted()
    loop = asyncio.new_event_loop()
    ready: list[int] = []
    stop = asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/api/jobs/j", script.job)
        app.router.add_get("/api/jobs/j/logs", script.logs)
        app.router.add_get("/api/jobs/j/logs/tail", script.tail)
        app.router.add_post("/api/jobs/j/stop", script.stop)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.append(runner.addresses[0][1])
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    while not ready:
        time.sleep(0.01)
    yield script, Head(address=f"http://127.0.0.1:{ready[0]}", token="secret")
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.mark.parametrize("breaks", [[], ["abort"], ["abort", "abort", "close"], ["close"], ["silence"]])
def test_the_log_is_shown_once_whatever_breaks(
    breaks: list[str], scripted: tuple[Scripted, Head], capsys: pytest.CaptureFixture[str]
) -> None:
    script, head = scripted
    script.breaks = list(breaks)
    assert follow_job(head, "j") == 0
    assert capsys.readouterr().out == "".join(LOG)
    assert script.connections == 1 + len([one for one in breaks if one != "silence"])


def test_a_head_that_is_away_for_a_while_is_waited_for(
    scripted: tuple[Scripted, Head], capsys: pytest.CaptureFixture[str]
) -> None:
    script, head = scripted
    script.breaks, script.refused = ["abort"], 3
    assert follow_job(head, "j") == 0
    captured = capsys.readouterr()
    assert captured.out == "".join(LOG)
    assert captured.err.count("broke off") == captured.err.count("connected again") == 1


def test_a_head_that_stays_away_is_given_up(
    scripted: tuple[Scripted, Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, head = scripted
    script.breaks, script.refused = ["abort"], 10**9
    monkeypatch.setattr(follow, "LOST_S", 0.2)
    with pytest.raises(HeadLostError, match=r"has not answered for .* may go on: stride submit .* --follow j"):
        follow_job(head, "j")


def test_without_a_websocket_the_log_is_asked_for(
    scripted: tuple[Scripted, Head], capsys: pytest.CaptureFixture[str]
) -> None:
    script, head = scripted
    script.sockets = False
    assert follow_job(head, "j") == 0
    assert capsys.readouterr().out == "".join(LOG)


@pytest.mark.parametrize(
    ("status", "code", "gives"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", 75, 75),
        ("FAILED", 143, 143),
        ("FAILED", -9, 137),
        ("FAILED", None, 1),
        ("STOPPED", None, 143),
    ],
)
def test_the_exit_code_is_the_jobs(
    status: str,
    code: int | None,
    gives: int,
    scripted: tuple[Scripted, Head],
    capsys: pytest.CaptureFixture[str],
) -> None:
    script, head = scripted
    script.status, script.code, script.last = status, code, 1
    assert follow_job(head, "j") == gives
    err = capsys.readouterr().err
    assert (
        err
        == {
            "SUCCEEDED": "",
            "FAILED": "job j failed: the end\n",
            "STOPPED": "job j was stopped; continue its run with the same command and --resume\n",
        }[status]
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_job_running(
    number: signal.Signals, scripted: tuple[Scripted, Head], capsys: pytest.CaptureFixture[str]
) -> None:
    script, head = scripted
    script.breaks = ["silence"]
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]

    def press() -> None:
        while not script.written:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=press)
    thread.start()
    assert follow_job(head, "j") == 128 + number
    thread.join()
    assert not script.stopped
    err = capsys.readouterr().err
    assert f"job j goes on. Follow it again: stride submit --address {head.address} --follow j;" in err
    assert f"stride submit --address {head.address} --stop j\n" in err
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_job_that_waits_says_for_what(
    scripted: tuple[Scripted, Head], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, head = scripted
    script.pending = 3
    monkeypatch.setattr(follow, "PENDING_S", 0.0)
    assert follow_job(head, "j") == 0
    err = capsys.readouterr().err
    assert err.count("job j waits for a node with room for it") == 1
    assert "It may be waiting for resources." in err


def test_an_unknown_job_is_said(scripted: tuple[Scripted, Head]) -> None:
    _, head = scripted
    for function in (follow_job, stop_job):
        with pytest.raises(SubmitError, match=f"the head at {head.address} knows no job other"):
            function(head, "other")


def test_a_stopped_job_says_what_it_saved(
    scripted: tuple[Scripted, Head], capsys: pytest.CaptureFixture[str]
) -> None:
    script, head = scripted
    script.written, script.status, script.code = 3, "STOPPED", None
    assert stop_job(head, "j") == 0
    captured = capsys.readouterr()
    assert captured.out == script.said_at_stop  # what it had said before is not repeated
    assert captured.err.endswith("job j has stopped; continue with the same command and --resume\n")
    assert stop_job(head, "j") == 0
    assert capsys.readouterr().err == "job j has ended already (stopped)\n"


def test_a_job_that_was_killed_before_it_saved_says_so(
    scripted: tuple[Scripted, Head], capsys: pytest.CaptureFixture[str]
) -> None:
    script, head = scripted
    script.written, script.status, script.code, script.said_at_stop = 3, "STOPPED", None, ""
    assert stop_job(head, "j") == 1
    assert "was killed before it had saved: Ray waits $RAY_JOB_STOP_WAIT_TIME_S" in capsys.readouterr().err


def test_a_job_that_has_not_started_is_not_waited_for(
    scripted: tuple[Scripted, Head], capsys: pytest.CaptureFixture[str]
) -> None:
    script, head = scripted
    script.pending = 10**9
    assert stop_job(head, "j") == 75
    assert script.stopped  # Ray was told
    assert "still waits for a node; Ray ends it as soon as it starts" in capsys.readouterr().err


def test_a_state_is_read_as_the_head_gives_it() -> None:
    state = follow.read_state({"status": "FAILED", "driver_exit_code": 7, "message": "a\n b", "type": "x"})
    assert state == JobState(status="FAILED", code=7, message="a b")
