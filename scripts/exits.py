"""Exit codes: 2 for a user's mistake, 75 for "try again later", 1 for a run that failed, 128 + n at signal n.

A user's mistake is one line on stderr, never a traceback.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

USER_ERROR = 2
TRY_AGAIN = 75
RUN_FAILED = 1


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn the errors a user can cause into one line and an exit code; let others through."""
    try:
        yield
    except Exception as error:
        code = _code(error)
        if code is None:
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(code) from None


@contextmanager
def ended_by_signals(said: str) -> Iterator[None]:
    """Unwind at SIGTERM and SIGINT, so that locks are given back and what runs is ended; then say so."""
    received: list[int] = []

    def unwind(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt  # of a SystemExit raised here Ray would make exit code 1

    before = {ending: signal.signal(ending, unwind) for ending in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        print(said, file=sys.stderr)
        raise SystemExit(128 + (received or [signal.SIGINT])[0]) from None
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


def _code(error: Exception) -> int | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {
        "ConfigError",
        "PolicyError",
        "RunFolderError",
        "ResourceError",
        "PromptTooLongError",
        "VllmError",
    }:
        return USER_ERROR
    if "RunBusyError" in names:
        return TRY_AGAIN
    if names & {"StalledError", "LogprobMismatchError", "RolloutError", "GraderError"}:
        return RUN_FAILED
    return None
