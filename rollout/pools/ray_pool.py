"""The pool on Ray: batches of group orders in, the same batches rolled out by actors, in order.

This process is the supervisor; Ray restarts and retries nothing. Each batch goes to the next free actor. An
actor that dies or does not answer in time is replaced, the new one takes over the current weights, and the
batch is handed out again. As a batch is one engine call with seeds of its own, neither the number of actors nor
who takes what nor who dies changes a token.

A published set of weights is put into Ray's store once; each actor reads it from there before it next samples.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from rollout.engines.base import Weights
from rollout.pools.cluster import ActorSize, ResourceError, connect
from rollout.pools.ray_actor import RolloutActor, pack_weights
from rollout.threads import wait_policy
from rollout.types import Batch, GroupRequest, Sampling
from rollout.worker import WorkerSpec

MAX_FAILURES = 3
START_DEADLINE_S = 300.0
PING_DEADLINE_S = 60.0

_log = logging.getLogger(__name__)


class RolloutError(RuntimeError):
    """Actors keep failing, and going on would not help."""

    exit_code: ClassVar[int] = 1


class _Call(StrEnum):
    """What an actor has been asked for."""

    BUILD = "start"
    PING = "answer a ping"
    LOAD = "load weights"
    ROLLOUT = "return its batch"


@dataclass(kw_only=True)
class _Seat:
    """The place of one actor, whoever holds it at the time.

    Attributes:
        number: From 0.
        actor: Ray's handle.
        call: What it does, or did last.
        ref: Its call's result to be; None while idle.
        deadline_s: Seconds the call may take.
        due: When it must have come, on the monotonic clock.
        batch: Number of the batch it works on; None if the result is not wanted.
        publication: Which weights it holds.
        pid: Process id once it has started.
    """

    number: int
    actor: Any
    call: _Call = _Call.BUILD
    ref: Any = None
    deadline_s: float = 0.0
    due: float = 0.0
    batch: int | None = None
    publication: int = 0
    pid: int | None = None


class _LostError(Exception):
    """An actor is of no use any more; says what it did."""


class _LateError(_LostError):
    """It has not answered in time."""


class RayPool:
    """Rollout workers in Ray actors.

    Attributes:
        restarts: Actors replaced so far.
        cluster: Where the actors live.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        num_actors: int,
        cpus_per_actor: float,
        gpus_per_actor: float,
        deadline_s: float,
        max_restarts: int,
        start_deadline_s: float = START_DEADLINE_S,
    ) -> None:
        """Find room and start the actors; returns while they are still starting.

        Args:
            spec: What each actor's worker is made of, apart from its engine's device.
            num_actors: How many.
            cpus_per_actor: Cores set aside for each. How many threads one uses is `spec.engine.threads`.
            gpus_per_actor: GPUs set aside for each. Above 0 they sample on the GPU, else on the CPU.
            deadline_s: Longest a batch may take.
            max_restarts: Replacements before giving up.
            start_deadline_s: Longest an actor may take to start.

        Raises:
            ResourceError: There is no cluster with room for them.
        """
        self.restarts = 0
        self._rolling_out = threading.Lock()  # by a thread that may not be the one that closes
        self._closed = False
        self._size = ActorSize(cpus=cpus_per_actor, gpus=gpus_per_actor)
        self._deadline_s = deadline_s
        self._start_deadline_s = start_deadline_s
        self._max_restarts = max_restarts
        self._publication = 0
        self._published: tuple[Any, int] | None = None
        self._seats: list[_Seat] = []
        self.cluster = connect(num_actors=num_actors, size=self._size)
        try:
            self._actor_class = ray.remote(RolloutActor).options(
                num_cpus=cpus_per_actor,
                num_gpus=gpus_per_actor,
                max_restarts=0,
                max_task_retries=0,
                # Workers of a private cluster inherit it.
                runtime_env=None if self.cluster.private else {"env_vars": wait_policy()},
            )
            engine = replace(spec.engine, device="cuda" if gpus_per_actor > 0 else "cpu")
            self._spec = ray.put(replace(spec, engine=engine))
            for number in range(num_actors):
                self._seats.append(self._start(number))
        except BaseException:
            self.close()
            raise

    def publish(self, weights: Weights, version: int) -> None:
        """See `RolloutPool.publish`. The tensors are copied; changing them afterwards changes nothing."""
        self._published = ray.put(pack_weights(weights)), version
        self._publication += 1

    def rollout(
        self,
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None = None,
        *,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> list[Batch]:
        """See `RolloutPool.rollout`.

        Raises:
            RolloutError: More than `max_restarts` actors were lost, or three with the same batch, or no actor
                can be made at all.
            ResourceError: No actor could be started in time.
            Exception: What a worker raised, as it was.
        """
        with self._rolling_out:
            return self._rollout(batches, sampling, on_batch)

    def _rollout(
        self,
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None,
        on_batch: Callable[[Batch], None],
    ) -> list[Batch]:
        results: dict[int, Batch] = {}
        failures: Counter[int] = Counter()
        todo = deque(range(len(batches)))
        # An actor may have died since the last call, which is no batch's fault.
        for seat in self._seats:
            if seat.ref is None:
                self._call(seat, _Call.PING)
        try:
            while len(results) < len(batches):
                for seat in self._seats:
                    if seat.ref is None and todo:
                        self._give_work(seat, todo, batches, sampling)
                for seat in self._answered_or_due():
                    number, seat.batch = seat.batch, None
                    try:
                        batch = self._take(seat, wanted=number is not None)
                    except _LostError as loss:
                        if number is not None:
                            todo.appendleft(number)
                            failures[number] += 1
                            if failures[number] == MAX_FAILURES:
                                raise RolloutError(_blame(batches[number], loss)) from None
                        self._replace(seat, loss)
                    else:
                        if number is not None:
                            results[number] = batch
                            on_batch(batch)
        finally:
            for seat in self._seats:
                seat.batch = None
        return [results[number] for number in range(len(batches))]

    def pids(self) -> list[int]:
        """Process ids of the actors, by seat; waits until all have started."""
        while any(seat.pid is None for seat in self._seats):
            for seat in self._answered_or_due():
                try:
                    self._take(seat, wanted=False)
                except _LostError as loss:
                    self._replace(seat, loss)
        return [seat.pid for seat in self._seats if seat.pid is not None]

    def close(self) -> None:
        """See `RolloutPool.close`. Of a cluster that was joined, only the pool's own actors end.

        A `rollout` in another thread ends with a `RolloutError` first.
        """
        self._closed = True
        self._kill_actors()
        with self._rolling_out:
            self._kill_actors()
            self._seats = []
            self._published = None
            self.cluster.close()

    def _kill_actors(self) -> None:
        if ray.is_initialized():
            for seat in list(self._seats):
                ray.kill(seat.actor)

    def _start(self, number: int) -> _Seat:
        seat = _Seat(number=number, actor=self._actor_class.remote())
        self._call(seat, _Call.BUILD, self._spec)
        return seat

    def _give_work(
        self,
        seat: _Seat,
        todo: deque[int],
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None,
    ) -> None:
        if seat.publication != self._publication:
            assert self._published is not None
            self._call(seat, _Call.LOAD, *self._published, self._publication)
        else:
            seat.batch = todo.popleft()
            self._call(seat, _Call.ROLLOUT, list(batches[seat.batch]), sampling, self._publication)

    def _call(self, seat: _Seat, call: _Call, *args: Any) -> None:
        method = {
            _Call.BUILD: seat.actor.build,
            _Call.PING: seat.actor.ping,
            _Call.LOAD: seat.actor.load,
            _Call.ROLLOUT: seat.actor.rollout,
        }[call]
        longest = {_Call.BUILD: self._start_deadline_s, _Call.PING: min(PING_DEADLINE_S, self._deadline_s)}
        seat.call, seat.ref = call, method.remote(*args)
        seat.deadline_s = longest.get(call, self._deadline_s)
        seat.due = time.monotonic() + seat.deadline_s

    def _answered_or_due(self) -> list[_Seat]:
        """Seats whose call has ended or should have; waits for the first."""
        busy = [seat for seat in self._seats if seat.ref is not None]
        assert busy
        wait_s = min(seat.due for seat in busy) - time.monotonic()
        done, _ = ray.wait([seat.ref for seat in busy], num_returns=1, timeout=max(0.0, wait_s))
        now = time.monotonic()
        return [seat for seat in busy if seat.ref in done or seat.due <= now]

    def _take(self, seat: _Seat, *, wanted: bool) -> Any:
        """What the seat's call gave.

        Raises:
            _LostError: The actor died or is late.
            Exception: What the worker raised; of a batch no longer wanted, that is left out.
        """
        ref, seat.ref = seat.ref, None
        if not ray.wait([ref], timeout=0)[0]:
            raise _LateError(f"did not {seat.call} within {seat.deadline_s:g} s")
        try:
            value = ray.get(ref)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, RayError):
                raise _LostError(_one_line(cause)) from None
            if seat.call is not _Call.ROLLOUT or wanted:
                raise (cause if isinstance(cause, Exception) else error) from error
            return None
        except ActorDiedError as error:
            if error.actor_init_failed:
                reason = str(error).strip().splitlines()[-1]
                raise RolloutError(f"rollout actors cannot be created: {reason}") from error
            raise _LostError(_one_line(error)) from None
        except RayError as error:
            raise _LostError(_one_line(error)) from None
        if seat.call in (_Call.BUILD, _Call.PING):
            seat.pid = value
        if seat.call is _Call.LOAD:
            seat.publication = value
        return value

    def _replace(self, seat: _Seat, loss: _LostError) -> None:
        """Put a new actor in the seat; give the seat up where none can be placed while others are at work."""
        if self._closed:
            raise RolloutError("the pool was closed while it was sampling")
        ray.kill(seat.actor)
        if seat.call is _Call.BUILD and isinstance(loss, _LateError):
            self._give_up(seat)
            return
        if self.restarts == self._max_restarts:
            raise RolloutError(
                f"{self.restarts + 1} rollout actors were lost, more than rollout.max_restarts "
                f"({self._max_restarts}); the last one {loss}"
            )
        self.restarts += 1
        _log.warning(
            "rollout actor %d (pid %s) %s; replaced (%d of at most %d)",
            seat.number,
            seat.pid,
            loss,
            self.restarts,
            self._max_restarts,
        )
        self._seats[self._seats.index(seat)] = self._start(seat.number)

    def _give_up(self, seat: _Seat) -> None:
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        message = (
            f"rollout actor {seat.number} did not start within {seat.deadline_s:g} s: it needs "
            f"{self._size.cpus:g} CPU and {self._size.gpus:g} GPU on one node, and Ray has "
            f"{free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU free in all"
        )
        self._seats.remove(seat)
        if all(other.pid is None for other in self._seats):
            raise ResourceError(f"{message}; wait for other work to end or lower rollout.num_actors")
        _log.warning("%s; going on with %d actors", message, len(self._seats))


def _one_line(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"died: {type(error).__name__}: {first[:300]}"


def _blame(requests: Sequence[GroupRequest], loss: _LostError) -> str:
    what = ", ".join(f"group {r.group_id} ({r.split.value}/{r.index})" for r in requests)
    return f"{MAX_FAILURES} rollout actors were lost with the same batch, {what}; the last one {loss}"
