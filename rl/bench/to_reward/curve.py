"""Reward against time, and when a target is reached; plain numbers, no torch.

In: points (update, seconds, reward) of two contestants. Out: seconds and updates to a target, and their ratio,
which is a bound where a contestant has not reached the target.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_LAST = 3  # evaluations whose mean is where a curve ends


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One evaluation.

    Attributes:
        update: Updates before it; between two evaluations where a target was reached.
        seconds: Seconds of training before it.
        reward: Mean reward of samples on the held-out problems.
    """

    update: float
    seconds: float
    reward: float


def time_to(points: Sequence[Point], target: float) -> Point | None:
    """Where a curve first reaches a target, on the line between two evaluations; None: it does not.

    Example: from (update 0, 0 s, reward 0.2) to (10, 8 s, 0.6), the target 0.5 is reached at (7.5, 6 s, 0.5).

    Args:
        points: A curve, in order; the first is the start.
        target: The reward.
    """
    if points and points[0].reward >= target:
        return points[0]
    for before, after in pairwise(points):
        if after.reward >= target:
            share = (target - before.reward) / (after.reward - before.reward)
            return Point(
                update=before.update + share * (after.update - before.update),
                seconds=before.seconds + share * (after.seconds - before.seconds),
                reward=target,
            )
    return None


def target_reward(points: Sequence[Point], share: float) -> float | None:
    """The reward at a share of the way from the start of a curve to its end, the mean of three evaluations.

    None: the end is not above the start, so there is nothing to reach.
    """
    start, end = points[0].reward, statistics.fmean(point.reward for point in points[-_LAST:])
    return start + share * (end - start) if end > start else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Duel:
    """Both contestants on one task with one seed, from the same weights.

    Attributes:
        task: Name of the task.
        seed: Of the warm start, of both contestants and of their problems.
        target: The reward to reach; None: Stride has gained nothing.
        stride: Curve of Stride.
        trl: Curve of TRL; it ends soon after the target, or where its time was up. Empty without a target.
    """

    task: str
    seed: int
    target: float | None
    stride: tuple[Point, ...]
    trl: tuple[Point, ...]

    @property
    def stride_to(self) -> Point | None:
        """Where Stride reached the target; None only without one."""
        return None if self.target is None else time_to(self.stride, self.target)

    @property
    def trl_to(self) -> Point | None:
        """Where TRL reached the target; None: not within its time."""
        return None if self.target is None else time_to(self.trl, self.target)

    @property
    def ratio(self) -> float | None:
        """Stride's seconds over TRL's: all of them, where TRL has not reached the target. None without one."""
        own = self.stride_to
        return None if own is None else own.seconds / (self.trl_to or self.trl[-1]).seconds

    @property
    def is_bound(self) -> bool:
        """Whether the ratio is an upper bound, as TRL has not reached the target."""
        return self.target is not None and self.trl_to is None
