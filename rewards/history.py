"""The part of a run's past that rewards may read, and where it is kept.

In: the sampled groups, batch after batch. Out: a `History` for each group of the next batch. The driver keeps
the past (`RunHistory`), a checkpoint holds it, and each group request carries its `History` to the worker that
scores the group. So rewards stay plain functions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from statistics import fmean
from typing import Any

from envs import Problem, Trace
from rewards.correctness import group_accuracy

_BATCHES = 16  # of the running accuracy
_LENGTHS = 512  # most recent right answers of a class, whose quantile is the target length


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """The run so far, as one group sees it.

    Example::

        History(update=12, accuracy=0.61, best_accuracy=0.66, shortest=140, targets=(120, 200, 310))

    Attributes:
        update: Updates before this one; None outside of training, where schedules are at their end and
            conditions on accuracy hold.
        accuracy: Share of right samples over the last 16 batches; None before the first batch.
        best_accuracy: Highest `accuracy` over 16 whole batches so far; before the 16th batch, `accuracy`.
        shortest: Tokens of the shortest right answer to this problem so far; None without one.
        targets: Target lengths in tokens for problems of high, medium and low accuracy (`RunHistory`); None
            where no right answer of the class has been seen.
    """

    update: int | None = None
    accuracy: float | None = None
    best_accuracy: float | None = None
    shortest: int | None = None
    targets: tuple[int | None, int | None, int | None] = (None, None, None)


def accuracy_class(accuracy: float) -> int:
    """LASER-D's difficulty class (arXiv 2505.15612): 0 for an accuracy from 2/3 on, 1 from 1/3 on, else 2.

    Example: 5 of 8 right: 1.
    """
    return 0 if accuracy >= 2 / 3 else 1 if accuracy >= 1 / 3 else 2


class RunHistory:
    """Keeps the history of a run.

    The target length of a class is the shortest length within which one right answer is expected in a group:
    with at least n of G samples right (2/3 G, 1/3 G, or 1), it is the 1/n quantile of the lengths of right
    answers. LASER-D reads it from a set of monitored problems, this from the groups trained on.
    """

    def __init__(self, *, updates_per_batch: int = 1, keep_shortest: bool = True) -> None:
        """Start with an empty history.

        Args:
            updates_per_batch: Updates trained on one batch of groups.
            keep_shortest: Keep the shortest right answer of every problem.
        """
        self._keep_shortest = keep_shortest
        self._updates_per_batch = updates_per_batch
        self._update = 0
        self._accuracies: deque[float] = deque(maxlen=_BATCHES)
        self._best: float | None = None
        self._shortest: dict[str, int] = {}
        self._lengths: tuple[deque[int], ...] = tuple(deque(maxlen=_LENGTHS) for _ in range(3))
        self._num_samples = 1

    def of(self, problem: Problem) -> History:
        """The history that a group of this problem sees."""
        accuracy = fmean(self._accuracies) if self._accuracies else None
        return History(
            update=self._update,
            accuracy=accuracy,
            best_accuracy=accuracy if self._best is None else self._best,
            shortest=self._shortest.get(_key(problem)),
            targets=(self._target(0), self._target(1), self._target(2)),
        )

    def add(self, groups: Iterable[tuple[Problem, Sequence[Trace]]]) -> None:
        """Add all groups sampled for one batch."""
        rights: list[bool] = []
        for problem, traces in groups:
            lengths = [trace.num_tokens for trace in traces if trace.correct]
            rights += [bool(trace.correct) for trace in traces]
            if lengths:
                self._lengths[accuracy_class(group_accuracy(traces))].extend(lengths)
                self._num_samples = max(self._num_samples, len(traces))
                if self._keep_shortest:
                    key = _key(problem)
                    self._shortest[key] = min(*lengths, self._shortest.get(key, lengths[0]))
        self._update += self._updates_per_batch
        if rights:
            self._accuracies.append(fmean(rights))
            if len(self._accuracies) == _BATCHES:
                self._best = max(self._best or 0.0, fmean(self._accuracies))

    def state(self) -> dict[str, Any]:
        """The whole history as JSON values, for a checkpoint."""
        return {
            "update": self._update,
            "accuracies": list(self._accuracies),
            "best": self._best,
            "shortest": dict(self._shortest),
            "lengths": [list(lengths) for lengths in self._lengths],
            "num_samples": self._num_samples,
        }

    def begin_at(self, update: int) -> None:
        """Begin empty after so many updates, as where no reward of the run read its history before."""
        self._update = update

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._update = state["update"]
        self._accuracies = deque(state["accuracies"], maxlen=_BATCHES)
        self._best = state["best"]
        self._shortest = dict(state["shortest"])
        self._lengths = tuple(deque(lengths, maxlen=_LENGTHS) for lengths in state["lengths"])
        self._num_samples = state["num_samples"]

    def _target(self, which: int) -> int | None:
        lengths = sorted(self._lengths[which])
        if not lengths:
            return None
        at_least = max(1, self._num_samples * (2 - which) // 3)
        return lengths[ceil(len(lengths) / at_least) - 1]


def _key(problem: Problem) -> str:
    # The text, because a data set gives the same problem another index in every epoch.
    return blake2b(problem.question.encode(), digest_size=8).hexdigest()
