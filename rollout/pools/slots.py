"""The slots of a pool's actors: which call each is working on, and by when it must answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Call(StrEnum):
    """The call that an actor is working on."""

    BUILD = "load its model"
    PING = "answer a ping"
    LOAD = "load weights"
    SLEEP = "give its memory back"
    ROLLOUT = "return its batch"


@dataclass(kw_only=True)
class Slot:
    """The slot of one actor; a replacement takes the same slot.

    Attributes:
        number: From 0.
        actor: Ray's handle.
        call: The current or last call.
        ref: The future result of the current call; None while the actor is idle.
        deadline_s: Seconds that the call may take.
        due: Time by which it must have answered, on the monotonic clock.
        batch: Number of the batch it works on; None if the result is not wanted.
        publication: Number of the weights it holds.
        pid: Process id, once it is known that Ray has placed it.
        ready: Whether it has ever loaded its model.
        vacant: Whether Ray had no room for an actor in time; it is asked again and again.
    """

    number: int
    actor: Any
    call: Call = Call.BUILD
    ref: Any = None
    deadline_s: float = 0.0
    due: float = 0.0
    batch: int | None = None
    publication: int = 0
    pid: int | None = None
    ready: bool = False
    vacant: bool = False

    def begin(self, call: Call, ref: Any, deadline_s: float) -> None:
        """Wait for the result of a call."""
        self.call, self.ref, self.deadline_s = call, ref, deadline_s
        self.due = time.monotonic() + deadline_s

    @property
    def late(self) -> bool:
        """Whether its call has taken longer than it may."""
        return self.ref is not None and self.due <= time.monotonic()
