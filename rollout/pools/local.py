"""The local pool: one worker in this process, where a debugger can step in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rollout.engines.base import Weights
from rollout.types import Batch, GroupRequest, Sampling
from rollout.worker import RolloutWorker


class LocalPool:
    """One worker in this process."""

    def __init__(self, worker: RolloutWorker) -> None:
        self._worker = worker

    def publish(self, weights: Weights, version: int) -> None:
        """See `RolloutPool.publish`."""
        self._worker.load_weights(weights, version)

    def rollout(
        self,
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None = None,
        *,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> list[Batch]:
        """See `RolloutPool.rollout`."""
        done = []
        for batch in batches:
            done.append(self._worker.rollout(batch, sampling))
            on_batch(done[-1])
        return done

    def sleep(self) -> bool:
        """See `RolloutPool.sleep`."""
        return self._worker.sleep()

    def close(self) -> None:
        """See `RolloutPool.close`."""
        self._worker.close()
