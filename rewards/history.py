"""What rewards may know of the run before the group they score, and where it is kept.

In: the groups of one batch after the other. Out: a `History` for each group of the next. The driver
keeps it (`RunHistory`), a checkpoint holds it, and an order for a group carries its `History` to whoever
scores it; so the rewards themselves stay plain functions.
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

_BATCHES = 16  # the running accuracy is a mean over so many
_LENGTHS = 512  # right answers that a target length is read from, of each class


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """The run so far, as one group sees it.

    Example::

        History(update=12, accuracy=0.61, best_accuracy=0.66, shortest=140, targets=(120, 200, 310))

    Attributes:
        update: Updates before this one; None outside of training, where schedules are at their end and gates on
            accuracy are open.
        accuracy: Share of right samples over the last 16 batches; None before the first.
        best_accuracy: The highest it has been over 16 whole batches; before there are so many, what it is.
        shortest: Tokens of the shortest right answer to this problem so far; None without one.
        targets: Lengths in tokens for problems of high, medium and low accuracy (`RunHistory`); None where no
            right answer of the class has been seen.
    """

    update: int | None = None
    accuracy: float | None = None
    best_accuracy: float | None = None
    shortest: int | None = None
    targets: tuple[int | None, int | None, int | None] = (None, None, None)


def accuracy_class(accuracy: float) -> int:
    """0 from 2/3 on, 1 from 1/3 on, else 2: the classes of LASER-D (arXiv 2505.15612)."""
    return 0 if accuracy >= 2 / 3 else 1 if accuracy >= 1 / 3 else 2


class RunHistory:
    """Keeps the histories of a run.

    The target length of a class is the shortest within which one right answer is to be expected of a group:
    where at least n of G samples are right (2/3 and 1/3 of G, else 1), the 1/n quantile of the lengths of
    right answers. LASER-D reads it from a set of problems it monitors, here it is read from the groups
    trained on.
    """

    def __init__(self, *, updates_per_batch: int = 1, keep_shortest: bool = True) -> None:
        """Begin with nothing.

        Args:
            updates_per_batch: Updates trained on one batch of groups.
            keep_shortest: Remember the shortest right answer of every problem.
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
        """What a group of this problem may know."""
        accuracy = fmean(self._accuracies) if self._accuracies else None
        return History(
            update=self._update,
            accuracy=accuracy,
            best_accuracy=accuracy if self._best is None else self._best,
            shortest=self._shortest.get(_key(problem)),
            targets=(self._target(0), self._target(1), self._target(2)),
        )

    def add(self, groups: Iterable[tuple[Problem, Sequence[Trace]]]) -> None:
        """Take the groups of one batch into account, all that were sampled."""
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
        """Everything there is, as JSON can hold it."""
        return {
            "update": self._update,
            "accuracies": list(self._accuracies),
            "best": self._best,
            "shortest": dict(self._shortest),
            "lengths": [list(lengths) for lengths in self._lengths],
            "num_samples": self._num_samples,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
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
    # By its text: a data set gives the same problem another index in every epoch.
    return blake2b(problem.question.encode(), digest_size=8).hexdigest()
