"""The rollout batches of a run, in order: sampled on demand, or ahead while the learner works.

::

    weights of update n --publish, sample--> rollout batch n                         max_staleness 0, on-policy
                        '------------------> rollout batch n + 1, during update n    max_staleness 1, off-policy

The weights that sample a rollout batch follow from its number alone, not from timing: those that the learner
had `max_staleness` batches before, or at first the initial ones. A run that samples ahead is therefore as
repeatable as one that does not. To go on from any batch it needs the weights of the batches sampled ahead.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from rollout.engines.base import Weights
from rollout.pools.base import RolloutPool
from rollout.source import GroupSource, RolloutBatch

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A rollout batch and what it cost.

    Attributes:
        rollouts: The groups.
        state: State of the source after it, for a checkpoint.
        publish_s: Seconds to publish the weights; 0 where they had been published before.
        rollout_s: Seconds from then to the last group, whether or not the learner waited.
    """

    rollouts: RolloutBatch
    state: dict[str, Any]
    publish_s: float
    rollout_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AheadBatch:
    """What a later rollout batch is sampled with.

    Attributes:
        version: Version of the weights.
        weights: A copy of them in host memory.
    """

    version: int
    weights: Weights


@dataclass(kw_only=True, slots=True)
class _Pending:
    """A later rollout batch; no future yet: nothing is sampled past the end, which may still be moved."""

    batch: AheadBatch
    future: Future[Delivery] | None = None


class RolloutStream:
    """Publishes weights and samples rollout batches, in order, one at a time."""

    def __init__(self, source: GroupSource, pool: RolloutPool, *, num_groups: int, max_staleness: int) -> None:
        """Set up; nothing is sampled yet.

        Args:
            source: Samples the batches. Nobody else may use it while some are pending.
            pool: The source's pool; likewise.
            num_groups: P, the useful groups wanted per rollout batch.
            max_staleness: Rollout batches sampled ahead: the most updates that the sampling weights are behind
                the learner's.
        """
        self._source = source
        self._pool = pool
        self._num_groups = num_groups
        self._max_staleness = max_staleness
        self._published: int | None = None
        self._pending: deque[_Pending] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollout") if max_staleness else None

    @property
    def ahead(self) -> tuple[AheadBatch, ...]:
        """What the next rollout batches are sampled with, as far as that is settled; for a checkpoint."""
        return tuple(pending.batch for pending in self._pending)

    def restore(self, ahead: Sequence[AheadBatch]) -> None:
        """Continue where `ahead` was read, with a source that was restored to the same point."""
        if self._thread is not None:
            self._pending = deque(_Pending(batch=batch) for batch in ahead)

    def next(self, weights: Weights, version: int, *, left: int) -> Delivery:
        """The next rollout batch; sampling of further ones continues after the return.

        Args:
            weights: The learner's current weights.
            version: Their version.
            left: Rollout batches wanted from here on, this one included; no more are sampled.

        Raises:
            Exception: Whatever publishing or sampling raised.
        """
        if self._thread is None:
            return self._fetch(weights, version)
        missing = self._max_staleness + 1 - len(self._pending)
        if missing > 0:
            # The learner changes its own; in host memory, where actors get them from.
            copied = {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}
            batch = AheadBatch(version=version, weights=copied)
            self._pending.extend(_Pending(batch=batch) for _ in range(missing))
        for pending in islice(self._pending, left):
            if pending.future is None:
                batch = pending.batch
                pending.future = self._thread.submit(self._fetch, batch.weights, batch.version)
        due = self._pending.popleft().future
        assert due is not None
        return due.result()

    def between(self, weights: Weights, version: int, work: Callable[[], T]) -> T:
        """Do something else with the pool, once it holds these weights and samples nothing.

        Batches that are being sampled ahead come first and keep their weights; those after it get theirs again.

        Args:
            weights: The learner's current weights.
            version: Their version.
            work: Uses the pool and publishes nothing.

        Raises:
            Exception: Whatever publishing or `work` raised.
        """
        if self._thread is None:
            return self._with(weights, version, work)
        return self._thread.submit(self._with, weights, version, work).result()

    def close(self) -> None:
        """Sample no further batches. One that is being sampled ends with the pool."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _with(self, weights: Weights, version: int, work: Callable[[], T]) -> T:
        self._publish(weights, version)
        done = work()
        self._rest()
        return done

    def _rest(self) -> None:
        """Leave memory to the learner, unless sampling continues meanwhile."""
        if self._thread is None and self._pool.sleep():
            self._published = None

    def _publish(self, weights: Weights, version: int) -> None:
        if self._published != version:
            self._pool.publish(weights, version)
            self._published = version

    def _fetch(self, weights: Weights, version: int) -> Delivery:
        started = time.perf_counter()
        self._publish(weights, version)
        published = time.perf_counter()
        rollouts = self._source.next_update(self._num_groups)
        sampled = time.perf_counter()
        self._rest()
        return Delivery(
            rollouts=rollouts,
            state=self._source.state(),
            publish_s=published - started,
            rollout_s=sampled - published,
        )
