"""The rounds of a loop as a text table: what `stride iterate` ends with."""

from __future__ import annotations

from collections.abc import Sequence

from rl.iterate.record import RoundRow
from rl.pages.text import text_table
from rl.stats.format import table_number


def rounds_table(rows: Sequence[RoundRow]) -> str:
    """Two tables: how requests are followed, and how the standard model does.

    Args:
        rows: The rounds.
    """
    followed = [
        (
            str(row.round),
            fewer,
            f"{row.num_full}+{row.num_skipped}",
            _kept(row),
            *[
                _share(value)
                for value in (
                    found.consistency_real if int(fewer) else found.consistency,
                    found.accuracy_consistent_real if int(fewer) else found.accuracy_consistent,
                    found.joint_real if int(fewer) else found.joint,
                )
            ],
        )
        for row in rows
        for fewer, found in row.following.items()
    ]
    solved = [
        (
            str(row.round),
            cell,
            _share(found.accuracy),
            table_number(found.steps),
            table_number(found.steps_correct),
            table_number(found.full_steps),
            *[_share(value) for value in (found.fewer, found.fewer_accuracy, found.unverified_correct)],
        )
        for row in rows
        for cell, found in row.solved.items()
    ]
    asked = ("round", "fewer steps asked", "full+skipped", "kept", "follows", "right if so", "both")
    tables = ["Conditioned model on id", text_table(asked, followed, num_left=2)]
    if solved:
        head = ("round", "cell", "accuracy", "steps", "if right", "full", "fewer", "right if so", "unverified")
        tables += ["Standard model", text_table(head, solved, num_left=2)]
    return "\n\n".join(tables)


def _kept(row: RoundRow) -> str:
    if row.asked is None:
        return "-"
    verified = "" if row.asked.kept_verified is None else f", {row.asked.kept_verified} verified"
    return f"{row.asked.kept} of {row.asked.num}{verified}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
