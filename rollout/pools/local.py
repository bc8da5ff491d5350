"""The local pool: one worker in this process, where a debugger can step in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rollout.engines.base import Weights
from rollout.out_of_memory import ENGINE_REMEDY, SamplingMemoryError, first_line, is_out_of_memory
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
        """See `RolloutPool.rollout`.

        Raises:
            SamplingMemoryError: The engine ran out of memory; names the keys that help.
        """
        done = []
        for batch in batches:
            try:
                done.append(self._worker.rollout(batch, sampling))
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                raise SamplingMemoryError(
                    f"the engine ran out of memory ({first_line(error)}); {ENGINE_REMEDY}"
                ) from error
            on_batch(done[-1])
        return done

    def sleep(self) -> bool:
        """See `RolloutPool.sleep`."""
        return self._worker.sleep()

    def close(self) -> None:
        """See `RolloutPool.close`."""
        self._worker.close()
