"""The pool: batches of group orders in, the same batches rolled out, in order.

Two back ends behind one interface: `LocalPool` runs them here, where a debugger can step in; `RayPool`
(`ray_pool.py`) spreads them over actors. A batch is one engine call whoever takes it, so both give the same
groups, token for token, given the same number of threads per engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rollout.engines.base import Weights
from rollout.types import Batch, GroupRequest, Sampling
from rollout.worker import WorkerSpec


class RolloutPool(Protocol):
    """What the learner and the evaluation see of the sampling side."""

    def publish(self, weights: Weights, version: int) -> None:
        """Make `weights` the ones all later batches are sampled with."""
        ...

    def rollout(
        self, batches: Sequence[Sequence[GroupRequest]], sampling: Sampling | None = None
    ) -> list[Batch]:
        """Roll every batch out; results in the order asked for."""
        ...

    def close(self) -> None:
        """Free workers and whatever was started for them. Closing twice is fine."""
        ...


class LocalPool:
    """One worker in this process."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._worker = spec.build()

    def publish(self, weights: Weights, version: int) -> None:
        """See `RolloutPool.publish`."""
        self._worker.load_weights(weights, version)

    def rollout(
        self, batches: Sequence[Sequence[GroupRequest]], sampling: Sampling | None = None
    ) -> list[Batch]:
        """See `RolloutPool.rollout`."""
        return [self._worker.rollout(batch, sampling) for batch in batches]

    def close(self) -> None:
        """See `RolloutPool.close`."""
        self._worker.close()
