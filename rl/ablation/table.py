"""The runs of an ablation while they run: a table redrawn in place, or lines where there is no terminal.

In: a `Schedule`, and what the folders of its trials hold. Out: text. On a terminal the table is drawn anew
every second; elsewhere a line is written when a run starts or ends, and one on all that run every minute.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TextIO

from configs.schema.ablation import Trial
from rl.ablation.cost import Estimate, Measured, estimate
from rl.ablation.progress import Progress, read_progress
from rl.ablation.schedule import Schedule, State
from rl.pages.text import aligned
from rl.stats.format import duration

_DRAW_EVERY_S = 1.0
_SAY_EVERY_S = 60.0
_BESIDE_ROWS = 6  # lines of a table that are no row of it: head, rule, and what is below
_HEAD = ("run", "state", "stage", "accuracy", "steps", "backtracks", "elapsed", "left")
_SHORTEST_NAME = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRow:
    """A run as it stands.

    Attributes:
        trial: The run.
        state: What has become of it.
        progress: How far it is.
        elapsed_s: Since it was last started; None if it has not been.
        left_s: That it still takes; None if unknown, or not at work.
    """

    trial: Trial
    state: State
    progress: Progress
    elapsed_s: float | None = None
    left_s: float | None = None


class LiveTable:
    """Shows a schedule while it is worked off."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        at_once: int,
        out: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin, with nothing at work.

        Args:
            schedule: What is shown; others change it.
            at_once: How many runs there is room for.
            out: Where to.
            clock: Seconds, as `time.monotonic` gives them.
        """
        self._schedule = schedule
        self._at_once = at_once
        self._out = out
        self._clock = clock
        self._terminal = out.isatty()
        self._begun = self._shown = self._idle_since = clock()
        self._drawn = 0
        self._paces: dict[str, _Pace] = {}
        self._ended: dict[str, float] = {}
        self._measured = Measured()
        for name, state in schedule.states.items():
            if state.finished:
                self._measured.add(schedule.trials[name])
        self.say(f"{len(schedule.trials)} runs, {schedule.count(State.BEFORE)} of them finished before")

    def started(self, name: str) -> None:
        """A run is at work."""
        self._paces[name] = _Pace(read_progress(self._schedule.trials[name]), self._clock())
        if not self._terminal:
            self.say(f"{name}: started")

    def ended(self, name: str) -> None:
        """A run has finished or failed; what it took with it is told too."""
        trial = self._schedule.trials[name]
        if (pace := self._paces.get(name)) is not None:
            self._ended[name] = self._clock() - pace.since
            self._idle_since = self._clock()
        if self._schedule.states[name] is State.DONE:
            self._measured.add(trial)
            if not self._terminal:
                self.say(f"{name}: done; {self._status()}")
            return
        failures = self._schedule.failures
        lines = [f"{name}: FAILED: {failures[name].reason} (log: {trial.log})"]
        followers = [other.name for other in self._schedule.trials.values() if other.after == name]
        self.say("\n".join([*lines, *(f"{other}: FAILED: {failures[other].reason}" for other in followers)]))

    def tick(self) -> None:
        """Show what there is to show, if it is time."""
        if self._clock() - self._shown >= (_DRAW_EVERY_S if self._terminal else _SAY_EVERY_S):
            self.show()

    def show(self) -> None:
        """Draw the table, or write the line."""
        if not self._terminal:
            self.say("; ".join([self._status(), *map(_told, self._rows(State.RUNNING))]))
            return
        self._shown = self._clock()
        columns, lines = _terminal_size(self._out)
        rows = self._rows()
        make_table = trial_table if len(rows) + _BESIDE_ROWS <= lines else case_table
        table = make_table(rows, width=columns - 1)
        shown = table.split("\n")[: max(1, lines - 3)]
        text = "\n".join(line[: columns - 1] for line in [*shown, "", self._status()])
        self._out.write(f"{self._cleared()}{text}\n")
        self._out.flush()
        self._drawn = text.count("\n") + 1

    def say(self, line: str) -> None:
        """Write lines, on a terminal above the table."""
        self._shown = self._clock()
        self._out.write(f"{self._cleared()}{line}\n")
        self._out.flush()
        if self._drawn:
            self._drawn = 0
            self.show()

    def _cleared(self) -> str:
        """What takes the table drawn last away."""
        return f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""

    def _rows(self, *states: State) -> list[TrialRow]:
        return [
            self._row(name, state)
            for name, state in self._schedule.states.items()
            if not states or state in states
        ]

    def _row(self, name: str, state: State) -> TrialRow:
        trial = self._schedule.trials[name]
        progress = read_progress(trial)
        if state is not State.RUNNING:
            return TrialRow(trial=trial, state=state, progress=progress, elapsed_s=self._ended.get(name))
        pace = self._paces[name]
        elapsed = self._clock() - pace.since
        left = pace.left(progress, self._clock())
        return TrialRow(trial=trial, state=state, progress=progress, elapsed_s=elapsed, left_s=left)

    def _status(self) -> str:
        states = self._schedule
        done = states.count(State.DONE) + states.count(State.BEFORE)
        parts = [f"{done} of {len(states.trials)} runs done after {duration(self._clock() - self._begun)}"]
        if running := states.count(State.RUNNING):
            parts.append(f"{running} running")
        elif states.unfinished:
            parts.append("starting" if self._clock() - self._idle_since < _SAY_EVERY_S else "waiting for room")
        if failed := states.count(State.FAILED):
            parts.append(f"{failed} failed")
        if states.unfinished:
            parts.append(describe_estimate(self._estimate()))
        return ", ".join(parts)

    def _estimate(self) -> Estimate:
        """Of what waits by what has been measured, of what runs by its own pace too."""
        trials = self._schedule.unfinished
        seconds: dict[str, float | None] = {}
        for trial in trials:
            pace, progress = self._paces.get(trial.name), read_progress(trial)
            own = None if pace is None else pace.left(progress, self._clock())
            done = {} if progress.stage is None else {progress.stage: progress.update}
            seconds[trial.name] = own if own is not None else self._measured.left(trial, done, ())
        return estimate(trials, seconds, self._at_once)


class _Pace:
    """How fast a run is, by how far it was when it started or first trained."""

    def __init__(self, progress: Progress, now: float) -> None:
        self.since = now
        self._stage, self._update, self._at = progress.stage, progress.update, now

    def left(self, progress: Progress, now: float) -> float | None:
        """Seconds until the stage has all its updates; None before there is anything to go by."""
        if progress.stage != self._stage or progress.update < self._update:
            self._stage, self._update, self._at = progress.stage, progress.update, now
        learnt = progress.update - self._update
        if learnt == 0:
            return None
        return (progress.updates - progress.update) * (now - self._at) / learnt


def _terminal_size(out: TextIO) -> tuple[int, int]:
    columns, lines = os.get_terminal_size(out.fileno())
    return columns or 80, lines or 24  # some terminals do not know


def trial_table(rows: Sequence[TrialRow], *, width: int) -> str:
    """One row a run, names shortened to what `width` leaves."""
    return _fitted([[row.trial.name, row.state.value, *_figures([row])] for row in rows], width)


def case_table(rows: Sequence[TrialRow], *, width: int) -> str:
    """One row a case and a shared warm start: how many of its seeds are where, and means over them."""
    cases: dict[str, list[TrialRow]] = {}
    for row in rows:
        cases.setdefault(row.trial.group, []).append(row)
    cells = []
    for case, seeds in cases.items():
        states = [row.state for row in seeds]
        counts = ", ".join(f"{states.count(state)} {state}" for state in State if state in states)
        cells.append([case, counts, *_figures(seeds)])
    return _fitted(cells, width)


def _fitted(rows: Sequence[Sequence[str]], width: int) -> str:
    """A table whose first column has its middles taken out until the lines are short enough."""
    table = aligned([_HEAD, *rows], num_left=3)
    longest = max(len(row[0]) for row in rows)
    over = max(map(len, table.split("\n"))) - width
    if over <= 0 or longest <= _SHORTEST_NAME:
        return table
    room = max(_SHORTEST_NAME, longest - over)
    names = [
        name if len(name) <= room else f"{name[: room // 2 - 1]}..{name[-(room - room // 2 - 1) :]}"
        for name, *_ in rows
    ]
    return aligned([_HEAD, *([name, *row[1:]] for name, row in zip(names, rows, strict=True))], num_left=3)


def describe_estimate(found: Estimate) -> str:
    """The time that is left, and for how many runs nothing is known of it."""
    if not found.seconds:
        return "no measurement of the time left yet"
    runs = "1 run is" if found.unknown == 1 else f"{found.unknown} runs are"
    return f"about {duration(found.seconds)} left" + (f", {runs} not measured yet" if found.unknown else "")


def _figures(rows: Sequence[TrialRow]) -> list[str]:
    """The cells after name and state: of one run, or of a case's seeds together."""
    at_work = [row for row in rows if row.state is State.RUNNING]
    begun = at_work or [row for row in rows if row.progress.stage]
    stages = "; ".join(dict.fromkeys(str(row.progress) for row in begun))
    found = [row.progress for row in begun]
    return [
        stages or "-",
        _mean([progress.accuracy for progress in found], "{:.3f}"),
        _mean([progress.steps_per_correct for progress in found], "{:.2f}"),
        _mean([progress.backtracks for progress in found], "{:.2f}"),
        _longest([row.elapsed_s for row in rows]),
        _longest([row.left_s for row in rows]),
    ]


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(fmean(known)) if known else "-"


def _longest(seconds: Sequence[float | None]) -> str:
    known = [value for value in seconds if value is not None]
    return duration(max(known)) if known else "-"


def _told(row: TrialRow) -> str:
    """A run at work in a few words."""
    progress = row.progress
    figures: Mapping[str, tuple[float | None, str]] = {
        "acc": (progress.accuracy, "{:.3f}"),
        "steps": (progress.steps_per_correct, "{:.2f}"),
        "backtracks": (progress.backtracks, "{:.2f}"),
    }
    words = [f"{key} {form.format(value)}" for key, (value, form) in figures.items() if value is not None]
    left = [] if row.left_s is None else [f"{duration(row.left_s)} left"]
    return f"{row.trial.name}: {' '.join([str(progress), *words, *left])}"
