"""What the C library keeps of freed memory goes back to the system."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rl.freed_memory import _malloc_trim, return_freed_memory

MB = 60
# In a process of its own: the heap of this one may have room for the blocks already.
FREED = f"""
import gc, json, os
from rl.freed_memory import return_freed_memory
from tests.kit.family import held

resident = [held(os.getpid()).rss_mb]
blocks = [bytearray(b"x") * 1000 for _ in range({MB} * 1000)]
last = blocks[-1]  # at the end of the heap, so that glibc does not give back the rest by itself
blocks.clear()
gc.collect()
resident.append(held(os.getpid()).rss_mb)
return_freed_memory()
resident.append(held(os.getpid()).rss_mb)
print(json.dumps([*resident, len(last)]))
"""


@pytest.mark.skipif(_malloc_trim() is None, reason="the C library is not glibc")
def test_freed_memory_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    before, freed, given_back, length = json.loads(done.stdout)
    assert freed > before + 0.8 * MB
    assert given_back < before + 0.2 * MB
    assert length == 1000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.freed_memory._malloc_trim", lambda: None)
    return_freed_memory()
