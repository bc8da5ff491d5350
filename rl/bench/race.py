"""How contestants are compared: in turn for time, each in a process of its own for memory.

In: named functions that do the same work. Out: rounds of rates, whose ratios within a round are what counts,
since both sides of one then had the same machine; and peaks of resident memory.
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
    """One figure.

    Attributes:
        per_s: Units of work a second.
        useful_frac: Share of the positions passed through the learner that held a token; None without learner.
    """

    per_s: float
    useful_frac: float | None = None


Contestants = Mapping[str, Callable[[], Lap]]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Laps of one contestant, one a round."""

    name: str
    laps: tuple[Lap, ...]

    @property
    def per_s(self) -> tuple[float, ...]:
        """The rate of each round."""
        return tuple(lap.per_s for lap in self.laps)

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.per_s)

    @property
    def spread(self) -> float:
        """Range of the rounds as a share of the median."""
        return (max(self.per_s) - min(self.per_s)) / self.median

    def ratios(self, other: Timing) -> list[float]:
        """How many times as fast as another, round by round."""
        return [own / theirs for own, theirs in zip(self.per_s, other.per_s, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident memory of one contestant.

    Attributes:
        before: Bytes with libraries, model and workload loaded.
        peak: Most bytes while it worked.
    """

    before: int
    peak: int

    @property
    def grown(self) -> int:
        """Bytes the work itself took."""
        return self.peak - self.before


def race(contestants: Contestants, *, rounds: int, unit: str, say: Callable[[str], None]) -> list[Timing]:
    """Let the contestants work in turn; each lap warms up by itself.

    Args:
        contestants: By name.
        rounds: Laps of each.
        unit: Of the rates, for `say`.
        say: Told of every lap.
    """
    laps: dict[str, list[Lap]] = {name: [] for name in contestants}
    for number in range(1, rounds + 1):
        for name, work in contestants.items():
            gc.collect()  # trainers hold on to themselves
            laps[name].append(work())
            say(f"round {number}/{rounds}  {name}: {laps[name][-1].per_s:,.4g} {unit}")
    return [Timing(name=name, laps=tuple(values)) for name, values in laps.items()]


def peak_memory(enter: Callable[[Case], Contestants], case: Case, name: str) -> Memory:
    """Let one contestant do a lap in a process of its own.

    Args:
        enter: Makes the contestants of a case; a function at the top of a module.
        case: What to work on.
        name: Who.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(_measure, enter, case, name).result()


def _measure(enter: Callable[[Case], Contestants], case: Case, name: str) -> Memory:
    torch.set_num_threads(case.threads)
    work = enter(case)[name]
    gc.collect()
    # The peak so far is that of importing. `ru_maxrss` cannot be set back, and starts with the parent's.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    work()
    return Memory(before=before, peak=_status("VmHWM"))


def _status(key: str) -> int:
    """Bytes of a line of this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024
