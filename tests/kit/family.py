"""Processes of a run: who they are, and what each holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envs.sandbox.confine import child_pids


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a process holds.

    Attributes:
        rss_mb: Resident memory without the pages of files, in MB.
        files: Open file descriptors.
        threads: Threads.
    """

    rss_mb: float
    files: int
    threads: int


def descendants(pid: int) -> Iterator[int]:
    """All descendants of a process, zombies included."""
    for child in child_pids(pid):
        yield child
        yield from descendants(child)


def command(pid: int) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def held(pid: int) -> Held | None:
    """What a process holds; None if it has ended."""
    path = Path(f"/proc/{pid}")
    try:
        status = (path / "status").read_text()
        files = len(list((path / "fd").iterdir()))
    except OSError:
        return None
    numbers = {name: int(value) for name, value in re.findall(r"^(\w+):\s+([0-9]+)", status, re.MULTILINE)}
    if "RssAnon" not in numbers:  # a zombie
        return None
    rss_kib = numbers["RssAnon"] + numbers["RssShmem"] + numbers["VmSwap"]
    return Held(rss_mb=rss_kib * 1024 / 1e6, files=files, threads=numbers["Threads"])


def started_with(variable: str) -> list[int]:
    """Processes that were started with an environment variable, given as NAME=VALUE, and have not ended."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            environment = (path / "environ").read_bytes().split(b"\0")
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if variable.encode() in environment and state != "Z":
            found.append(int(path.name))
    return found
