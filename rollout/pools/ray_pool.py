"""Rollout workers in Ray actors, supervised by this process.

Each batch goes to the next free actor. An actor that dies or misses its deadline is replaced: the new one loads
the current weights, and the batch is assigned again. A batch is one engine call with its own seeds, so tokens
depend neither on the number of actors, nor on which actor samples a batch, nor on which one dies.

Published weights are put into Ray's object store once; each actor reads them from there before it next samples.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ray
import torch

from rollout.engines.base import Weights
from rollout.pools.actors import Actors
from rollout.pools.cluster import connect
from rollout.pools.losses import LostError, RestartLimit, RolloutError
from rollout.pools.ray_actor import pack_weights
from rollout.pools.room import ActorSize
from rollout.pools.slots import Call, Slot
from rollout.threads import wait_policy
from rollout.types import Batch, GroupRequest, Sampling
from rollout.worker import WorkerSpec

MAX_FAILURES = 3


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
        self._rolling_out = threading.Lock()  # held by the thread that samples; another one may close
        self._publication = 0
        self._published: tuple[Any, int] | None = None
        self._sleeps = spec.engine.sleeps
        size = ActorSize(cpus=cpus_per_actor, gpus=gpus_per_actor)
        self.cluster = connect(num_actors=num_actors, size=size, learner_on_gpu=spec.engine.device == "cuda")
        engine = replace(spec.engine, device="cuda" if gpus_per_actor > 0 else "cpu")
        try:
            self._actors = Actors(
                replace(spec, engine=engine),
                num_actors,
                cluster=self.cluster,
                size=size,
                deadline_s=deadline_s,
                start_deadline_s=start_deadline_s,
                restarts=RestartLimit(max_restarts, restart_window_s),
                environment=wait_policy(),
            )
        except BaseException:
            self.cluster.close()
            raise

    @property
    def restarts(self) -> int:
        """Actors replaced so far."""
        return self._actors.restarts.total

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
        awake = {slot.number for slot in self._actors if not slot.vacant}
        while awake or any(slot.ref is not None for slot in self._actors if not slot.vacant):
            for slot in self._actors:
                if slot.ref is None and slot.number in awake:
                    awake.remove(slot.number)
                    self._actors.call(slot, Call.SLEEP)
            for slot in self._actors.answered_or_due():
                try:
                    self._actors.take(slot, wanted=False)
                except LostError as loss:
                    self._actors.replace(slot, loss)
                    awake.add(slot.number)
            awake -= {slot.number for slot in self._actors if slot.vacant}

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
        for slot in self._actors:
            if slot.ref is None:
                self._actors.call(slot, Call.PING)
        try:
            while len(results) < len(batches):
                for slot in self._actors:
                    if slot.ref is None and todo:
                        self._give_work(slot, todo, batches, sampling)
                for slot in self._actors.answered_or_due():
                    number, slot.batch = slot.batch, None
                    try:
                        batch = self._actors.take(slot, wanted=number is not None)
                    except LostError as loss:
                        if number is not None:
                            todo.appendleft(number)
                            failures[number] += 1
                            if failures[number] == MAX_FAILURES:
                                raise RolloutError(_blame(batches[number], loss)) from None
                        self._actors.replace(slot, loss)
                    else:
                        if number is not None:
                            results[number] = batch
                            on_batch(batch)
        finally:
            for slot in self._actors:
                slot.batch = None
        return [results[number] for number in range(len(batches))]

    def pids(self) -> list[int]:
        """Process ids of the actors, by slot; waits until all have loaded their models."""
        while not all(slot.ready for slot in self._actors):
            for slot in self._actors.answered_or_due():
                try:
                    self._actors.take(slot, wanted=False)
                except LostError as loss:
                    self._actors.replace(slot, loss)
        return [slot.pid for slot in self._actors if slot.pid is not None]

    def close(self) -> None:
        """See `RolloutPool.close`. In a cluster that was joined, only the pool's own actors end.

        A `rollout` in another thread ends with a `RolloutError` first.
        """
        self._actors.kill()
        with self._rolling_out:
            self._actors.close()
            self._published = None
            self.cluster.close()

    def _give_work(
        self,
        slot: Slot,
        todo: deque[int],
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None,
    ) -> None:
        if slot.publication != self._publication:
            assert self._published is not None
            self._actors.call(slot, Call.LOAD, *self._published, self._publication)
        else:
            slot.batch = todo.popleft()
            self._actors.call(slot, Call.ROLLOUT, list(batches[slot.batch]), sampling, self._publication)


def _blame(requests: Sequence[GroupRequest], loss: LostError) -> str:
    what = ", ".join(f"group {r.group_id} ({r.split.value}/{r.index})" for r in requests)
    return (
        f"{MAX_FAILURES} rollout actors were lost with the same batch, {what}; the last one {loss.at_the_end()}"
    )
