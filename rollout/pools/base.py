"""The protocol of a pool: batches of group requests in, the same batches rolled out, in order.

A batch is one engine call whoever samples it, so every pool gives the same groups, token for token, with the
same number of threads per engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rollout.engines.base import Weights
from rollout.types import Batch, GroupRequest, Sampling


class RolloutPool(Protocol):
    """What the learner and the evaluation see of the sampling side."""

    def publish(self, weights: Weights, version: int) -> None:
        """Sample all later batches with `weights`; they are copied before this returns.

        Args:
            weights: By parameter name, on any device. The learner may change them afterwards.
            version: Their version.
        """
        ...

    def rollout(
        self,
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None = None,
        *,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> list[Batch]:
        """Roll out every batch; results come in the order of the requests.

        Args:
            batches: The groups of each engine call.
            sampling: Replaces the worker's sampling, for evaluation.
            on_batch: Called with each batch when it is done, in any order.
        """
        ...

    def sleep(self) -> bool:
        """Give memory that engines share with the learner back, until the next call; see `Engine.sleep`.

        Returns:
            Whether `publish` has to come before the next `rollout`.
        """
        ...

    def close(self) -> None:
        """Free the workers and whatever was started for them. Closing twice is fine."""
        ...
