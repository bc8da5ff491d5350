"""How long a run still takes.

In: the work of a run in order, and how long its units took. Out: seconds left, of the current work and of the
work after it. The pace is that of recent units: the first ones are slow, and completions get longer or shorter
while the model learns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

_RECENT = 8  # measurements


class Kind(StrEnum):
    """Units of work that take about as long as each other."""

    WARM_UPDATE = "update of the warm start"
    KEY_STEPS_UPDATE = "update of the key steps"
    GRPO_UPDATE = "update of GRPO"
    COMPLETION = "completion of an evaluation"
    TRACE = "trace of an analysis"
    PROBLEM = "problem of a search"

    @property
    def unit(self) -> str:
        """The plural that a progress line counts."""
        counted = {Kind.COMPLETION: "completions", Kind.TRACE: "traces", Kind.PROBLEM: "problems"}
        return counted.get(self, "updates")


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A part of a run that shows its own progress.

    Attributes:
        label: Its name, as `GRPO` or `evaluation of GRPO`.
        kind: What its units are.
        units: Number of updates, completions, traces or problems.
        period: Units that take as long as the same number before them: `grpo.num_iterations` updates share one
            rollout batch, so a single one says little.
    """

    label: str
    kind: Kind
    units: int
    period: int = 1


class Pace:
    """Seconds a unit: the median of recent periods, without the first one unless it is the only one."""

    def __init__(self, period: int = 1) -> None:
        self._period = period
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._num = 0
        self._seconds = 0.0
        self._units = 0

    def add(self, seconds: float, units: int) -> None:
        """Take how long some units took."""
        self._seconds += seconds
        self._units += units
        if self._units >= self._period:
            self._num += 1
            if self._num == 2:
                self._recent.clear()
            self._recent.append(self._seconds / self._units)
            self._seconds, self._units = 0.0, 0

    @property
    def seconds_each(self) -> float | None:
        """Seconds a unit; None before anything was measured."""
        if self._recent:
            return median(self._recent)
        return self._seconds / self._units if self._units else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """The time left of a run, as far as it is known.

    Attributes:
        seconds: Seconds of all work whose pace is known; None before anything was measured.
        unknown: Labels of later work whose pace is not known, one for each kind.
    """

    seconds: float | None
    unknown: tuple[str, ...] = ()


class Forecast:
    """Seconds left of a run."""

    def __init__(self, work: Sequence[Work]) -> None:
        """Start with nothing measured.

        Args:
            work: All work of the run that is not done yet, in order.
        """
        self._work = list(work)
        self._measured: dict[Kind, float] = {}

    def begin(self, work: Work) -> None:
        """Drop the work before this one; work that was not announced is taken as it comes."""
        labels = [later.label for later in self._work]
        if work.label in labels:
            self._work = self._work[labels.index(work.label) + 1 :]

    def measured(self, kind: Kind, seconds: float, units: int) -> None:
        """Take how long a whole piece of work took."""
        if units:
            self._measured[kind] = seconds / units

    def left(self, work: Work, units: int, seconds_each: float | None) -> Left:
        """The time left, the current work included.

        Args:
            work: The current work.
            units: Its units that are left.
            seconds_each: Its pace; None where nothing was measured yet.
        """
        if seconds_each is None:
            return Left(seconds=None)
        paces = {work.kind: seconds_each, **self._measured}
        seconds = units * seconds_each
        unknown: dict[Kind, str] = {}
        for later in self._work:
            if later.kind in paces:
                seconds += paces[later.kind] * later.units
            else:
                unknown.setdefault(later.kind, later.label)
        return Left(seconds=seconds, unknown=tuple(unknown.values()))
