"""The rollout batches of a run, in order: sampled when asked for, or ahead while the learner is at work.

::

    weights of update n --publish, sample--> rollout batch n                          ahead = 0, on-policy
                        '------------------> rollout batch n + 1, while n is learnt   ahead = 1

Which weights a rollout batch is sampled with follows from its number alone, so a run sampled ahead is repeated
exactly by another with the same settings.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rollout.engines.base import Weights
from rollout.pools.base import RolloutPool
from rollout.source import GroupSource, RolloutBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A rollout batch and what it took.

    Attributes:
        rollouts: The groups.
        state: The source's, after it.
        publish_s: Seconds to publish the weights; 0 where they were published before.
        rollout_s: Seconds from there to the last group, whether or not anyone waited for it.
    """

    rollouts: RolloutBatch
    state: dict[str, Any]
    publish_s: float
    rollout_s: float


class RolloutStream:
    """Publishes weights and fetches rollout batches, in order, one at a time."""

    def __init__(self, source: GroupSource, pool: RolloutPool, *, num_groups: int, ahead: int) -> None:
        """Set up; nothing is sampled yet.

        Args:
            source: Nobody else may ask it while rollout batches are pending.
            pool: Likewise.
            num_groups: P, the useful groups wanted in a rollout batch.
            ahead: Rollout batches sampled before they are asked for, at most.
        """
        self._source = source
        self._pool = pool
        self._num_groups = num_groups
        self._ahead = ahead
        self._published: int | None = None
        self._pending: deque[Future[Delivery]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollout") if ahead else None

    def next(self, weights: Weights, version: int, *, left: int) -> Delivery:
        """The next rollout batch; further ones go on being sampled after the return.

        Args:
            weights: The learner's, as they are now.
            version: Theirs.
            left: Rollout batches wanted from here on, this one included, before everything must be at rest:
                after them nothing is pending, and the next one is on-policy.

        Raises:
            Exception: What publishing or sampling raised.
        """
        if self._thread is None:
            return self._fetch(weights, version)
        missing = min(self._ahead + 1, left) - len(self._pending)
        if missing > 0:
            snapshot = {name: tensor.clone() for name, tensor in weights.items()}  # the learner goes on
            self._pending.extend(self._thread.submit(self._fetch, snapshot, version) for _ in range(missing))
        return self._pending.popleft().result()

    def close(self) -> None:
        """Sample nothing further. A rollout batch that is being sampled ends with the pool."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, weights: Weights, version: int) -> Delivery:
        started = time.perf_counter()
        if self._published != version:
            self._pool.publish(weights, version)
            self._published = version
        published = time.perf_counter()
        rollouts = self._source.next_update(self._num_groups)
        return Delivery(
            rollouts=rollouts,
            state=self._source.state(),
            publish_s=published - started,
            rollout_s=time.perf_counter() - published,
        )
