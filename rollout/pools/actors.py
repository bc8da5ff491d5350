"""The actors of a pool, each in a slot: started, called, waited for, and replaced where one is lost.

Ray restarts and retries nothing. While it has no room for an actor, its slot is vacant: the others work, and a
node that joins later fills it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray._private import state
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from rollout.out_of_memory import is_out_of_memory
from rollout.pools.cluster import Cluster
from rollout.pools.losses import LateError, LostError, RestartLimit, RolloutError, died, out_of_memory
from rollout.pools.ray_actor import RolloutActor
from rollout.pools.room import ActorSize, TryAgainError
from rollout.pools.slots import Call, Slot
from rollout.worker import WorkerSpec

PING_DEADLINE_S = 60.0
_CHECK_S = 5.0

_log = logging.getLogger(__name__)


class Actors:
    """So many actors of one size; iterating gives their slots.

    Attributes:
        restarts: Counts the actors that were replaced.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        num: int,
        *,
        cluster: Cluster,
        size: ActorSize,
        deadline_s: float,
        start_deadline_s: float,
        restarts: RestartLimit,
        environment: Mapping[str, str],
    ) -> None:
        """Start them; returns while they are still starting.

        Args:
            spec: What each actor's worker is built from.
            num: Number of actors.
            cluster: Where they run.
            size: What Ray reserves for each.
            deadline_s: Most seconds that a call may take.
            start_deadline_s: Most seconds until Ray has placed an actor, and again until it has loaded its
                model.
            restarts: Says when too many were lost.
            environment: Environment variables of their processes; those of a private cluster inherit this
                one's.
        """
        self.restarts = restarts
        self._cluster = cluster
        self._size = size
        self._deadline_s = deadline_s
        self._start_deadline_s = start_deadline_s
        self._closed = False
        self._incomplete = False
        self._was_ready = False
        self._slots: list[Slot] = []
        self._class = ray.remote(RolloutActor).options(
            num_cpus=size.cpus,
            num_gpus=size.gpus,
            max_restarts=0,
            max_task_retries=0,
            # A node takes few actors with it. Inside a placement group its bundles decide.
            scheduling_strategy="SPREAD" if ray.util.get_current_placement_group() is None else None,
            runtime_env=None if cluster.private else {"env_vars": dict(environment)},
        )
        self._spec = ray.put(spec)
        try:
            for number in range(num):
                self._slots.append(self._start(number))
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots))

    def call(self, slot: Slot, call: Call, *args: Any) -> None:
        """Give an idle actor a call."""
        method = {
            Call.PING: slot.actor.ping,
            Call.LOAD: slot.actor.load,
            Call.SLEEP: slot.actor.sleep,
            Call.ROLLOUT: slot.actor.rollout,
        }[call]
        limit_s = min(PING_DEADLINE_S, self._deadline_s) if call is Call.PING else self._deadline_s
        slot.begin(call, method.remote(*args), limit_s)

    def answered_or_due(self) -> list[Slot]:
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
            self._cluster.check()

    def take(self, slot: Slot, *, wanted: bool) -> Any:
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

    def replace(self, slot: Slot, loss: LostError) -> None:
        """Start a new actor in the slot.

        Raises:
            RolloutError: Too many were lost, or the actors were ended meanwhile.
            TryAgainError: The cluster is lost, or has no room for any actor.
        """
        if self._closed:
            raise RolloutError("the pool was closed while it was sampling")
        self._cluster.check()
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
            count = self.restarts.count(loss)
            _log.warning("rollout actor %d (pid %s) %s; replaced (%s)", slot.number, slot.pid, loss, count)
        self._incomplete = True
        again = self._start(slot.number)
        again.vacant = vacant
        self._slots[self._slots.index(slot)] = again

    def kill(self) -> None:
        """End them all, so that another thread that waits for one goes on: none is replaced any more."""
        self._closed = True
        if ray.is_initialized():
            for slot in self:
                ray.kill(slot.actor)

    def close(self) -> None:
        """End them all, where no other thread waits for one; closing twice is fine."""
        self.kill()
        self._slots = []

    def _start(self, number: int) -> Slot:
        slot = Slot(number=number, actor=self._class.remote())
        slot.begin(Call.BUILD, slot.actor.build.remote(self._spec), self._start_deadline_s)
        return slot

    def _say_if_complete(self) -> None:
        """Say it when all actors are there after some were not."""
        if self._incomplete and all(slot.ready for slot in self._slots):
            self._incomplete = False
            _log.warning("all %d rollout actors are there again", len(self._slots))

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
