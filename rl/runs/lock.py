"""The lock of a folder: one process at a time writes to it. It names its holder and ends with its process."""

from __future__ import annotations

import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, ClassVar

NAME = ".lock"


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
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with lock:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
        raise RunBusyError(f"{key} {folder} is in use by {holder}; wait for it or give another") from None
    return lock


def sign_lock(lock: IO[str]) -> None:
    """Write into a lock who holds it, and since when."""
    lock.truncate(0)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    lock.write(f"process {os.getpid()} on {socket.gethostname()} since {since}")
    lock.flush()
