"""A folder that is written whole or not at all.

::

    best.tmp/best           1. written here; the manifest comes last, and all is flushed to the disk
    best     -> best.old    2. what was there, if anything, is put aside
    best.tmp/best -> best   3.
    best.old removed        4.

A kill at any instant leaves the old folder or the new one under its name or, between 2 and 3, the old one as
`.old`, which `remove_leftovers` brings back when the run is started again.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rl.runs.disk import disk_error, error_number, free_bytes, is_writers
from rl.runs.manifest import write_manifest

_NEW, _OLD = ".tmp", ".old"


@contextmanager
def whole_folder(path: Path, *, needed: int = 0) -> Iterator[Path]:
    """Write a folder as a whole: the block fills an empty one, which then takes the place of `path`.

    Args:
        path: The folder. What it holds stays until the new one is whole.
        needed: Bytes that it will take, if that is known.

    Raises:
        DiskError: It could not be written. Nothing of it is left, and `path` is as it was.
    """
    temporary = path.with_name(path.name + _NEW)
    new = temporary / path.name
    failed: Exception | None = None
    number: int | None = None
    try:
        _remove_leftovers_of(path)
        if needed > free_bytes(path):
            raise disk_error(path, errno.ENOSPC, needed=needed)
        new.mkdir(parents=True)
        yield new
        write_manifest(new)
        _flush(new)
        _put_in_place(new, path)
    except Exception as error:
        number = error_number(error, temporary if temporary.is_dir() else path.parent)
        if number is None and not is_writers(error):
            raise
        failed = error
    finally:
        _remove_leftovers_of(path)
    if failed is not None:
        raise disk_error(path, number, needed=needed, reason=str(failed).split("\n")[0]) from failed


def remove_folder(path: Path) -> None:
    """Remove a folder; a kill leaves it whole or under a name that `remove_leftovers` knows."""
    gone = path.with_name(path.name + _NEW)
    path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Remove what a kill left beside the folders in `parent`, and bring back one that was put aside."""
    for path in [*parent.glob("*" + _NEW), *parent.glob("*" + _OLD)]:
        _remove_leftovers_of(path.with_suffix(""))


def _remove_leftovers_of(path: Path) -> None:
    old = path.with_name(path.name + _OLD)
    shutil.rmtree(path.with_name(path.name + _NEW), ignore_errors=True)
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _put_in_place(new: Path, path: Path) -> None:
    if path.exists():
        path.rename(path.with_name(path.name + _OLD))
    new.rename(path)
    _flush_entry(path.parent)


def _flush(folder: Path) -> None:
    """Have the disk hold all files and folders below a folder."""
    for path in [*folder.rglob("*"), folder]:
        _flush_entry(path)


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
