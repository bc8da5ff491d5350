"""The lock of a folder: one process at a time writes to it. It names its holder and ends with its process."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, ClassVar

NAME = ".lock"
_LOOK_S = 0.05
_SIGNED_WITHIN_S = 2.0


class RunBusyError(RuntimeError):
    """Another process is writing to the folder."""

    exit_code: ClassVar[int] = 75


def lock_folder(folder: Path, *, key: str) -> IO[str]:
    """Take the lock of a folder; closing the returned file releases it.

    Args:
        folder: An existing folder.
        key: Config key or option that names the folder, for the message.

    Raises:
        RunBusyError: Another process holds the lock.
        OSError: The folder cannot be written.
    """
    lock = (folder / NAME).open("a+")
    if not _take(lock, fcntl.LOCK_EX):
        time.sleep(_LOOK_S)  # `lock_holder` may be looking
        if _take(lock, fcntl.LOCK_EX):
            return lock
        with lock:
            holder = _holder(lock, wait_s=_SIGNED_WITHIN_S)
        raise RunBusyError(f"{key} {folder} is in use by {holder}; wait for it or give another")
    return lock


def lock_holder(folder: Path) -> str | None:
    """Who holds the lock of a folder, as `process 17 on host since ...`; None if nobody does."""
    try:
        lock = (folder / NAME).open()
    except OSError:
        return None
    with lock:
        return None if _take(lock, fcntl.LOCK_SH) else _holder(lock)


def _take(lock: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _holder(lock: IO[str], *, wait_s: float = 0.0) -> str:
    """Who holds a lock; one that has just been taken is not signed yet, which is waited for."""
    last = time.monotonic() + wait_s
    while True:
        lock.seek(0)
        if found := lock.read().strip():
            return found
        if time.monotonic() >= last:
            return "another process"
        time.sleep(0.02)


def sign_lock(lock: IO[str]) -> None:
    """Write into a lock who holds it, and since when."""
    lock.truncate(0)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    lock.write(f"process {os.getpid()} on {socket.gethostname()} since {since}")
    lock.flush()
