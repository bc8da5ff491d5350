"""Exit codes: 2 for a user's mistake, 75 for "try again later", 1 for a run that failed.

A user's mistake is one line on stderr, never a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
    if names & {"StalledError", "LogprobMismatchError", "RolloutError"}:
        return RUN_FAILED
    return None
