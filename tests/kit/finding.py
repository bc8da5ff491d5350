"""The lines of the tables in docs/reliability.md: what a test counted, and what should not have happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of a table.

    Attributes:
        test: Name of the test.
        size: Number of trials.
        figures: The results, in words.
        failures: Results that should not occur; empty if there are none.
    """

    test: str
    size: int
    figures: str
    failures: tuple[str, ...]


def share(size: int, scale: float) -> int:
    """A share of a full size, at least 1."""
    return max(1, round(size * scale))


def print_table(findings: Iterable[Finding]) -> bool:
    """Print a table in Markdown line by line, and failures on stderr; returns whether there were none.

    Args:
        findings: Lines, made while they are asked for: the seconds of a line are those since the one before.
    """
    print("| test | size | figures | failures | seconds |\n|---|---|---|---|---|", flush=True)
    sound, start = True, time.perf_counter()
    for found in findings:
        seconds, start = time.perf_counter() - start, time.perf_counter()
        print(
            f"| {found.test} | {found.size:,} | {found.figures} | {len(found.failures)} | {seconds:.0f} |",
            flush=True,
        )
        for failure in found.failures[:_SHOWN]:
            print(f"  {failure}", file=sys.stderr)
        sound &= not found.failures
    return sound
