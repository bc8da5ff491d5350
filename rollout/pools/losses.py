"""How rollout actors are lost, and how many may be.

In: what Ray raised in place of an answer. Out: a `LostError` that says what happened to the actor.
"""

from __future__ import annotations

import re
import time
from collections import deque
from typing import ClassVar

from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayError

from rollout.out_of_memory import ENGINE_REMEDY, first_line

_NODE_REMEDY = f"{ENGINE_REMEDY}, or place fewer actors on a node (rollout.cpus_per_actor)"


class RolloutError(RuntimeError):
    """Actors keep failing, and going on would not help."""

    exit_code: ClassVar[int] = 1


class LostError(Exception):
    """An actor is lost; says what happened.

    Attributes:
        remedy: What helps if it happens again; empty where that is unknown.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy

    def at_the_end(self) -> str:
        """What happened, for the message that ends a run."""
        return f"{self}; {self.remedy}" if self.remedy else str(self)


class LateError(LostError):
    """An actor missed its deadline."""


def out_of_memory(error: BaseException) -> LostError:
    """The loss of an actor that raised for want of memory; a new one has none of its caches."""
    return LostError(f"ran out of memory ({first_line(error)})", _NODE_REMEDY)


def died(error: RayError) -> LostError:
    """The loss of an actor whose process ended."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or "running low on memory" in text:
        return LostError("was ended by Ray because its node ran low on memory", _NODE_REMEDY)
    if isinstance(error, NodeDiedError) or "node has died" in text or "node died" in text.lower():
        return LostError("was lost with its node")
    if isinstance(error, ActorDiedError) and "connection error code 2" in text:
        return LostError(
            "died: its process was killed or crashed",
            f"if the machine's memory ran out (dmesg names processes that the kernel killed), {_NODE_REMEDY}",
        )
    detail = re.search(r"Worker exit detail: (.{1,300})", text)
    return LostError(f"died: {type(error).__name__}: {detail[1]}" if detail else f"died: {first_line(error)}")


class RestartLimit:
    """Counts the actors that were replaced within a window of time: a storm is not a run of weeks.

    Attributes:
        total: All that were replaced so far.
    """

    def __init__(self, most: int, window_s: float) -> None:
        self.total = 0
        self._most = most
        self._window_s = window_s
        self._times: deque[float] = deque()

    def count(self, loss: LostError) -> str:
        """Count one more replacement; returns how many there were, as text.

        Raises:
            RolloutError: It is one too many.
        """
        now = time.monotonic()
        while self._times and now - self._times[0] > self._window_s:
            self._times.popleft()
        if len(self._times) >= self._most:
            raise RolloutError(
                f"{len(self._times) + 1} rollout actors were lost within rollout.restart_window_s "
                f"({self._window_s:g} s), more than rollout.max_restarts ({self._most}); the last one "
                f"{loss.at_the_end()}"
            )
        self._times.append(now)
        self.total += 1
        return f"{len(self._times)} of at most {self._most} within {self._window_s:g} s"
