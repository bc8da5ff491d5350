"""Compares contestants: time in turn in one process, memory in a separate process for each.

In: named functions that do the same work. Out: the rates of several rounds, and peaks of resident memory.
Compare ratios within a round: both sides of such a ratio ran under the same load of the machine.
"""

from __future__ import annotations

import gc
import multiprocessing
import statistics
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from rl.bench.workload import Case


@dataclass(frozen=True, kw_only=True)
class Lap:
    """One measurement of a contestant.

    Attributes:
        per_s: Units of work per second.
        useful_frac: Share of the positions passed through the learner that hold a token; None where none
            learns.
    """

    per_s: float
    useful_frac: float | None = None


Contestants = Mapping[str, Callable[[], Lap]]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The laps of one contestant, one per round."""

    name: str
    laps: tuple[Lap, ...]

    @property
    def per_s(self) -> tuple[float, ...]:
        """The rate of each round."""
        return tuple(lap.per_s for lap in self.laps)

    @property
    def median(self) -> float:
        """The median rate."""
        return statistics.median(self.per_s)

    @property
    def spread(self) -> float:
        """Range of the rates as a share of the median."""
        return (max(self.per_s) - min(self.per_s)) / self.median

    def ratios(self, other: Timing) -> list[float]:
        """How many times as fast as another contestant, for each round."""
        return [own / theirs for own, theirs in zip(self.per_s, other.per_s, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident memory of one contestant.

    Attributes:
        before: Bytes once libraries, model and workload are loaded.
        peak: Most bytes during the work.
    """

    before: int
    peak: int

    @property
    def grown(self) -> int:
        """Bytes the work itself needed."""
        return self.peak - self.before


def race(contestants: Contestants, *, rounds: int, unit: str, report: Callable[[str], None]) -> list[Timing]:
    """Let the contestants work in turn; each lap warms up by itself.

    Args:
        contestants: Functions that run one lap, by name.
        rounds: Laps of each contestant.
        unit: Unit of the rates in the lines below.
        report: Called with a line for every lap.
    """
    laps: dict[str, list[Lap]] = {name: [] for name in contestants}
    for number in range(1, rounds + 1):
        for name, work in contestants.items():
            gc.collect()  # trainers are in reference cycles
            laps[name].append(work())
            report(f"round {number}/{rounds}  {name}: {laps[name][-1].per_s:,.4g} {unit}")
    return [Timing(name=name, laps=tuple(values)) for name, values in laps.items()]


def peak_memory(enter: Callable[[Case], Contestants], case: Case, name: str) -> Memory:
    """Measure the memory of one lap in a separate process.

    Args:
        enter: Makes the contestants of a case; a function at the top level of a module.
        case: The work.
        name: The contestant.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(_measure, enter, case, name).result()


def _measure(enter: Callable[[Case], Contestants], case: Case, name: str) -> Memory:
    torch.set_num_threads(case.threads)
    work = enter(case)[name]
    gc.collect()
    # Imports set the peak so far. `ru_maxrss` cannot be reset and starts at the parent's.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    work()
    return Memory(before=before, peak=_status("VmHWM"))


def _status(key: str) -> int:
    """Bytes in a line of this process's status file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024
