"""Rollout workers in Ray actors, supervised by this process.

Ray restarts and retries nothing. Each batch goes to the next free actor. An actor that dies or misses its
deadline is replaced: the new one loads the current weights, and the batch is assigned again. A batch is one
engine call with its own seeds, so tokens depend neither on the number of actors, nor on which actor samples a
batch, nor on which one dies. While Ray has no room for an actor, its slot is vacant: the others work, and a
node that joins later fills it.

Published weights are put into Ray's object store once; each actor reads them from there before it next samples.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ray
import torch
from ray._private import state
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from rollout.engines.base import Weights
from rollout.out_of_memory import is_out_of_memory
from rollout.pools.cluster import connect
from rollout.pools.losses import LateError, LostError, RestartLimit, RolloutError, died, out_of_memory
from rollout.pools.ray_actor import RolloutActor, pack_weights
from rollout.pools.room import ActorSize, TryAgainError
from rollout.pools.slots import Call, Slot
from rollout.threads import wait_policy
from rollout.types import Batch, GroupRequest, Sampling
from rollout.worker import WorkerSpec

MAX_FAILURES = 3
PING_DEADLINE_S = 60.0
_CHECK_S = 5.0

_log = logging.getLogger(__name__)


class RayPool:
    """Rollout workers in Ray actors.

    Attributes:
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
        restart_window_s: float = 3600.0,
        start_deadline_s: float = 600.0,
    ) -> None:
        """Check the resources and start the actors; returns while they are still starting.

        Args:
            spec: What each actor's worker is built from, except for its engine's device.
            num_actors: Number of actors.
            cpus_per_actor: Cores reserved for each. `spec.engine.threads` says how many threads it uses.
            gpus_per_actor: GPUs reserved for each. Above 0 it samples on the GPU, else on the CPU.
            deadline_s: Most seconds that a batch may take.
            max_restarts: Most replacements of actors within `restart_window_s`.
            restart_window_s: Seconds, see `max_restarts`.
            start_deadline_s: Most seconds until Ray has placed an actor, and again until it has loaded its
                model.

        Raises:
            ResourceError: No cluster has enough resources for them.
        """
        self._restarts = RestartLimit(max_restarts, restart_window_s)
        self._rolling_out = threading.Lock()  # held by the thread that samples; another one may close
        self._closed = False
        self._size = ActorSize(cpus=cpus_per_actor, gpus=gpus_per_actor)
        self._deadline_s = deadline_s
        self._start_deadline_s = start_deadline_s
        self._publication = 0
        self._published: tuple[Any, int] | None = None
        self._slots: list[Slot] = []
        self._sleeps = spec.engine.sleeps
        self._incomplete = False
        self._was_ready = False
        self.cluster = connect(
            num_actors=num_actors, size=self._size, learner_on_gpu=spec.engine.device == "cuda"
        )
        try:
            self._actor_class = ray.remote(RolloutActor).options(
                num_cpus=cpus_per_actor,
                num_gpus=gpus_per_actor,
                max_restarts=0,
                max_task_retries=0,
                # A node takes few actors with it. Inside a placement group its bundles decide.
                scheduling_strategy="SPREAD" if ray.util.get_current_placement_group() is None else None,
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

    @property
    def restarts(self) -> int:
        """Actors replaced so far."""
        return self._restarts.total

    def publish(self, weights: Weights, version: int) -> None:
        """See `RolloutPool.publish`. The tensors are copied, so later changes to them have no effect.

        Raises:
            TryAgainError: The cluster is lost.
        """
        self.cluster.check()
        self._published = ray.put(pack_weights(weights)), version
        self._publication += 1
        if self._sleeps and torch.cuda.is_available():
            torch.cuda.empty_cache()  # actors that wake up need what this process has freed

    def sleep(self) -> bool:
        """See `RolloutPool.sleep`. It returns when the memory is free; actors load their weights again.

        Raises:
            RolloutError, TryAgainError: As `rollout`.
        """
        if self._sleeps:
            with self._rolling_out:
                self._put_to_sleep()
        return False

    def _put_to_sleep(self) -> None:
        awake = {slot.number for slot in self._slots if not slot.vacant}
        while awake or any(slot.ref is not None for slot in self._slots if not slot.vacant):
            for slot in self._slots:
                if slot.ref is None and slot.number in awake:
                    awake.remove(slot.number)
                    self._call(slot, Call.SLEEP)
            for slot in self._answered_or_due():
                try:
                    self._take(slot, wanted=False)
                except LostError as loss:
                    self._replace(slot, loss)
                    awake.add(slot.number)
            awake -= {slot.number for slot in self._slots if slot.vacant}

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
            TryAgainError: No actor could be placed in time, or the cluster is lost.
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
                self._call(slot, Call.PING)
        try:
            while len(results) < len(batches):
                for slot in self._slots:
                    if slot.ref is None and todo:
                        self._give_work(slot, todo, batches, sampling)
                for slot in self._answered_or_due():
                    number, slot.batch = slot.batch, None
                    try:
                        batch = self._take(slot, wanted=number is not None)
                    except LostError as loss:
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
        """Process ids of the actors, by slot; waits until all have loaded their models."""
        while not all(slot.ready for slot in self._slots):
            for slot in self._answered_or_due():
                try:
                    self._take(slot, wanted=False)
                except LostError as loss:
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

    def _start(self, number: int) -> Slot:
        slot = Slot(number=number, actor=self._actor_class.remote())
        slot.begin(Call.BUILD, slot.actor.build.remote(self._spec), self._start_deadline_s)
        return slot

    def _give_work(
        self,
        slot: Slot,
        todo: deque[int],
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None,
    ) -> None:
        if slot.publication != self._publication:
            assert self._published is not None
            self._call(slot, Call.LOAD, *self._published, self._publication)
        else:
            slot.batch = todo.popleft()
            self._call(slot, Call.ROLLOUT, list(batches[slot.batch]), sampling, self._publication)

    def _call(self, slot: Slot, call: Call, *args: Any) -> None:
        method = {
            Call.PING: slot.actor.ping,
            Call.LOAD: slot.actor.load,
            Call.SLEEP: slot.actor.sleep,
            Call.ROLLOUT: slot.actor.rollout,
        }[call]
        limit_s = min(PING_DEADLINE_S, self._deadline_s) if call is Call.PING else self._deadline_s
        slot.begin(call, method.remote(*args), limit_s)

    def _answered_or_due(self) -> list[Slot]:
        """Slots whose call has ended or is late; waits for the first.

        Raises:
            TryAgainError: The cluster is lost.
        """
        busy = [slot for slot in self._slots if slot.ref is not None]
        assert busy
        while True:
            wait_s = min(slot.due for slot in busy) - time.monotonic()
            done, _ = ray.wait(
                [slot.ref for slot in busy], num_returns=1, timeout=max(0.0, min(wait_s, _CHECK_S))
            )
            ended = [slot for slot in busy if slot.ref in done or slot.late]
            if ended:
                return ended
            self.cluster.check()

    def _take(self, slot: Slot, *, wanted: bool) -> Any:
        """Result of the slot's call.

        Raises:
            LostError: The actor died or is late.
            Exception: What the worker raised, unless its batch is no longer wanted.
        """
        ref, slot.ref = slot.ref, None
        if not ray.wait([ref], timeout=0)[0]:
            if slot.call is Call.BUILD and slot.pid is None and (pid := _placed(slot)):
                slot.pid, slot.vacant = pid, False
                slot.begin(Call.BUILD, ref, self._start_deadline_s)
                return None
            raise LateError(f"did not {slot.call} within {slot.deadline_s:g} s")
        try:
            value = ray.get(ref)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, RayError):
                raise died(cause) from None
            if is_out_of_memory(cause):
                raise out_of_memory(cause) from None
            if slot.call is not Call.ROLLOUT or wanted:
                raise (cause if isinstance(cause, Exception) else error) from error
            return None
        except ActorDiedError as error:
            if error.actor_init_failed:
                reason = str(error).strip().splitlines()[-1]
                raise RolloutError(f"rollout actors cannot be created: {reason}") from error
            raise died(error) from None
        except RayError as error:
            raise died(error) from None
        if slot.call in (Call.BUILD, Call.PING):
            slot.pid = value
        if slot.call in (Call.LOAD, Call.SLEEP):
            slot.publication = value
        if slot.call is Call.BUILD:
            slot.ready, slot.vacant, self._was_ready = True, False, True
            self._say_if_complete()
        return value

    def _say_if_complete(self) -> None:
        """Say it when all actors are there after some were not."""
        if self._incomplete and all(slot.ready for slot in self._slots):
            self._incomplete = False
            _log.warning("all %d rollout actors are there again", len(self._slots))

    def _replace(self, slot: Slot, loss: LostError) -> None:
        """Start a new actor in the slot."""
        if self._closed:
            raise RolloutError("the pool was closed while it was sampling")
        self.cluster.check()
        ray.kill(slot.actor)
        slow_start = slot.call is Call.BUILD and isinstance(loss, LateError)
        vacant = slow_start and slot.pid is None
        if vacant:
            self._leave_vacant(slot)
        else:
            if slow_start and not self._was_ready:
                raise RolloutError(
                    f"rollout actor {slot.number} (pid {slot.pid}) {loss}, nor did another one; if it needs "
                    "longer, raise rollout.start_deadline_s"
                )
            count = self._restarts.count(loss)
            _log.warning("rollout actor %d (pid %s) %s; replaced (%s)", slot.number, slot.pid, loss, count)
        self._incomplete = True
        again = self._start(slot.number)
        again.vacant = vacant
        self._slots[self._slots.index(slot)] = again

    def _leave_vacant(self, slot: Slot) -> None:
        """Ray has no room for the slot's actor now.

        Raises:
            TryAgainError: Nor for any other.
        """
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        message = (
            f"Ray has not placed rollout actor {slot.number} within rollout.start_deadline_s "
            f"({self._start_deadline_s:g} s): it needs {self._size.cpus:g} CPU and {self._size.gpus:g} GPU on "
            f"one node, and Ray has {free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU free in all"
        )
        others = [other for other in self._slots if other is not slot]
        if all((other.vacant or other.late) and not _placed(other) for other in others):
            raise TryAgainError(f"{message}; wait for other work to end, or add nodes")
        if not slot.vacant:
            there = sum(_placed(other) > 0 for other in others)
            _log.warning("%s; going on with %d of %d actors until it has", message, there, len(self._slots))


def _placed(slot: Slot) -> int:
    """Process id of the slot's actor; 0: Ray has not found room for it."""
    table: dict[str, Any] = state.actors(slot.actor._actor_id.hex())
    return int(table.get("Pid", 0))


def _blame(requests: Sequence[GroupRequest], loss: LostError) -> str:
    what = ", ".join(f"group {r.group_id} ({r.split.value}/{r.index})" for r in requests)
    return (
        f"{MAX_FAILURES} rollout actors were lost with the same batch, {what}; the last one {loss.at_the_end()}"
    )
