"""A job from outside: its log as it is written, its end, its exit code, and how it is stopped.

The log comes over a WebSocket, which proxies and restarts of the dashboard break while the job goes on. Every
connection sends it from its first character, so whatever has been shown is skipped. Where no WebSocket gets
through, the whole log is asked for instead.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from envs.one_line import one_line
from scripts.closed_pipes import silence_closed
from scripts.exits import RUN_FAILED, TRY_AGAIN
from scripts.jobs.errors import HeadLostError, SubmitError
from scripts.jobs.head import TIMEOUT_S, Head

POLL_S = 1.0
SILENT_S = 5.0
"""Seconds without text after which the job is asked for its state."""
STALE_S = 120.0
"""Seconds without text after which the log is connected anew."""
PENDING_S = 15.0
LOST_S = 600.0
"""Seconds after which a head that does not answer is given up."""
GRACE_VARIABLE = "RAY_JOB_STOP_WAIT_TIME_S"
_SOCKET = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What the head says of a job.

    Attributes:
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        code: Exit code of its command; None while it runs, if it was stopped, or if it never ran.
        message: Ray's remark, in one line.
    """

    status: str
    code: int | None
    message: str

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")

    @property
    def exit_code(self) -> int:
        """The job's own exit code, as a shell would give it; 143 if it was stopped, which leaves none."""
        if self.status == "SUCCEEDED":
            return 0
        if self.status == "STOPPED":
            return 128 + signal.SIGTERM
        if self.code is None:
            return RUN_FAILED
        return self.code if self.code >= 0 else 128 - self.code


def read_state(answer: Any) -> JobState:
    """The state in the head's answer to `/api/jobs/JOB`."""
    code = answer.get("driver_exit_code")
    message = " ".join(str(answer.get("message") or "").split())
    return JobState(status=str(answer["status"]), code=code, message=message)


def follow_job(head: Head, job: str) -> int:
    """Print the log of a job until it ends, and give its exit code.

    Ctrl-C, SIGTERM and a reader of the log that has gone leave the job alone; the code is then 128 + n.

    Raises:
        SubmitError: The head does not know the job.
        HeadLostError: The head has not answered for ten minutes.
    """
    try:
        state = asyncio.run(_until_signal(head, job))
    except _LeftError as left:
        _say(
            f"job {job} goes on. Follow it again: stride submit --address {head.address} --follow {job}; "
            f"save and stop it: stride submit --address {head.address} --stop {job}"
        )
        return 128 + left.number
    if state.status == "FAILED":
        _say(f"job {job} failed: {state.message[:300]}")
    elif state.status == "STOPPED":
        _say(f"job {job} was stopped; continue its run with the same command and --resume")
    return state.exit_code


class _LeftError(Exception):
    """The user has turned away; the job goes on."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


async def _until_signal(head: Head, job: str) -> JobState:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    received: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        assert task is not None
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    try:
        return await _Follower(head, job).follow()
    except asyncio.CancelledError:
        if not received:
            raise
        raise _LeftError(received[0]) from None


class _Follower:
    def __init__(self, head: Head, job: str) -> None:
        self._address, self._headers = head.address, head.headers
        self._job = job
        self._url = f"{head.address}/api/jobs/{job}"
        self._shown = 0  # characters of the log
        self._started = time.monotonic()
        self._hinted = False

    async def follow(self) -> JobState:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S)
        async with aiohttp.ClientSession(headers=self._headers, timeout=limits, trust_env=True) as session:
            lost: float | None = None
            while True:
                broken = await self._tail(session)
                try:
                    state = await self._state(session)
                    if broken or state.ended:
                        self._show(await self._whole_log(session), skip=self._shown)
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    now = time.monotonic()
                    if lost is None:
                        lost = now
                        reason = one_line(error)
                        _say(f"the connection to {self._address} broke off ({reason}); trying again")
                    if now - lost > LOST_S:
                        raise HeadLostError(
                            f"the head at {self._address} has not answered for {LOST_S / 60:g} minutes. Job "
                            f"{self._job} may go on: "
                            f"stride submit --address {self._address} --follow {self._job}"
                        ) from None
                else:
                    if lost is not None:
                        lost = None
                        _say("connected again")
                    if state.ended:
                        return state
                await asyncio.sleep(POLL_S)

    async def _tail(self, session: aiohttp.ClientSession) -> bool:
        """Show the log while one connection lasts; gives whether it broke."""
        skip = self._shown
        last = time.monotonic()
        try:
            async with session.ws_connect(f"{self._url}/logs/tail") as socket:
                while time.monotonic() - last < STALE_S:
                    try:
                        message = await socket.receive(timeout=SILENT_S)
                    except TimeoutError:
                        if (await self._state(session)).ended:
                            return False
                        continue
                    if message.type == aiohttp.WSMsgType.TEXT:
                        last = time.monotonic()
                        self._show(message.data, skip=skip)
                        skip = max(0, skip - len(message.data))
                    elif message.type in _SOCKET:
                        return socket.close_code != aiohttp.WSCloseCode.OK
                    elif message.type == aiohttp.WSMsgType.ERROR:
                        return True
        except (aiohttp.ClientError, OSError, TimeoutError):
            return True
        return False

    def _show(self, text: str, *, skip: int) -> None:
        new = text[skip:]
        self._shown += len(new)
        try:
            print(new, end="", flush=True)
        except BrokenPipeError:
            silence_closed()
            raise _LeftError(signal.SIGPIPE) from None

    async def _state(self, session: aiohttp.ClientSession) -> JobState:
        async with session.get(self._url) as answer:
            if answer.status == 404:
                raise SubmitError(f"the head at {self._address} knows no job {self._job}")
            answer.raise_for_status()
            state = read_state(await answer.json())
        waited = time.monotonic() - self._started
        if state.status == "PENDING" and waited > PENDING_S and not self._hinted:
            self._hinted = True
            _say(
                f"job {self._job} waits for a node with room for it, or for its folder to be unpacked: "
                f"{state.message[:300]}; --gpus says how many GPUs it asks for"
            )
        return state

    async def _whole_log(self, session: aiohttp.ClientSession) -> str:
        async with session.get(f"{self._url}/logs") as answer:
            if answer.status >= 500:  # it has none, as it never started
                return ""
            answer.raise_for_status()
            return str((await answer.json()).get("logs") or "")


def stop_job(head: Head, job: str) -> int:
    """Ask a job to save and end, wait for its end, and show what it said meanwhile.

    Returns:
        0 if it has ended by itself, 1 if Ray had to kill it, 75 if it has not started, which Ray waits for, 130
        if Ctrl-C ended the waiting.

    Raises:
        SubmitError: The head does not know the job.
        HeadLostError: The head does not answer any more.
    """
    state = _state(head, job)
    if state.ended:
        _say(f"job {job} has ended already ({state.status.lower()})")
        return 0
    before = len(_log(head, job))
    head.request(f"/api/jobs/{job}/stop", method="POST")
    _say(f"job {job} was asked to save and stop; waiting for its end")
    try:
        asked = time.monotonic()
        while not (state := _state(head, job)).ended:
            if state.status == "PENDING" and time.monotonic() - asked > SILENT_S:
                _say(f"job {job} still waits for a node; Ray ends it as soon as it starts, not before")
                return TRY_AGAIN
            time.sleep(POLL_S / 2)
    except KeyboardInterrupt:
        _say(f"job {job} ends by itself; its last words: stride submit --address {head.address} --follow {job}")
        return 128 + signal.SIGINT
    said = _log(head, job)[before:]
    print(said, end="", flush=True)
    return _report_stop(job, state, said)


def _report_stop(job: str, state: JobState, said: str) -> int:
    if state.status == "SUCCEEDED":
        _say(f"job {job} reached its end before it could be stopped")
        return 0
    if not any(line.startswith("stopped") for line in said.splitlines()):
        _say(
            f"job {job} was killed before it had saved: Ray waits ${GRACE_VARIABLE} seconds. What its last "
            "checkpoint holds is kept; continue with the same command and --resume"
        )
        return RUN_FAILED
    _say(f"job {job} has stopped; continue with the same command and --resume")
    return 0


def _state(head: Head, job: str) -> JobState:
    try:
        return read_state(head.request(f"/api/jobs/{job}"))
    except SubmitError:
        raise SubmitError(f"the head at {head.address} knows no job {job}") from None


def _log(head: Head, job: str) -> str:
    with suppress(HeadLostError, SubmitError):  # a job that has not started has none
        return str(head.request(f"/api/jobs/{job}/logs").get("logs") or "")
    return ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
