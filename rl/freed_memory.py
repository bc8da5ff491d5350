"""Freed memory goes back to the system.

The C library keeps what a process frees for its next allocations, in pieces that grow apart over thousands of
updates: resident memory rises, though nothing holds more. Only glibc can be asked for it, with `malloc_trim`.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def return_freed_memory() -> None:
    """Give unused pages of the heap back; does nothing where the C library has no call for it."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
