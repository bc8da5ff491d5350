"""Exit codes: 2 for a user's mistake, 75 for "try again later", 1 for a failed run, 128 + n at signal n.

Error classes carry their code as `exit_code`. Such an error is one line on stderr; any other one is a bug and
keeps its traceback.
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
    """Turn errors that carry an `exit_code` into one line on stderr and that code; let others through."""
    try:
        yield
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(code) from None


@contextmanager
def ended_by_signals(message: str) -> Iterator[None]:
    """Unwind at SIGTERM and SIGINT, so that locks are released and children are ended; then print `message`."""
    received: list[int] = []

    def unwind(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt  # Ray would turn a SystemExit raised here into exit code 1

    before = {ending: signal.signal(ending, unwind) for ending in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        print(message, file=sys.stderr)
        raise SystemExit(128 + (received or [signal.SIGINT])[0]) from None
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
