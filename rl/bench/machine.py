"""The CPU that a benchmark ran on, to stand beside every figure.

In: what Linux says in `/proc/cpuinfo` and `/sys`. Out: one line. Hypervisors give generic model names such as
"AMD EPYC"; family and model tell which generation it is.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_PRODUCT = re.compile("[0-9]{3,}|Ryzen|Ultra")  # EPYC 9654, Xeon 8481C, Core i7-12700: specific


def describe_cpu(cpuinfo: Path = _CPUINFO, caches: Path = _CACHES) -> str:
    """One line such as "AMD EPYC (family 26, model 2; 2 cores, 32 MiB L3)".

    Args:
        cpuinfo: The kernel's description of the processors.
        caches: The kernel's folder with one folder for each processor.
    """
    facts: dict[str, str] = {}
    for line in cpuinfo.read_text().splitlines() if cpuinfo.is_file() else ():
        key, colon, value = line.partition(":")
        if colon:
            facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name") or platform.processor() or platform.machine()
    details = []
    if "cpu family" in facts and not _PRODUCT.search(name):
        details.append(f"family {facts['cpu family']}, model {facts.get('model', '?')}")
    sizes = f"{_num_cores()} cores"
    if last := _l3_bytes(caches):
        sizes += f", {last / (1 << 20):g} MiB L3"
    return f"{name} ({'; '.join([*details, sizes])})"


def _num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _l3_bytes(caches: Path) -> int:
    """The L3 caches of all processors together, each counted once; 0 if they are not known."""
    sizes: dict[str, int] = {}
    for level in caches.glob("cpu[0-9]*/cache/index*/level"):
        if level.read_text().strip() == "3":
            size = level.with_name("size").read_text().strip()
            sizes[level.with_name("shared_cpu_list").read_text().strip()] = int(size[:-1]) * _UNITS[size[-1]]
    return sum(sizes.values())
