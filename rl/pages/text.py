"""Text tables: the layout that every table of the project has, and the table that a run ends with."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.box import Box
from rich.console import Console
from rich.table import Table

from rl.pages.decoding import decoding
from rl.pages.steps import COUNTED, are_checked
from rl.runs.record import SplitResult
from rl.stats.format import table_number

_COLUMNS = (
    "stage",
    "split",
    "accuracy",
    "95 % interval",
    "steps/correct",
    "full",
    "saved",
    "backtracks",
    "tokens",
)
# Columns two spaces apart and a rule below the head, in ASCII: readable in a job's log too.
_RULED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_UNLIMITED = 10_000  # columns; wider than any table


def result_table(results: Iterable[tuple[str, Mapping[str, SplitResult]]]) -> str:
    """Results of every stage and split as a text table.

    Args:
        results: Names of stages or models with their results by split, as `Summary.stages.items()`.
    """
    found = [(stage, split, result) for stage, splits in results for split, result in splits.items()]
    every = [result for *_, result in found]
    head, forms = list(_COLUMNS), other_forms(every)
    head[4:4] = ["strict form"] if forms else []
    shares = optional_shares(every)
    head += [name.lower() for name, _ in shares]
    rows = [
        [stage, split, *_cells(result, forms), *(table_number(figure(result), 3) for _, figure in shares)]
        for stage, split, result in found
    ]
    table = text_table(head, rows, num_left=2)
    notes = [] if all(result.greedy for result in every) else [f"{decoding(every)}."]
    notes += [] if are_checked(every) else [f"{COUNTED}."]
    return "\n\n".join([table, " ".join(notes)]) if notes else table


def other_forms(results: Iterable[SplitResult]) -> bool:
    """Whether right answers were stated in other forms than the task's own, so that two accuracies differ."""
    return any(one.strict_accuracy is not None and one.strict_accuracy != one.accuracy for one in results)


def optional_shares(
    results: Iterable[SplitResult],
) -> list[tuple[str, Callable[[SplitResult], float | None]]]:
    """Shares by name that are shown only where some result has them, so that most tables stay narrow."""
    found = list(results)
    shares: list[tuple[str, Callable[[SplitResult], float | None]]] = []
    if any(one.merged_lines is not None for one in found):
        shares.append(("Merged lines", lambda result: result.merged_lines))
    if any(one.empty_thoughts for one in found):
        shares.append(("Empty thoughts", lambda result: result.empty_thoughts))
    return shares


def line_uses(results: Iterable[SplitResult]) -> list[tuple[str, Callable[[SplitResult], float | None]]]:
    """The shares of lines by their use, by name; none where no result has them."""
    if all(one.needed_lines is None for one in results):
        return []
    return [
        ("Needed lines", lambda result: result.needed_lines),
        ("Skippable lines", lambda result: result.skippable_lines),
        ("Wasted lines", lambda result: result.wasted_lines),
        ("Wrong lines", lambda result: result.wrong_lines),
    ]


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, num_left: int) -> str:
    """A table as plain text: as wide as its cells need, or as the terminal is if standard output is one.

    Args:
        head: Names of the columns.
        rows: One cell for every column.
        num_left: The first columns, aligned left; the others are aligned right.
    """
    out = io.StringIO()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNLIMITED
    plain_console(out, width=width).print(make_table(head, rows, num_left=num_left))
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().split("\n"))


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, num_left: int) -> Table:
    """A table for rich to draw. On a narrow terminal the columns aligned left are folded; no cell is cut."""
    table = Table(box=_RULED, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1), header_style="")
    for place, name in enumerate(head):
        is_text = place < num_left
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def plain_console(out: Any, *, width: int | None = None) -> Console:
    """A console that prints text as it is: brackets are no markup, and numbers get no colours."""
    return Console(file=out, width=width, markup=False, highlight=False, emoji=False)


def _cells(result: SplitResult, forms: bool) -> list[str]:
    saved, strict = result.steps_saved, result.strict_accuracy
    return [
        f"{result.accuracy:.3f}{'' if result.greedy else ' sampled'}",
        f"{result.accuracy_low:.3f}-{result.accuracy_high:.3f}",
        *(["-" if strict is None else f"{strict:.3f}"] if forms else []),
        table_number(result.steps_per_correct),
        table_number(result.full_steps_per_correct),
        "-" if saved is None else f"{saved:.1%}",
        f"{result.backtracks:.2f}",
        f"{result.tokens:.1f}",
    ]
