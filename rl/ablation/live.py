"""What an ablation shows while it runs: a live table on a terminal, plain lines in a log.

In: a `Schedule`, and the folders of its trials. Out: text. On a terminal the table is redrawn every second.
Elsewhere a line is written when a run starts or ends, and every minute one for all runs and one for each that
is running.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import ConsoleDimensions, Group
from rich.live import Live
from rich.table import Table

from configs.schema.ablation import Trial
from rl.ablation.progress import last_line, read_progress
from rl.ablation.schedule import Schedule, TrialStatus
from rl.ablation.table import TrialRow, case_table, describe_estimate, trial_line, trial_table
from rl.ablation.time_left import Measured, Pace, estimate, updates_done
from rl.pages.text import plain_console
from rl.runs.log import read_summary
from rl.stats.format import duration

_DRAW_EVERY_S = 1.0
_WRITE_EVERY_S = 60.0
_OTHER_LINES = 3  # on the screen beside the table: the state of all runs, a blank line, the cursor's


class LiveTable:
    """Shows a schedule while its trials run. A context manager: it gives a terminal back as it was."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        at_once: int,
        out: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show how many runs there are; none is running yet.

        Args:
            schedule: The schedule to show; the caller changes it.
            at_once: How many runs there is room for.
            out: Where to show it.
            clock: Seconds, as `time.monotonic` gives them.
        """
        self._schedule = schedule
        self._at_once = at_once
        self._out = out
        self._clock = clock
        self._begun = self._shown = self._idle_since = clock()
        self._paces: dict[str, Pace] = {}
        self._started: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._measured = Measured()
        for name, state in schedule.states.items():
            if state.finished:
                self._measured.add(schedule.trials[name])
        self._console = plain_console(out)
        self._live: Live | None = None
        if out.isatty():
            # Ray and its children write to standard output, which is sent elsewhere; see `tune.py`.
            self._live = Live(
                console=self._console, auto_refresh=False, redirect_stdout=False, vertical_overflow="ellipsis"
            )
        done, left = schedule.count(TrialStatus.BEFORE), len(schedule.unfinished)
        self._write(f"{done + left} runs, {done} of them finished before; {min(at_once, left)} at a time")

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            if error is None:
                self.show()
            self._live.stop()

    def started(self, name: str) -> None:
        """A run has started."""
        self._started[name] = self._clock()
        self._paces[name] = Pace(read_progress(self._schedule.trials[name]))
        if self._live is None:
            self._write(f"{name}: started")

    def ended(self, name: str) -> None:
        """A run has finished, stopped or failed. Runs that cannot start because it failed are named too."""
        trial = self._schedule.trials[name]
        if name in self._started:
            self._took[name] = self._clock() - self._started[name]
            self._idle_since = self._clock()
        if self._schedule.states[name] is TrialStatus.DONE:
            self._measured.add(trial)
            if self._live is None:
                self._write(f"{name}: done; {self._status()}")
            return
        if self._schedule.states[name] is TrialStatus.STOPPED:
            self._write(f"{name}: {last_line(trial.log)}")
            return
        failures = self._schedule.failures
        self._write(f"{name}: FAILED: {failures[name].reason} (log: {trial.log})")
        for other in self._schedule.trials.values():
            if other.after == name:
                self._write(f"{other.name}: FAILED: {failures[other.name].reason}")

    def stopping(self) -> None:
        """A signal has come, and the runs are told to save and end."""
        running = self._schedule.count(TrialStatus.RUNNING)
        each = "the run that is running saves its" if running == 1 else f"the {running} runs each save their"
        self._write(f"stopping: {each} last update; a second signal ends at once")

    def tick(self) -> None:
        """Show the runs if enough time has passed since something was shown."""
        if self._clock() - self._shown >= (_WRITE_EVERY_S if self._live is None else _DRAW_EVERY_S):
            self.show()

    def show(self) -> None:
        """Draw the table, or write the lines."""
        self._shown = self._clock()
        rows = [self._row(name, state) for name, state in self._schedule.states.items()]
        if self._live is None:
            running = [trial_line(row) for row in rows if row.state is TrialStatus.RUNNING]
            self._write("\n  ".join([self._status(), *running]))
            return
        # Rich asks the standard streams for the size; `out` may be another terminal.
        self._console.size = _terminal_size(self._out)
        self._live.update(Group(self._status(), "", self._table(rows)), refresh=True)

    def _write(self, text: str) -> None:
        """Write text; on a terminal it stands above the table."""
        self._shown = self._clock()
        self._console.print(text, soft_wrap=True)

    def _table(self, rows: list[TrialRow]) -> Table:
        table = trial_table(rows)
        lines = len(self._console.render_lines(table))
        return table if lines + _OTHER_LINES <= self._console.height else case_table(rows)

    def _row(self, name: str, state: TrialStatus) -> TrialRow:
        trial = self._schedule.trials[name]
        running = state is TrialStatus.RUNNING
        return TrialRow(
            trial=trial,
            state=state,
            progress=read_progress(trial),
            elapsed_s=self._clock() - self._started[name] if running else self._took.get(name),
            left_s=self._left(trial) if running else None,
        )

    def _left(self, trial: Trial) -> float | None:
        """Seconds until a trial is done, once it is started."""
        progress, summary = read_progress(trial), read_summary(trial.folder)
        if (pace := self._paces.get(trial.name)) is not None:
            self._measured.add(trial)  # the stages it has behind it
            update_s = pace.update_s(progress, self._clock())
            if update_s is not None and progress.is_loop:
                self._measured.add_rounds(trial, update_s)
            elif update_s is not None and progress.stage is not None:
                self._measured.add_pace(trial, progress.stage, update_s)
        if progress.is_loop:
            return self._measured.rounds_left(trial, progress)
        return self._measured.left(trial, updates_done(trial, progress), summary.stages)

    def _status(self) -> str:
        states = self._schedule
        done = states.count(TrialStatus.DONE) + states.count(TrialStatus.BEFORE)
        parts = [f"{done} of {len(states.trials)} runs done after {duration(self._clock() - self._begun)}"]
        if running := states.count(TrialStatus.RUNNING):
            parts.append(f"{running} running")
        elif states.unfinished:
            recent = self._clock() - self._idle_since < _WRITE_EVERY_S
            parts.append("starting" if recent else "waiting for room")
        if failed := states.count(TrialStatus.FAILED):
            parts.append(f"{failed} failed")
        if states.unfinished:
            running_first = sorted(states.unfinished, key=lambda trial: trial.name not in self._started)
            seconds = {trial.name: self._left(trial) for trial in running_first}
            parts.append(describe_estimate(estimate(running_first, seconds, self._at_once)))
        return ", ".join(parts)


def _terminal_size(out: TextIO) -> ConsoleDimensions:
    columns, lines = os.get_terminal_size(out.fileno())
    return ConsoleDimensions(columns or 80, lines or 24)  # some terminals do not know
