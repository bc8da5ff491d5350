"""The summary of an analysis as a text table, for the terminal."""

from __future__ import annotations

from pathlib import Path

from rl.importance.record import ProblemLog, line_table
from rl.importance.summary import Estimate, by_kind
from rl.pages.text import text_table

_HEAD = ("line", "lines", "importance", "interval", "accuracy", "another step")


def importance_text(folder: Path) -> str:
    """Mean importance by kind of line, in nats, with the change of accuracy.

    Args:
        folder: The folder of an analysis.
    """
    table = line_table(ProblemLog(folder).read())
    if table.empty:
        return (
            "no trace was analysed: no problem that was sampled is in the band of accuracies and has a step; "
            "widen --accuracy, or sample more problems (eval.num_problems)"
        )
    if not table["importance"].notna().any():
        return f"{len(table)} lines, and each trace ends with its first one, so none can be compared"
    rows = [
        [
            one.label,
            str(one.lines),
            f"{one.importance.value:+.3f}",
            _interval(one.importance),
            f"{one.change.value:+.1%}",
            f"{one.others.value:.1%}",
        ]
        for one in by_kind(table)
    ]
    return text_table(_HEAD, rows, num_left=1)


def _interval(estimate: Estimate) -> str:
    return "-" if estimate.low != estimate.low else f"{estimate.low:+.3f} to {estimate.high:+.3f}"
