"""Output whose reader leaves early, as `head` does, ends a command quietly."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_NO_READER = 128 + signal.SIGPIPE


@contextmanager
def closed_pipes() -> Iterator[None]:
    """Show no traceback where the reader of standard output or error has left.

    A command that has done its work keeps its exit code; one that is cut off ends with the code of SIGPIPE. A
    broken pipe to anything else, such as a worker process, stays an error.
    """
    try:
        yield
    except BrokenPipeError:
        if not silence_closed():
            raise
        raise SystemExit(_NO_READER) from None
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            silence_closed()


def silence_closed() -> bool:
    """Send output that nobody reads nowhere: the interpreter flushes again at exit, and would complain.

    Returns:
        Whether the reader of standard output or error has left.
    """
    left = [stream for stream in (sys.stdout, sys.stderr) if _has_no_reader(stream)]
    for stream in left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return bool(left)


def _has_no_reader(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):  # replaced by an object without a file, as tests do
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
