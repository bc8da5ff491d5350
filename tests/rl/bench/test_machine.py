"""The line that names the CPU beside every figure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rl.bench.machine import describe_cpu


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)


def caches(folder: Path, shared: list[str], size: str) -> Path:
    """Processors with an L2 of their own and an L3 that they share as given."""
    for cpu, names in enumerate(shared):
        for index, (level, text, with_cpus) in enumerate([("2", "1024K", str(cpu)), ("3", size, names)]):
            place = folder / f"cpu{cpu}" / "cache" / f"index{index}"
            place.mkdir(parents=True)
            (place / "level").write_text(f"{level}\n")
            (place / "size").write_text(f"{text}\n")
            (place / "shared_cpu_list").write_text(f"{with_cpus}\n")
    return folder


def cpuinfo(folder: Path, name: str) -> Path:
    path = folder / "cpuinfo"
    block = f"processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: {name}\nflags\t\t: fpu avx\n\n"
    path.write_text(block * 4)
    return path


@pytest.mark.parametrize("generic", ["AMD EPYC", "Intel Xeon Processor (Skylake, IBRS)"])
def test_a_generic_name_gets_family_and_model(tmp_path: Path, generic: str) -> None:
    found = describe_cpu(cpuinfo(tmp_path, generic), caches(tmp_path, ["0-3"] * 4, "32768K"))
    assert found == f"{generic} (family 26, model 2; 4 cores, 32 MiB L3)"


def test_a_product_name_is_enough_and_each_cache_counts_once(tmp_path: Path) -> None:
    shared = ["0-1", "0-1", "2-3", "2-3"]
    found = describe_cpu(cpuinfo(tmp_path, "AMD EPYC 9654 96-Core Processor"), caches(tmp_path, shared, "16M"))
    assert found == "AMD EPYC 9654 96-Core Processor (4 cores, 32 MiB L3)"


def test_a_system_that_says_nothing_still_has_a_line(tmp_path: Path) -> None:
    found = describe_cpu(tmp_path / "none", tmp_path / "nothing")
    assert found.endswith(" (4 cores)") and len(found) > len(" (4 cores)")
