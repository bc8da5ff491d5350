"""The report's sections on difficulty: accuracy, steps and first errors by bucket, and empty thoughts.

In: the results of every stage and split. Out: a table each, or None where no split has several buckets, or no
thought is empty.
"""

from __future__ import annotations

from collections.abc import Mapping

from rl.pages.run.backtracks import Rows
from rl.pages.steps import are_checked
from rl.pages.table import Cell, Group, Note, Row, Table, name_of
from rl.runs.record import BucketResult
from rl.stats.format import ABSENT, number, percent


def by_bucket(results: Mapping[str, Rows]) -> Table | None:
    """The section's table.

    Args:
        results: By split.
    """
    buckets: dict[str, dict[str, dict[str, BucketResult]]] = {}
    checked = are_checked(result for found in results.values() for _, result in found)
    for split, found in results.items():
        for column, result in found:
            for bucket, row in result.buckets.items():
                buckets.setdefault(split, {}).setdefault(bucket, {})[column] = row
    if not buckets:
        return None
    columns = list(
        dict.fromkeys(column for split in buckets.values() for rows in split.values() for column in rows)
    )
    groups = [
        Group(name=split, rows=tuple(_row(bucket, rows, columns, checked) for bucket, rows in found.items()))
        for split, found in buckets.items()
    ]
    heads = ("Bucket", "Problems", *map(name_of, columns))
    return Table(label="results by difficulty bucket", heads=heads, groups=tuple(groups))


def empty_thoughts(results: Mapping[str, Rows]) -> Table | None:
    """The share of completions without a step, by difficulty.

    Args:
        results: By split.
    """
    groups = []
    columns = list(dict.fromkeys(column for found in results.values() for column, _ in found))
    for split, found in results.items():
        by_column = {column: result.empty_by_difficulty or {} for column, result in found}
        named = list(dict.fromkeys(name for shares in by_column.values() for name in shares))
        rows = [
            Row(head=name, cells=tuple(_empty(by_column.get(column), name) for column in columns))
            for name in named
        ]
        if rows:
            groups.append(Group(name=split, rows=tuple(rows)))
    if not groups:
        return None
    return Table(
        label="empty thoughts by difficulty", heads=("Difficulty", *map(name_of, columns)), groups=tuple(groups)
    )


def _empty(shares: Mapping[str, float] | None, name: str) -> Cell:
    return Cell(text=ABSENT if shares is None else percent(shares.get(name, 0.0)))


def _row(bucket: str, rows: Mapping[str, BucketResult], columns: list[str], checked: bool) -> Row:
    num = next(iter(rows.values())).num_problems
    cells = [_cell(rows.get(column), checked) for column in columns]
    return Row(head=bucket, cells=(Cell(text=number(num, 0)), *cells))


def _cell(result: BucketResult | None, checked: bool) -> Cell:
    if result is None:
        return Cell(text=ABSENT)
    steps, counted = result.steps_per_correct, "steps" if checked else "steps counted"
    notes = [] if steps is None else [f"{number(steps)} {counted}"]
    if backtracks := result.backtracks_per_correct:
        notes.append(f"{number(backtracks)} backtracks")
    if result.straight_back is not None:
        notes.append(f"{percent(result.straight_back)} straight back")
    notes += [f"{name} {percent(share)}" for name, share in result.errors.items() if share]
    return Cell(text=percent(result.accuracy), notes=tuple([Note(text=note) for note in notes]))
