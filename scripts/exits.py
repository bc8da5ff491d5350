"""Exit codes: 2 for a user's mistake, 75 for "try again later", 1 for a failed run, 128 + n at signal n.

Error classes carry their code as `exit_code`. Such an error is one line on stderr; any other one is a bug and
keeps its traceback. What becomes of signals: `rollout/interruption.py`.
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
    """Turn errors that carry an `exit_code` into one line on stderr and that code; let others through."""
    try:
        yield
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            raise
        from envs.one_line import one_line  # the help needs no environments

        print(f"error: {one_line(error, most=None)}", file=sys.stderr)
        raise SystemExit(code) from None
