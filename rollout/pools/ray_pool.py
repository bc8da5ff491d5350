"""Rollout workers in Ray actors, supervised by this process.

Ray restarts and retries nothing. Each batch goes to the next free actor. An actor that dies or misses its
deadline is replaced: the new one loads the current weights, and the batch is assigned again. A batch is one
engine call with its own seeds, so tokens depend neither on the number of actors, nor on which actor samples a
batch, nor on which one dies.

Published weights are put into Ray's object store once; each actor reads them from there before it next samples.
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
import torch
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from rollout.engines.base import Weights
from rollout.pools.cluster import connect
from rollout.pools.ray_actor import RolloutActor, pack_weights
from rollout.pools.room import ActorSize, ResourceError
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
    """The call that an actor is working on."""

    BUILD = "start"
    PING = "answer a ping"
    LOAD = "load weights"
    SLEEP = "give its memory back"
    ROLLOUT = "return its batch"


@dataclass(kw_only=True)
class _Slot:
    """The slot of one actor; a replacement takes the same slot.

    Attributes:
        number: From 0.
        actor: Ray's handle.
        call: The current or last call.
        ref: The future result of the current call; None while the actor is idle.
        deadline_s: Seconds that the call may take.
        due: Time by which it must have answered, on the monotonic clock.
        batch: Number of the batch it works on; None if the result is not wanted.
        publication: Number of the weights it holds.
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
    """An actor is lost; says what happened."""


class _LateError(_LostError):
    """An actor missed its deadline."""


class RayPool:
    """Rollout workers in Ray actors.

    Attributes:
        restarts: Actors replaced so far.
        cluster: The cluster of the actors.
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
        """Check the resources and start the actors; returns while they are still starting.

        Args:
            spec: What each actor's worker is built from, except for its engine's device.
            num_actors: Number of actors.
            cpus_per_actor: Cores reserved for each. `spec.engine.threads` says how many threads it uses.
            gpus_per_actor: GPUs reserved for each. Above 0 it samples on the GPU, else on the CPU.
            deadline_s: Most seconds that a batch may take.
            max_restarts: Most replacements of actors.
            start_deadline_s: Most seconds that an actor may take to start.

        Raises:
            ResourceError: No cluster has enough resources for them.
        """
        self.restarts = 0
        self._rolling_out = threading.Lock()  # held by the thread that samples; another one may close
        self._closed = False
        self._size = ActorSize(cpus=cpus_per_actor, gpus=gpus_per_actor)
        self._deadline_s = deadline_s
        self._start_deadline_s = start_deadline_s
        self._max_restarts = max_restarts
        self._publication = 0
        self._published: tuple[Any, int] | None = None
        self._slots: list[_Slot] = []
        self._sleeps = spec.engine.sleeps
        self.cluster = connect(
            num_actors=num_actors, size=self._size, learner_on_gpu=spec.engine.device == "cuda"
        )
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
                self._slots.append(self._start(number))
        except BaseException:
            self.close()
            raise

    def publish(self, weights: Weights, version: int) -> None:
        """See `RolloutPool.publish`. The tensors are copied, so later changes to them have no effect."""
        self._published = ray.put(pack_weights(weights)), version
        self._publication += 1
        if self._sleeps and torch.cuda.is_available():
            torch.cuda.empty_cache()  # actors that wake up need what this process has freed

    def sleep(self) -> bool:
        """See `RolloutPool.sleep`. It returns when the memory is free; actors load their weights again.

        Raises:
            RolloutError, ResourceError: As `rollout`.
        """
        if self._sleeps:
            with self._rolling_out:
                self._put_to_sleep()
        return False

    def _put_to_sleep(self) -> None:
        awake = {slot.number for slot in self._slots}
        while awake or any(slot.ref is not None for slot in self._slots):
            for slot in self._slots:
                if slot.ref is None and slot.number in awake:
                    awake.remove(slot.number)
                    self._call(slot, _Call.SLEEP)
            for slot in self._answered_or_due():
                try:
                    self._take(slot, wanted=False)
                except _LostError as loss:
                    self._replace(slot, loss)
                    awake.add(slot.number)
            awake &= {slot.number for slot in self._slots}

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
                can be created.
            ResourceError: No actor could be started in time.
            Exception: Whatever a worker raised.
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
        # An actor may have died since the last call; no batch is to blame for that.
        for slot in self._slots:
            if slot.ref is None:
                self._call(slot, _Call.PING)
        try:
            while len(results) < len(batches):
                for slot in self._slots:
                    if slot.ref is None and todo:
                        self._give_work(slot, todo, batches, sampling)
                for slot in self._answered_or_due():
                    number, slot.batch = slot.batch, None
                    try:
                        batch = self._take(slot, wanted=number is not None)
                    except _LostError as loss:
                        if number is not None:
                            todo.appendleft(number)
                            failures[number] += 1
                            if failures[number] == MAX_FAILURES:
                                raise RolloutError(_blame(batches[number], loss)) from None
                        self._replace(slot, loss)
                    else:
                        if number is not None:
                            results[number] = batch
                            on_batch(batch)
        finally:
            for slot in self._slots:
                slot.batch = None
        return [results[number] for number in range(len(batches))]

    def pids(self) -> list[int]:
        """Process ids of the actors, by slot; waits until all have started."""
        while any(slot.pid is None for slot in self._slots):
            for slot in self._answered_or_due():
                try:
                    self._take(slot, wanted=False)
                except _LostError as loss:
                    self._replace(slot, loss)
        return [slot.pid for slot in self._slots if slot.pid is not None]

    def close(self) -> None:
        """See `RolloutPool.close`. In a cluster that was joined, only the pool's own actors end.

        A `rollout` in another thread ends with a `RolloutError` first.
        """
        self._closed = True
        self._kill_actors()
        with self._rolling_out:
            self._kill_actors()
            self._slots = []
            self._published = None
            self.cluster.close()

    def _kill_actors(self) -> None:
        if ray.is_initialized():
            for slot in list(self._slots):
                ray.kill(slot.actor)

    def _start(self, number: int) -> _Slot:
        slot = _Slot(number=number, actor=self._actor_class.remote())
        self._call(slot, _Call.BUILD, self._spec)
        return slot

    def _give_work(
        self,
        slot: _Slot,
        todo: deque[int],
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None,
    ) -> None:
        if slot.publication != self._publication:
            assert self._published is not None
            self._call(slot, _Call.LOAD, *self._published, self._publication)
        else:
            slot.batch = todo.popleft()
            self._call(slot, _Call.ROLLOUT, list(batches[slot.batch]), sampling, self._publication)

    def _call(self, slot: _Slot, call: _Call, *args: Any) -> None:
        method = {
            _Call.BUILD: slot.actor.build,
            _Call.PING: slot.actor.ping,
            _Call.LOAD: slot.actor.load,
            _Call.SLEEP: slot.actor.sleep,
            _Call.ROLLOUT: slot.actor.rollout,
        }[call]
        longest = {_Call.BUILD: self._start_deadline_s, _Call.PING: min(PING_DEADLINE_S, self._deadline_s)}
        slot.call, slot.ref = call, method.remote(*args)
        slot.deadline_s = longest.get(call, self._deadline_s)
        slot.due = time.monotonic() + slot.deadline_s

    def _answered_or_due(self) -> list[_Slot]:
        """Slots whose call has ended or is late; waits for the first."""
        busy = [slot for slot in self._slots if slot.ref is not None]
        assert busy
        wait_s = min(slot.due for slot in busy) - time.monotonic()
        done, _ = ray.wait([slot.ref for slot in busy], num_returns=1, timeout=max(0.0, wait_s))
        now = time.monotonic()
        return [slot for slot in busy if slot.ref in done or slot.due <= now]

    def _take(self, slot: _Slot, *, wanted: bool) -> Any:
        """Result of the slot's call.

        Raises:
            _LostError: The actor died or is late.
            Exception: What the worker raised, unless its batch is no longer wanted.
        """
        ref, slot.ref = slot.ref, None
        if not ray.wait([ref], timeout=0)[0]:
            raise _LateError(f"did not {slot.call} within {slot.deadline_s:g} s")
        try:
            value = ray.get(ref)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, RayError):
                raise _LostError(_one_line(cause)) from None
            if slot.call is not _Call.ROLLOUT or wanted:
                raise (cause if isinstance(cause, Exception) else error) from error
            return None
        except ActorDiedError as error:
            if error.actor_init_failed:
                reason = str(error).strip().splitlines()[-1]
                raise RolloutError(f"rollout actors cannot be created: {reason}") from error
            raise _LostError(_one_line(error)) from None
        except RayError as error:
            raise _LostError(_one_line(error)) from None
        if slot.call in (_Call.BUILD, _Call.PING):
            slot.pid = value
        if slot.call in (_Call.LOAD, _Call.SLEEP):
            slot.publication = value
        return value

    def _replace(self, slot: _Slot, loss: _LostError) -> None:
        """Start a new actor in the slot; drop the slot if no actor can be placed while others work."""
        if self._closed:
            raise RolloutError("the pool was closed while it was sampling")
        ray.kill(slot.actor)
        if slot.call is _Call.BUILD and isinstance(loss, _LateError):
            self._give_up(slot)
            return
        if self.restarts == self._max_restarts:
            raise RolloutError(
                f"{self.restarts + 1} rollout actors were lost, more than rollout.max_restarts "
                f"({self._max_restarts}); the last one {loss}"
            )
        self.restarts += 1
        _log.warning(
            "rollout actor %d (pid %s) %s; replaced (%d of at most %d)",
            slot.number,
            slot.pid,
            loss,
            self.restarts,
            self._max_restarts,
        )
        self._slots[self._slots.index(slot)] = self._start(slot.number)

    def _give_up(self, slot: _Slot) -> None:
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        message = (
            f"rollout actor {slot.number} did not start within {slot.deadline_s:g} s: it needs "
            f"{self._size.cpus:g} CPU and {self._size.gpus:g} GPU on one node, and Ray has "
            f"{free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU free in all"
        )
        self._slots.remove(slot)
        if all(other.pid is None for other in self._slots):
            raise ResourceError(f"{message}; wait for other work to end or lower rollout.num_actors")
        _log.warning("%s; going on with %d actors", message, len(self._slots))


def _one_line(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"died: {type(error).__name__}: {first[:300]}"


def _blame(requests: Sequence[GroupRequest], loss: _LostError) -> str:
    what = ", ".join(f"group {r.group_id} ({r.split.value}/{r.index})" for r in requests)
    return f"{MAX_FAILURES} rollout actors were lost with the same batch, {what}; the last one {loss}"
