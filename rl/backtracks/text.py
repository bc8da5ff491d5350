"""The table of wrong turns, for the terminal and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from rl.backtracks.pairs import Counts, KindRow
from rl.pages.text import text_table
from rl.stats.format import ABSENT, percent
from rl.stats.intervals import clustered_interval

HEAD = (
    "wrong turn",
    "problems",
    "goes back",
    "interval",
    "after the right line",
    "interval",
    "passes",
    "after the right line",
)


def backtracks_text(rows: Sequence[KindRow]) -> str:
    """How often the next line is a backtrack and the answer passes, after wrong turns and right lines.

    Args:
        rows: A row for each kind of wrong turn.
    """
    cells = [
        [
            row.kind,
            f"{len(row.back_after_wrong):,}",
            *_cells(row.back_after_wrong),
            *_cells(row.back_after_right),
            percent(_share(row.passed_after_wrong)),
            percent(_share(row.passed_after_right)),
        ]
        for row in rows
    ]
    return text_table(HEAD, cells, num_left=1)


def backtracks_table(rows: Sequence[KindRow]) -> list[list[str | float]]:
    """The same as shares from 0 to 1, the names of the columns first; empty cells where nothing was graded."""
    table: list[list[str | float]] = [
        ["kind", "after", "problems", "back", "back_low", "back_high", "passed", "passed_low", "passed_high"]
    ]
    for row in rows:
        for after, back, passed in (
            ("wrong", row.back_after_wrong, row.passed_after_wrong),
            ("right", row.back_after_right, row.passed_after_right),
        ):
            figures: list[str | float] = [""] * 6
            if back:
                figures = [
                    round(figure, 5)
                    for counts in (back, passed)
                    for figure in (_share(counts), *clustered_interval(counts))
                ]
            table.append([row.kind, after, len(back), *figures])
    return table


def _share(counts: Counts) -> float:
    """Share of all continuations; not a number without any."""
    num = sum(num for _, num in counts)
    return sum(some for some, _ in counts) / num if num else nan


def _cells(counts: Counts) -> list[str]:
    if not counts:
        return [ABSENT, ABSENT]
    low, high = clustered_interval(counts)
    return [percent(_share(counts)), f"{100 * low:.0f} to {100 * high:.0f} %"]
