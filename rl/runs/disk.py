"""A disk that cannot be written to, as one line with a remedy.

The libraries that write models raise what they like: `OSError`, safetensors its own class with the error's
number in its text, PyTorch a `RuntimeError` that says nothing. `disk_error` finds the reason in all of them.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

_LOG = "see what the system's log (dmesg) says about it"
_REMEDIES = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within the quota, or have it raised",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: _LOG,
    errno.EIO: _LOG,
    errno.ESTALE: "mount the network file system again",
}
_OF_RUST = re.compile(r"\(os error (\d+)\)")
_OF_PYTORCH = re.compile("PytorchStreamWriter|inline_container|iostream error")
_PROBE_BYTES = 1 << 20


class DiskError(RuntimeError):
    """Something could not be written; the run ends, and what it had written before is intact."""

    exit_code: ClassVar[int] = 1


@contextmanager
def disk_errors(run: Path) -> Iterator[None]:
    """Turn the errors of a full, broken or read-only disk, wherever a run meets them, into a `DiskError`.

    Args:
        run: Folder of the run.
    """
    try:
        yield
    except Exception as error:
        number = error_number(error, run)
        if isinstance(error, DiskError) or number not in _REMEDIES:
            raise
        file = error.filename if isinstance(error, OSError) and isinstance(error.filename, str) else run
        raise disk_error(Path(file), number) from error


def disk_error(path: Path, number: int | None, *, needed: int = 0, reason: str = "") -> DiskError:
    """The error for something that could not be written.

    Args:
        path: What was to be written.
        number: The system's number of the error (`errno`), if it is known.
        needed: Bytes that it takes, if they are known.
        reason: Said where the number is not known.
    """
    free = free_bytes(path)
    if number is None and needed > free:
        number = errno.ENOSPC
    why = reason if number is None else os.strerror(number)
    room = f"{size(free)} free" if not needed else f"{size(needed)} needed, {size(free)} free"
    remedy = _REMEDIES.get(number or 0, "check that the folder can be written to")
    return DiskError(
        f"{path} could not be written: {why} ({room}); {remedy}, then go on with --resume: what was saved "
        "before is intact"
    )


def error_number(error: BaseException | None, folder: Path) -> int | None:
    """The system's number of the error (`errno`) behind an exception of a writer; None if there is none.

    Args:
        error: What was raised.
        folder: Where it was raised. PyTorch hides the reason, so something is written there once more.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if found := _OF_RUST.search(str(error)):
            return int(found[1])
        if isinstance(error, RuntimeError) and (number := _probe(folder)) is not None:
            return number
        error = error.__cause__ or error.__context__
    return None


def is_writers(error: BaseException) -> bool:
    """Whether an exception is a writer's word that a file could not be written."""
    return isinstance(error, OSError) or bool(_OF_RUST.search(str(error)) or _OF_PYTORCH.search(str(error)))


def free_bytes(path: Path) -> int:
    """Free bytes of the disk that holds a path, which need not exist."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def size(num_bytes: int) -> str:
    """Bytes as a person reads them, as `1.5 GB`."""
    if num_bytes < 1000:
        return f"{num_bytes} bytes"
    power = min(4, (len(str(num_bytes)) - 1) // 3)
    return f"{num_bytes / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def _probe(folder: Path) -> int | None:
    file = folder / "write_test.tmp"
    try:
        with file.open("wb") as out:
            out.write(bytes(_PROBE_BYTES))
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        return error.errno
    finally:
        file.unlink(missing_ok=True)
    return None
