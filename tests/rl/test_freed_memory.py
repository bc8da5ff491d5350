"""What the C library keeps of freed memory goes back to the system."""

from __future__ import annotations

import gc
import os

import pytest

from rl.freed_memory import _malloc_trim, return_freed_memory
from tests.kit.family import held

MB = 60


def resident_mb() -> float:
    found = held(os.getpid())
    assert found is not None
    return found.rss_mb


@pytest.mark.skipif(_malloc_trim() is None, reason="the C library is not glibc")
def test_freed_memory_goes_back() -> None:
    before = resident_mb()
    blocks = [bytearray(b"x") * 1000 for _ in range(MB * 1000)]
    last = blocks[-1]  # at the end of the heap, so that glibc does not give back the rest by itself
    blocks.clear()
    gc.collect()
    assert resident_mb() > before + 0.8 * MB
    return_freed_memory()
    assert resident_mb() < before + 0.2 * MB
    assert len(last) == 1000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.freed_memory._malloc_trim", lambda: None)
    return_freed_memory()
