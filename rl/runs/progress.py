"""The progress of a run, as a person reads it: one class for the warm start, GRPO and every evaluation.

On a terminal it is one live line with a bar, never wider than the terminal. In a file, such as a job's log, it
is a plain line every few seconds. Other lines go through `say`, so that they do not break the live one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rl.runs.forecast import Forecast, Left, Pace, Work
from rl.stats.format import duration

_EVERY_S = 10.0  # in a file
_REFRESH_S = 0.2  # on a terminal
_SHORT_BAR, _LONG_BAR = 8, 30  # columns


class Task:
    """A piece of work that is being done.

    Attributes:
        work: The work.
        done: Units done.
        figures: Texts about the newest unit, the most important first.
    """

    def __init__(
        self, work: Work, done: int, *, clock: Callable[[], float], show: Callable[[Task], None]
    ) -> None:
        self.work = work
        self.done = done
        self.figures: Sequence[str] = ()
        self._clock = clock
        self._show = show
        self._pace = Pace(work.period)
        self._at = clock()

    def advance(self, done: int, figures: Sequence[str] = ()) -> None:
        """Note the units done by now, and texts about the newest, the most important first."""
        now = self._clock()
        self._pace.add(now - self._at, done - self.done)
        self._at, self.done, self.figures = now, done, figures
        self._show(self)

    def begin(self) -> None:
        """Start the clock of the first unit now: what came before was setting up."""
        self._at = self._clock()

    @property
    def units_left(self) -> int:
        """Units until this work is done."""
        return max(0, self.work.units - self.done)

    @property
    def seconds_each(self) -> float | None:
        """Its recent pace; None before anything was measured."""
        return self._pace.seconds_each


class Progress:
    """Shows how far a run is and how long it still takes."""

    def __init__(
        self,
        out: TextIO,
        work: Sequence[Work] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        width: int | None = None,
    ) -> None:
        """Show nothing yet.

        Args:
            out: A terminal or a file.
            work: The work of the run that is not done yet, in order, for the time left.
            clock: Seconds.
            width: Columns; None: the terminal's.
        """
        self._out = out
        self._console = Console(file=out, width=width, highlight=False)
        self._on_terminal = out.isatty() and not self._console.is_dumb_terminal
        self._forecast = Forecast(work)
        self._clock = clock
        self._live: Live | None = None
        self._shown_at = -math.inf

    def say(self, line: str) -> None:
        """Write a line of text."""
        if self._live is not None:
            self._console.print(Text(line), soft_wrap=True)
        else:
            self._out.write(line + "\n")
            self._out.flush()

    @contextmanager
    def showing(self, work: Work, *, done: int = 0) -> Iterator[Task]:
        """Show a piece of work until the block ends.

        Args:
            work: The work to show.
            done: Units that were done before, where a run is resumed.
        """
        self._forecast.begin(work)
        self._shown_at = -math.inf
        started = self._clock()
        task = Task(work, done, clock=self._clock, show=self._show)
        if self._on_terminal:
            with Live(console=self._console, auto_refresh=False) as self._live:
                try:
                    yield task
                finally:
                    self._draw(task)
                    self._live = None
        else:
            yield task
        self._forecast.measured(work.kind, self._clock() - started, task.done - done)

    def _show(self, task: Task) -> None:
        now, last = self._clock(), task.done >= task.work.units
        if last or now - self._shown_at >= (_REFRESH_S if self._on_terminal else _EVERY_S):
            self._shown_at = now
            self._draw(task)

    def _draw(self, task: Task) -> None:
        left = self._forecast.left(task.work, task.units_left, task.seconds_each)
        if self._live is None:
            self.say(plain_line(task, left))
        else:
            self._live.update(live_line(task, left, self._console.width), refresh=True)


def plain_line(task: Task, left: Left) -> str:
    """A line for a file: `GRPO 12/160 updates, reward 0.257, accuracy 35.7 %, 4 min 5 s left`."""
    work = task.work
    head = f"{work.label} {task.done:,}/{work.units:,} {work.kind.unit}"
    time_left = _time_left(left)
    if left.unknown and time_left:
        time_left += f", then {' and '.join(left.unknown)}"
    return ", ".join([head, *task.figures, *([time_left] if time_left else [])])


def live_line(task: Task, left: Left, width: int) -> Table:
    """A line for a terminal, with a bar; figures that do not fit are left out, the last ones first.

    Args:
        task: The work to show.
        left: The time left of the run.
        width: Columns of the terminal.
    """
    head = f"{task.work.label} {task.done:,}/{task.work.units:,}"
    time_left = _time_left(left)
    if left.unknown and time_left:
        time_left = f"over {time_left}"
    room = width - 1 - cell_len(head) - 2 - _SHORT_BAR - 2
    num = len(task.figures)
    while num and cell_len("  ".join([*task.figures[:num], time_left])) > room:
        num -= 1
    tail = "  ".join([*task.figures[:num], time_left])
    bar = min(_LONG_BAR, _SHORT_BAR + room - cell_len(tail))
    cells: list[Text | ProgressBar] = [Text(f"{head}  {tail}"[: width - 1])]
    if bar >= _SHORT_BAR:
        done = ProgressBar(total=task.work.units, completed=task.done, width=bar)
        cells = [Text(head, style="bold"), done, Text(tail)]
    line = Table.grid(padding=(0, 2, 0, 0))
    for _ in cells:
        line.add_column(no_wrap=True, overflow="crop")
    line.add_row(*cells)
    return line


def _time_left(left: Left) -> str:
    return "" if left.seconds is None else f"{duration(left.seconds)} left"
