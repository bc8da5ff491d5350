"""Temporary folders that say whether their owner lives, so that the next start removes what killed runs left.

::

    /tmp/stride-x1y2z3/.owner    locked (flock) by the process that made the folder, until it ends

The kernel releases the lock however a process ends, and nothing else does. A folder whose `.owner` is free is
therefore a leftover, and so is every process of the private Ray cluster in it. Folders of other users, of
processes that live, and without an `.owner` are left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollout.pools.watchdog import end_cluster

PREFIX = "stride-"
OWNER = ".owner"
_SHORT = Path("/tmp")


class OwnedFolder:
    """A temporary folder of this process.

    Attributes:
        path: The folder.
    """

    def __init__(self, kind: str = "", *, longest: int | None = None) -> None:
        """Make it.

        Args:
            kind: Part of its name.
            longest: Characters that its path may have; below `/tmp` if it would be longer elsewhere.
        """
        parent = Path(tempfile.gettempdir())
        if longest is not None and len(f"{parent}/{PREFIX}{kind}xxxxxxxx") > longest:
            parent = _SHORT
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX + kind, dir=parent))
        new = self.path / f"{OWNER}.new"
        self._lock = os.open(new, os.O_CREAT | os.O_RDWR)  # a number: held until `close` or the process's end
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        new.rename(self.path / OWNER)  # never seen without its lock

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Give it up: whoever finds it may remove it."""
        os.close(self._lock)


@contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """An `OwnedFolder` for the time of a block."""
    folder = OwnedFolder(kind)
    try:
        yield folder.path
    finally:
        folder.close()


def remove_leftovers() -> list[Path]:
    """Remove the folders of this user whose process is dead, and end what runs in them; returns them."""
    removed = []
    for parent in {Path(tempfile.gettempdir()), _SHORT}:
        for folder in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                if _is_leftover(folder):
                    end_cluster(folder, ended=True)
                    removed.append(folder)
    return removed


def _is_leftover(folder: Path) -> bool:
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return False
    with (folder / OWNER).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
