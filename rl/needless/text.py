"""The table of rules as text, for the terminal."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rl.needless.run import LINES
from rl.needless.table import RuleRow, Share, rule_rows
from rl.pages.text import text_table
from rl.stats.format import ABSENT, number, percent

HEAD = ("rule", "called", "precision", "interval", "recall", "interval", "ranking")


def guesses_text(folder: Path) -> str:
    """Precision, recall and ranking of each rule.

    Args:
        folder: The folder of a measurement.
    """
    rows = rule_rows(pd.read_csv(folder / LINES))
    if not rows[0].lines:
        return "no line of a right trace is known to be needed or needless; sample more problems (--problems)"
    about = (
        f"{rows[0].lines:,} lines of right traces, {rows[0].needless:,} of them needless (skippable or wasted)"
    )
    return about + "\n\n" + text_table(HEAD, [cells_of(row) for row in rows], num_left=1)


def cells_of(row: RuleRow) -> list[str]:
    """The cells of a rule, as many as `HEAD`."""
    return [
        row.label,
        f"{row.called:,}",
        percent(None if row.precision.value != row.precision.value else row.precision.value),
        interval(row.precision),
        percent(None if row.recall.value != row.recall.value else row.recall.value),
        interval(row.recall),
        ABSENT if row.auc != row.auc else number(row.auc),
    ]


def interval(share: Share) -> str:
    """Its interval, as "12 to 34 %"."""
    return ABSENT if share.low != share.low else f"{100 * share.low:.0f} to {100 * share.high:.0f} %"
