"""Stand-ins for sampling: a pool and a source that follow a script, and a pool that records weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from rollout.engines.base import Weights
from rollout.source import RolloutBatch
from rollout.types import Batch, GroupRequest, RolloutGroup, Sampling


class ScriptedPool:
    """Answers each request with a group of the script; publishing weights to it is an error.

    Attributes:
        calls: The batches of each call, in order.
        samplings: The sampling that each call was given.
    """

    def __init__(
        self, script: Callable[[GroupRequest], RolloutGroup], *, sample_s: float = 2.0, score_s: float = 1.0
    ) -> None:
        self.script = script
        self.sample_s, self.score_s = sample_s, score_s  # of a batch
        self.calls: list[list[list[GroupRequest]]] = []
        self.samplings: list[Sampling | None] = []

    @property
    def requests(self) -> list[GroupRequest]:
        """All requests, in order."""
        return [request for call in self.calls for batch in call for request in batch]

    def publish(self, weights: Weights, version: int) -> None:
        raise AssertionError(f"weights of version {version} for a pool whose groups are scripted")

    def rollout(
        self,
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None = None,
        *,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> list[Batch]:
        self.calls.append([list(batch) for batch in batches])
        self.samplings.append(sampling)
        done = []
        for batch in batches:
            groups = tuple(self.script(request) for request in batch)
            done.append(Batch(groups=groups, sample_s=self.sample_s, score_s=self.score_s))
            on_batch(done[-1])
        return done

    def sleep(self) -> bool:
        return False

    def close(self) -> None: ...


class RecordingPool:
    """Keeps a copy of the weights it is given; requesting groups from it is an error.

    Attributes:
        published: Version and weights of each call.
    """

    def __init__(self) -> None:
        self.published: list[tuple[int, dict[str, torch.Tensor]]] = []

    @property
    def versions(self) -> list[int]:
        """The versions that were published, in order."""
        return [version for version, _ in self.published]

    def publish(self, weights: Weights, version: int) -> None:
        self.published.append((version, {name: tensor.clone() for name, tensor in weights.items()}))

    def rollout(
        self,
        batches: Sequence[Sequence[GroupRequest]],
        sampling: Sampling | None = None,
        *,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> list[Batch]:
        raise AssertionError(f"{len(batches)} batches requested from a pool that only takes weights")

    def sleep(self) -> bool:
        return False

    def close(self) -> None: ...


class ScriptedSource:
    """Gives the same rollout batch at every update, and counts the groups it gave."""

    def __init__(self, batch: RolloutBatch) -> None:
        self.batch = batch
        self.cursor = 0

    def state(self) -> dict[str, Any]:
        return {"cursor": self.cursor}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.cursor = state["cursor"]

    def next_update(self, num_groups: int) -> RolloutBatch:
        self.cursor += len(self.batch.sampled)
        return self.batch
